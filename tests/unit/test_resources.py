"""What a process may have of its machine, in containers of both versions of control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeship import resources

GIB = 1 << 30
MEMINFO = "MemTotal:       65536000 kB\nMemFree:         100 kB\nMemAvailable:   33554432 kB\n"


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 64 cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


def machine(root: Path, group: str, files: dict[str, str]) -> Path:
    for name, text in {"proc/meminfo": MEMINFO, "proc/self/cgroup": group, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_this_machine_has_some() -> None:
    assert 1 <= resources.cores() <= (os.cpu_count() or 1)
    free = resources.free_mib()
    assert free is None or free > 0


@pytest.mark.usefixtures("many")
def test_a_machine_without_containers(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/user.slice\n", {"sys/fs/cgroup/user.slice/cpu.max": "max 100000\n"})
    assert (resources.cores(root), resources.free_mib(root)) == (64, 32 << 10)
    assert (resources.cores(tmp_path / "nothing"), resources.free_mib(tmp_path / "nothing")) == (64, None)


@pytest.mark.usefixtures("many")
def test_a_container_of_version_2(tmp_path: Path) -> None:
    """Its own group has no limit; that around it has. What is only cached can be had back."""
    files = {
        "sys/fs/cgroup/a/memory.max": f"{4 * GIB}\n",
        "sys/fs/cgroup/a/memory.current": f"{3 * GIB}\n",
        "sys/fs/cgroup/a/memory.stat": f"anon {GIB}\ninactive_file {2 * GIB}\n",
        "sys/fs/cgroup/a/b/memory.max": "max\n",
        "sys/fs/cgroup/a/b/memory.current": f"{GIB}\n",
        "sys/fs/cgroup/a/cpu.max": "250000 100000\n",
    }
    root = machine(tmp_path, "0::/a/b\n", files)
    assert (resources.cores(root), resources.free_mib(root)) == (2, 3 << 10)


@pytest.mark.usefixtures("many")
def test_a_container_of_version_1(tmp_path: Path) -> None:
    """It names its group as the machine does, and sees only its own as the outermost."""
    files = {
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{GIB}\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{2 * GIB}\n",
        "sys/fs/cgroup/memory/memory.stat": "cache 5\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    }
    root = machine(tmp_path, "4:memory:/docker/1234\n1:cpu,cpuacct:/docker/1234\n", files)
    assert (resources.cores(root), resources.free_mib(root)) == (1, 0)
    (root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us").write_text("-1\n")
    (root / "sys/fs/cgroup/memory/memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert (resources.cores(root), resources.free_mib(root)) == (64, 32 << 10)
