"""The adb target with the system's adb and a stand-in for a phone: what it measures, and what becomes of fallbacks."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgeship import plugins
from edgeship.types import Artifact, Measurement, NotMeasured
from edgeship_benchmarks.android import session as sessions
from edgeship_benchmarks.targets.adb import AdbTarget
from edgeship_benchmarks.targets.local import LocalTarget
from edgeship_benchmarks.transports import link
from tests.e2e.conftest import Script
from tests.standins.adbd import Adbd

from .conftest import PLAN, Phone


def _by_runtime(rows: object) -> dict[str, Measurement | NotMeasured]:
    assert isinstance(rows, list)
    return {row.runtime: row for row in rows}


def test_probe_says_what_the_device_is(phone: Phone) -> None:
    info = AdbTarget().probe()
    assert (info.name, info.provenance) == ("adb", "measured")
    expected = {"system": "Android 14 (API 34)", "model": "Example Stand in 7", "cores": "8", "screen": "on"}
    assert expected.items() <= info.facts.items()
    assert info.facts["benchmark_model"].startswith("benchmark_model ")
    assert info.facts["serial"] == phone.device.serial


def test_outputs_are_those_of_this_machine(phone: Phone, model: Artifact, inputs: dict[str, np.ndarray]) -> None:
    found, expected = AdbTarget().check(model, inputs), LocalTarget().check(model, inputs)
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def test_measures_cpu_gpu_and_nnapi(phone: Phone, model: Artifact, inputs: dict[str, np.ndarray]) -> None:
    phone.say("gpu", "part 1 2")
    phone.say("nnapi", "whole")
    phone.say("dumpsys.battery", "  level: 12\n  scale: 100\n  status: 2\n  temperature: 311\n")
    target = plugins.target(f"adb:{phone.device.serial}")
    rows = _by_runtime(target.measure([model], inputs, replace(PLAN, rounds=1, repeats=2)))
    assert list(rows) == ["litert", "litert-gpu", "litert-nnapi"]
    for row in rows.values():
        assert isinstance(row, Measurement), row
        assert (row.target, row.provenance, row.group) == (target.name, "measured", row.runtime)
        assert (row.round_lengths, row.repeats) == ((1, 1), 2)
        assert min(row.latency_ms) > 0
        assert row.load_ms > 0
        assert row.warmup_runs >= 2
        assert row.peak_memory_mib is not None
        assert row.parity is not None
        assert row.parity.identical
        assert row.device.facts["inferences_per_time"] == "6"
        assert row.device.facts["battery_percent_after"] == "12"
        assert any(re.search("each time is the (median|mean) of about 6 inferences", note) for note in row.notes)
        assert any("the battery was at 12 %" in note for note in row.notes)
    assert "the GPU delegate runs 1 of 2 operators, in 1 part; the CPU runs the others" in rows["litert-gpu"].notes
    assert "the NNAPI delegate runs all operators" in rows["litert-nnapi"].notes


@pytest.mark.parametrize(
    ("gpu", "said", "nnapi", "also"),
    [
        ("nothing", "the GPU delegate runs no operator of this file", "not built", "built without the NNAPI delegate"),
        ("refused", "the GPU delegate cannot be applied to this file", "unsupported", "NNAPI is not available"),
        ("nonsense", "it computes something else than in litert", "nothing", "the NNAPI delegate runs no operator"),
    ],
)
def test_a_delegate_that_falls_back_has_no_number(
    phone: Phone, model: Artifact, inputs: dict[str, np.ndarray], gpu: str, said: str, nnapi: str, also: str
) -> None:
    phone.say("gpu", gpu)
    phone.say("nnapi", nnapi)
    rows = _by_runtime(AdbTarget().measure([model], inputs, replace(PLAN, rounds=1)))
    assert isinstance(rows["litert"], Measurement)
    for runtime, words in (("litert-gpu", said), ("litert-nnapi", also)):
        row = rows[runtime]
        assert isinstance(row, NotMeasured)
        assert words in row.reason


def test_another_format_and_wrong_inputs_cost_only_their_rows(
    phone: Phone, model: Artifact, inputs: dict[str, np.ndarray]
) -> None:
    rows = AdbTarget().measure([replace(model, format="onnx")], inputs, PLAN)
    assert [(type(row), row.runtime) for row in rows] == [(NotMeasured, "")]
    rows = AdbTarget().measure([model], {"x": np.zeros((1, 3), np.float32)}, PLAN)
    assert len(rows) == 3
    assert all(isinstance(row, NotMeasured) and "has shape (1, 3)" in row.reason for row in rows)


def test_without_xnnpack_and_with_an_old_tool(phone: Phone, model: Artifact, inputs: dict[str, np.ndarray]) -> None:
    phone.say("tool", "old")
    rows = _by_runtime(AdbTarget().measure([model], inputs, replace(PLAN, xnnpack=(False,))))
    row = rows["litert without XNNPACK"]
    assert isinstance(row, Measurement)
    assert row.parity is None
    assert any("too old to write them" in note for note in row.notes)
    assert any("each time is the mean of" in note for note in row.notes)


def test_operators_as_the_tool_times_them(
    phone: Phone, model: Artifact, inputs: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_TRACES", 2)
    row = AdbTarget().measure([model], inputs, replace(PLAN, rounds=1, profile=True))[0]
    assert isinstance(row, Measurement)
    assert row.profile is not None
    assert (row.profile.method, row.profile.rounds) == ("runtime", 2)
    assert [operator.type for operator in row.profile.operators] == ["FULLY_CONNECTED", "SOFTMAX"]


def test_heat_makes_a_row_unstable(phone: Phone, model: Artifact, inputs: dict[str, np.ndarray]) -> None:
    phone.say("dumpsys.thermalservice", "Thermal Status: 3\n")
    phone.say("dumpsys.power", "  mWakefulness=Asleep\n")
    row = AdbTarget().measure([model], inputs, replace(PLAN, rounds=1))[0]
    assert isinstance(row, Measurement)
    assert row.device.facts["thermal_status"] == "severe"
    assert any(note.startswith("unstable") and "throttled" in note for note in row.notes)
    assert any("the screen was off" in note for note in row.notes)


def test_android_7_has_no_sha256sum(phone: Phone, model: Artifact, inputs: dict[str, np.ndarray]) -> None:
    (phone.device.root / "system/bin/sha256sum").unlink()
    assert AdbTarget().check(model, inputs)["probabilities"].shape == (3, 3)


def test_a_pulled_cable_costs_a_round_that_is_measured_again(
    phone: Phone, model: Artifact, inputs: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    _cut_at(2, phone.device.cut, monkeypatch)
    rows = _by_runtime(AdbTarget().measure([model], inputs, PLAN))
    row = rows["litert"]
    assert isinstance(row, Measurement), row
    # Which round it costs hangs on how soon adb hears of it.
    assert any(re.match(r"the connection was lost; rounds? \d.* again", note) for note in row.notes), row.notes


def test_a_device_that_is_gone_gives_its_reason(
    phone: Phone, model: Artifact, inputs: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "RECONNECT_SECONDS", 0.1)
    _cut_at(1, phone.device.stop, monkeypatch)
    row = AdbTarget().measure([model], inputs, PLAN)[0]
    assert isinstance(row, NotMeasured)
    assert row.type == "ConnectionLost"
    assert "the connection was lost" in row.reason
    phone.settle()
    # What a device that lost power kept, the next connection removes.
    (phone.tmp / "edgeship-run.9999999.x").mkdir()
    again = Adbd(phone.device.root)
    phone.server.connect(again)
    AdbTarget(again.serial).probe()


def _cut_at(number: int, cut: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Call `cut` in the start that is timed as the n-th, once that has a connection: it would quietly take another."""
    measure, said = sessions.ToolSession.measure, sessions.ToolSession._said
    timed = []

    def counted(self: sessions.ToolSession, *arguments: Any) -> tuple[float, ...]:
        timed.append("")
        return measure(self, *arguments)

    def cut_then(self: sessions.ToolSession, *arguments: Any) -> tuple[str, int]:
        if len(timed) == number and not timed[-1]:
            timed[-1] = "cut"
            cut()
        return said(self, *arguments)

    monkeypatch.setattr(sessions.ToolSession, "measure", counted)
    monkeypatch.setattr(sessions.ToolSession, "_said", cut_then)


def test_the_command_shows_a_phone_beside_this_machine(phone: Phone, edgeship: Script, model: Artifact) -> None:
    options = ["--threads", "1,2", "--min-runs", "4", "--min-seconds", "0", "--repeats", "1", "--json"]
    ran = edgeship("benchmark", model.entry, "--target", "adb", "--target", "local", *options, **_env())
    assert ran.code == 0, ran.err
    assert [(row["target"], row["runtime"], row["threads"]) for row in ran.json["measurements"]] == [
        ("adb", "litert", 1),
        ("adb", "litert", 2),
        ("local", "litert", 1),
        ("local", "litert", 2),
    ]
    assert {row["runtime"] for row in ran.json["unmeasured"]} == {"litert-gpu", "litert-nnapi"}


def test_a_killed_command_leaves_nothing_behind(phone: Phone, edgeship: Script, model: Artifact) -> None:
    phone.say("tool", "hang")
    process = edgeship.start("benchmark", model.entry, "--target", "adb", **_env())
    deadline = time.monotonic() + 30
    while not phone.tools() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert phone.tools()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    phone.settle()
    assert phone.running() == []


def test_files_go_both_ways(phone: Phone, tmp_path) -> None:
    """The stand-in itself, as adb sees it."""
    content = np.random.default_rng(1).bytes(300_000)
    (tmp_path / "sent").write_bytes(content)
    assert phone.server.client("push", str(tmp_path / "sent"), "/data/local/tmp/there").returncode == 0
    assert phone.server.client("pull", "/data/local/tmp/there", str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back").read_bytes() == content
    assert "there" in phone.server.client("ls", "/data/local/tmp").stdout
    ran = phone.server.client("shell", "rm /data/local/tmp/there; echo said; echo more >&2; exit 7")
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, "said\n", "more\n")


def _env() -> dict[str, str]:
    names = ("ANDROID_ADB_SERVER_PORT", "EDGESHIP_BENCHMARK_MODEL")
    return {name: os.environ[name] for name in names}
