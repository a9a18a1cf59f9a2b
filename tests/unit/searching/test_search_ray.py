"""A search on a real Ray of this machine: a killed worker costs no trial."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests import search_proxy

from edgeship.searching.study import Study

_ROOT = Path(__file__).parents[3]


@pytest.mark.slow  # a start of Ray alone takes half a minute
def test_a_killed_worker_loses_no_trial(tmp_path):
    pytest.importorskip("ray")
    held = tmp_path / "held"
    words = [str(tmp_path / "search"), "--ray", "--workers", "2", "--trials", "8"]
    env = {**os.environ, "PROXY_HOLD": str(held), "PYTHONPATH": str(_ROOT)}
    command = [sys.executable, "-m", "tests.search_proxy", *words]
    process = subprocess.Popen(command, cwd=_ROOT, env=env, stdout=subprocess.PIPE, text=True)
    while not held.is_file() or not held.read_text():
        assert process.poll() is None, process.communicate()
    os.kill(int(held.read_text()), signal.SIGKILL)
    assert process.communicate()[0].splitlines()[-1] == "8 trials are done"
    with Study(search_proxy.setting(search_proxy.arguments(words))) as study:
        trials = study.trials()
    assert len({str(trial.recipe) for trial in trials}) == len(trials) == 8
    assert all(trial.outcome in ("finished", "stopped") for trial in trials)
