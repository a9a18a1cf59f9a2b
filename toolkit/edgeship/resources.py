"""Cores and memory that this process may have: the machine's, or what its container leaves of them.

Containers are control groups of Linux, of version 1 or 2 (kernel.org, admin-guide/cgroup-v1 and cgroup-v2); the limits
of every group around hold too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

#: Files of a group, by version: what it may have, what it has, and the line of its statistics for what can be had back.
_MEMORY = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def cores(root: Path = Path("/")) -> int:
    """Whole cores that can be busy at a time, at least 1."""
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = [share for group in _groups(root, "cpu") if (share := _share(group)) is not None]
    return max(1, min([ours, *shares]))


def free_mib(root: Path = Path("/")) -> int | None:
    """Memory that can be had without swapping, or being ended for it, in MiB; None where the system does not tell."""
    found = [_available(root), *(_left(group) for group in _groups(root, "memory"))]
    return min((left >> 20 for left in found if left is not None), default=None)


def _available(root: Path) -> int | None:
    lines = _text(root / "proc/meminfo").splitlines()
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the groups that this process is in, as far as they are seen from here."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, own = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / (controller if controllers else "")
        place = PurePosixPath(own.lstrip("/"))
        yield from (top / part for part in (place, *place.parents))


def _left(group: Path) -> int | None:
    """Bytes that a group may still take."""
    for most, used, cached in _MEMORY:
        limit, now = _number(group / most), _number(group / used)
        if limit is not None and now is not None:
            statistics = dict(line.split(" ", 1) for line in _text(group / "memory.stat").splitlines() if " " in line)
            return max(0, limit - now + int(statistics.get(cached, "0")))
    return None


def _share(group: Path) -> int | None:
    """Whole cores that a group may keep busy."""
    quota, _, period = _text(group / "cpu.max").strip().partition(" ")
    try:
        mine = int(quota or _text(group / "cpu.cfs_quota_us")), int(period or _text(group / "cpu.cfs_period_us"))
    except ValueError:  # it is there for neither version, or there is no limit
        return None
    return mine[0] // mine[1] if min(mine) > 0 else None


def _number(file: Path) -> int | None:
    try:
        return int(_text(file))
    except ValueError:
        return None


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
