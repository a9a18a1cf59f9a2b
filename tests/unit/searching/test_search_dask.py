"""A search on a real Dask cluster of this machine: a killed worker and a lost scheduler cost no finished trial."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests import search_proxy

from edgeship.errors import InputError, UnavailableError
from edgeship.searching.executors import make
from edgeship.searching.study import Study

_ROOT = Path(__file__).parents[3]


class Cluster:
    """A scheduler on a fixed port of loopback and two workers, each a process of its own."""

    def __init__(self, folder):
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{found.getsockname()[1]}"
        self._env = {
            **os.environ,
            "PYTHONPATH": str(_ROOT),
            "PROXY_HOLD": str(folder / "held"),
            "PYTHONWARNINGS": "ignore",
        }
        self._folder = folder
        self.processes = []

    def start(self):
        """The scheduler, then the workers."""
        port = self.address.rpartition(":")[2]
        self._run("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard", "--no-show")
        for _ in range(2):
            words = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "60")
            self._run("worker", self.address, "--host", "127.0.0.1", "--local-directory", str(self._folder), *words)

    def _run(self, *words):
        with (self._folder / "cluster.log").open("ab") as log:
            command = [sys.executable, "-m", "dask", *words]
            self.processes.append(subprocess.Popen(command, env=self._env, cwd=_ROOT, stdout=log, stderr=log))

    def end(self):
        """All of it, at once."""
        for process in self.processes:
            process.send_signal(signal.SIGKILL)
        for process in self.processes:
            process.wait()
        self.processes = []


@pytest.fixture
def cluster(tmp_path):
    pytest.importorskip("distributed")
    made = Cluster(tmp_path)
    made.start()
    yield made
    made.end()


def test_a_killed_worker_and_a_lost_scheduler_lose_no_finished_trial(tmp_path, cluster):
    folder, held = tmp_path / "search", tmp_path / "held"
    words = [str(folder), "--dask", cluster.address, "--workers", "2", "--trials"]
    command = [sys.executable, "-m", "tests.search_proxy", *words, "40"]
    process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True)

    def done():
        with Study(search_proxy.setting(search_proxy.arguments([*words, "0"]))) as study:
            return study.trials()

    while not held.is_file() or not held.read_text():
        assert process.poll() is None, process.communicate()
    os.kill(int(held.read_text()), signal.SIGKILL)  # the worker that will never end its trial
    while len(done()) < 5:
        assert process.poll() is None, process.communicate()
    cluster.processes[0].kill()  # the scheduler
    told = process.communicate()[0]
    assert process.returncode == 3
    assert "the Dask scheduler at tcp://127.0.0.1" in told
    before = done()
    assert len(before) >= 5
    cluster.end()
    cluster.start()
    wanted = len(before) + 3
    assert search_proxy.run(search_proxy.arguments([*words, str(wanted)])) == f"{wanted} trials are done"
    after = done()
    assert all(trial in after for trial in before)
    assert len(after) == wanted
    assert len({str(trial.recipe) for trial in after}) == wanted


def test_a_cluster_that_is_not_there_is_said(tmp_path):
    pytest.importorskip("distributed")
    with pytest.raises(UnavailableError, match="does not answer"):
        make("dask://tcp://127.0.0.1:9", search_proxy.TASK, 1, lambda _: None)
    with pytest.raises(InputError, match="no executor is called"):
        make("kubernetes", search_proxy.TASK, 1, lambda _: None)
