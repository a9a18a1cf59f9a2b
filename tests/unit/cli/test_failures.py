"""What reaches the terminal, and how commands end."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from rich.console import Console

from edgeship.cli import failures, ui
from edgeship.errors import InputError
from edgeship.types import Progress

#: Sets the window's title, clears the screen, and writes from right to left.
ATTACK = "\x1b]0;owned\x07\x1b[2J\u202etxt"


def test_errors_cannot_speak_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def failing() -> None:
        raise InputError(f"layer {ATTACK}\nsecond line", remedy=f"rename {ATTACK}")

    assert failures.run(failing, []) == 2
    shown = capsys.readouterr().err
    assert "\\u001b]0;owned\\u0007\\u001b[2J\\u202etxt\nsecond line\nrename \\u001b" in shown
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)


def test_bugs_cannot_speak_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def failing() -> None:
        raise RuntimeError(ATTACK)

    assert failures.run(failing, []) == 4
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    Path(shown.split("Please attach ")[1].strip()).unlink()


def test_a_crash_report_has_no_password(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    address = "postgresql://me:s3cret@db/searches"

    @click.command()
    def failing() -> None:
        raise RuntimeError(f"cannot reach {address}")

    monkeypatch.setattr(sys, "argv", ["edgeship", "search", "m.keras", "--storage", address, f"--storage={address}"])
    assert failures.run(failing, []) == 4
    path = Path(capsys.readouterr().err.split("Please attach ")[1].strip())
    text = path.read_text()
    path.unlink()
    assert "s3cret" not in text
    assert text.count("postgresql://me:***@db/searches") == 3


def test_tables_and_notes_cannot_speak_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    made = ui.table("name")
    ui.row(made, ATTACK)
    shown = io.StringIO()
    Console(width=120, file=shown, force_terminal=True, color_system=None).print(made)
    ui.say(f"note: {ATTACK}\nsecond line")
    ui.say(ATTACK, err=True)
    captured = capsys.readouterr()
    for text in (shown.getvalue(), captured.out, captured.err):
        assert "\\u001b]0;owned" in text
        assert not {"\x07", "\u202e"} & set(text)
        assert "\x1b]" not in text
    assert captured.out.endswith("\nsecond line\n")


def test_stages_cannot_speak_to_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with ui.progress_bars() as progress:
        progress(Progress(f"[bold]{ATTACK}[/nothing]", 0, 1))
        progress(Progress(f"[bold]{ATTACK}[/nothing]", 1, 1))
    shown = capsys.readouterr().err
    assert "[bold]\\u001b]0;owned" in shown
    assert "\x1b]" not in shown
    assert not {"\x07", "\u202e"} & set(shown)


_COMMAND = """
import click, time
from edgeship.cli import cli, main
from edgeship.child import Child
import sys

@cli.command()
def wait():
    with Child(["sleep", "600"], name="sleeping") as child:
        print(child.pid, flush=True)
        time.sleep(600)

main(["wait"])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_command_that_is_told_to_end_takes_its_children_along(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _COMMAND],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore Ctrl-C, those of nohup hanging up: so would this process in one of them.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    ) as process:
        try:
            assert process.stdout is not None
            child = int(process.stdout.readline())
            process.send_signal(number)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "stopped: finished parts are kept" in err
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
