"""Fixtures shared by the whole suite."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sharing import Shared

_ROOT = Path(__file__).parent.parent

if "PYTEST_XDIST_WORKER" in os.environ:
    # Processes that run beside each other, and the children of their tests, share the cores instead of each taking all.
    for _name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(_name, "1")


@pytest.fixture(scope="session", autouse=True)
def _own_history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests measure is no part of the user's history; commands that they start inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGESHIP_HISTORY", str(tmp_path_factory.mktemp("history") / "history.sqlite3"))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real models and data beside the checkout; tests that need it skip where it is absent."""
    folder = _ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real models and data in ../shared/data, which is absent here")
    return folder


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """Makes folders that all processes of this run read."""
    base = tmp_path_factory.getbasetemp()
    # A worker has a folder of its own in that of the run.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return Shared(folder)


#: Skips that were looked at, by the beginning of their reason. With EDGESHIP_STRICT_SKIPS (CI) any other one fails.
REVIEWED_SKIPS = (
    "needs the real models and data in ../shared/data",
    "needs root to ",
    "cannot mount a small file system here",
    "needs Node",
    "needs Chromium",
    "needs Firefox",
    "needs a second loopback address",
    "needs playwright",
    "needs a Chromium that starts",
    "needs the target ",
    "needs OpenSSH's server and client",
    "needs a JDK and Maven",
    "needs Debian's tools for Android",
    "needs a package index",
    "needs wheels for this Python",
    "needs an arm64 system",
    "needs nginx",
    "needs PostgreSQL",
    "needs strace",
    "needs SoftHSM",
    "needs prometheus",
    "needs systemd",
    "needs shellcheck",
    "needs actionlint",
)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run for a skip that nobody has looked at."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("EDGESHIP_STRICT_SKIPS"):
        return
    reasons = [str(report.longrepr[2]).removeprefix("Skipped: ") for report in reporter.stats.get("skipped", [])]
    unknown = sorted({reason for reason in reasons if not reason.startswith(REVIEWED_SKIPS)})
    if unknown:
        reporter.write_line("skips outside tests/conftest.py:REVIEWED_SKIPS: " + "; ".join(unknown), red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


#: Files of a whole run that are worth naming, and the seconds below which none is.
_NAMED_FILES, _SECONDS = 40, 10.0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Where the time of a long run went, by file: a file stays in one process, with what its fixtures make."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    longest = sorted(seconds.items(), key=lambda item: -item[1])[:_NAMED_FILES]
    slow = [f"{spent:.0f} s {name}" for name, spent in longest if spent >= _SECONDS]
    if slow and "PYTEST_XDIST_WORKER" not in os.environ and terminalreporter.config.getoption("numprocesses", None):
        terminalreporter.section("slowest files")
        terminalreporter.write_line("; ".join(slow))
