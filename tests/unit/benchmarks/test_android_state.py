"""What devices of several Android versions say about themselves, and answers of devices that mean no good."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from tests.standins.android_state import BATTERY, BATTERY_7, POWER, PROPERTIES, THERMAL, THERMAL_10_HOT

from edgeship_benchmarks.android import state
from edgeship_benchmarks.android.session import Phone
from edgeship_benchmarks.transports.adb import AdbConnection, Device
from edgeship_benchmarks.transports.link import Link


def _answer(**sections: str) -> bytes:
    return "".join(f"@@{name}\n{text}\n" for name, text in sections.items()).encode()


def test_android_14() -> None:
    cpus = "cpu0 schedutil 300000 1803000 1803000\ncpu1 schedutil 300000 1803000 1803000\n"
    facts = state.facts_of(
        _answer(
            machine="aarch64",
            properties=PROPERTIES,
            battery=BATTERY,
            thermal=THERMAL,
            power=POWER,
            saver="0",
            cpus=cpus + "cpu10 performance 2850000 2500000 2850000\ncpu2 schedutil - 1803000 -\n",
            cores="0-7",
            load="0.42 1.10 1.20 2/900 4321",
            memory="MemTotal:        7711012 kB",
            disk="/dev/block/dm-9 110000000 90000000 20971520 82% /data",
        )
    )
    assert facts == {
        "machine": "aarch64",
        "system": "Android 14 (API 34)",
        "model": "Example Stand in 7",
        "soc": "Example EX7000",
        "abi": "arm64-v8a,armeabi-v7a,armeabi",
        "build": "example/standin/standin:14/AB1A.240101.001/1234567:user/release-keys",
        "cores": "8",
        "battery_percent": "100",
        "battery_temperature_c": "27.4",
        "battery_status": "full",
        "powered_by": "USB",
        "thermal_status": "none",
        "throttled": "0x0",
        "cpu_temperature_c": "41.0",
        "gpu_temperature_c": "37.0",
        "skin_temperature_c": "30.2",
        "screen": "on",
        "battery_saver": "off",
        "governor": "schedutil, performance",
        "clocks_mhz": "cpu0-1 300, cpu10 2850",
        "clock_limits_mhz": "cpu0-2 1803, cpu10 2500",
        "best_clocks_mhz": "cpu0-1 1803, cpu10 2850",
        "load_average": "0.42",
        "memory_mib": "7530",
        "disk_free_mib": "20480",
    }
    assert state.notes_of(facts) == ()


def test_devices_of_one_model_are_told_apart_by_a_hash() -> None:
    """By the number that the device has itself: adb's is an address where there is no cable."""
    numbers = ["EX0123456789", "EX0123456780"]
    one, other = (state.facts_of(_answer(properties=f"[ro.serialno]: [{number}]\n")) for number in numbers)
    assert one["serial_sha256"] == hashlib.sha256(b"EX0123456789").hexdigest()[:16]
    assert one["serial_sha256"] != other["serial_sha256"]
    assert not any("EX01" in value for value in one.values())

    class Connection:
        device = Device("emulator-5554", "device", "")

        def run(self, script: str) -> bytes:
            assert script == state.SCRIPT
            return self.answer

        answer = b""

    connection = Connection()
    phone = Phone(cast("Link[AdbConnection]", SimpleNamespace(connection=lambda: connection)), Path(), "")
    assert phone.facts()["serial_sha256"] == state.hashed("emulator-5554")
    connection.answer = _answer(properties="[ro.serialno]: [EX0123456789]\n")
    assert phone.facts()["serial_sha256"] == one["serial_sha256"]


def test_android_10_that_is_hot() -> None:
    facts = state.facts_of(_answer(thermal=THERMAL_10_HOT))
    assert facts["thermal_status"] == "moderate"
    assert facts["throttled"] == "0x4"
    assert facts["skin_temperature_c"] == "44.1"
    assert "gpu_temperature_c" not in facts  # 0 degrees is a sensor that is not there
    assert "thermal status moderate" in state.notes_of(facts)[0]


def test_android_7_with_a_low_battery() -> None:
    properties = (
        "[ro.build.version.release]: [7.1.2]\n[ro.build.version.sdk]: [25]\n[ro.product.manufacturer]: [EXAMPLE]\n"
        "[ro.product.model]: [Example One]\n[ro.board.platform]: [msm0000]\n[ro.product.cpu.abi]: [armeabi-v7a]\n"
    )
    facts = state.facts_of(
        _answer(properties=properties, battery=BATTERY_7, thermal="Can't find service: thermalservice", saver="null")
    )
    assert (facts["system"], facts["model"], facts["soc"]) == ("Android 7.1.2 (API 25)", "Example One", "msm0000")
    assert (facts["battery_percent"], facts["battery_status"], facts["powered_by"]) == ("18", "charging", "AC")
    assert not {"thermal_status", "throttled", "battery_saver", "screen"} & facts.keys()
    notes = " ".join(state.notes_of(facts))
    assert "the battery was at 18 %" in notes
    assert "was charging" in notes


def test_notes_of_a_screen_that_went_off_and_of_overridden_states() -> None:
    facts = state.facts_of(
        _answer(
            battery="  (UPDATES STOPPED -- use 'reset' to restart)\n  level: 50\n  scale: 100",
            thermal="IsStatusOverride: true\nThermal Status: 0",
            power="  mWakefulness=Dozing",
            saver="1",
        )
    )
    notes = " ".join(state.notes_of({**facts, "screen": "on", "screen_after": "off"}))
    for words in ("the screen was off", "battery saver is on", "overridden"):
        assert words in notes


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xff\xfe\x00" * 1000,
        b"@@" * 100_000,
        _answer(battery="  level: 9999999999999999\n  scale: 0\n  temperature: 1e9"),
        _answer(battery="  level: -5\n  scale: 100\n  temperature: -99999"),
        _answer(thermal="Thermal Status: 9"),
        _answer(thermal="Thermal Status: 0\nTemperature{mValue=99999999, mType=0, mName=x, mStatus=0}"),
        _answer(properties="[ro.product.model]: [" + "x" * 100_000 + "]"),
        _answer(properties="[ro.product.model]: [\x1b[2J\x07evil]"),
        _answer(cpus="cpu0 \x1b 1 1 1\ncpu99999999999 a 1 1 1\n" * 1000),
        _answer(cores="0-99999999", load="nan", memory="MemTotal: 9" + "9" * 50 + " kB", disk="a b c d"),
        _answer(machine="x; rm -rf /"),
    ],
)
def test_hostile_answers_give_short_and_plain_facts(answer: bytes) -> None:
    facts = state.facts_of(answer)
    assert {"system", "machine", "cores"} <= facts.keys()
    assert len(facts) < 40
    for value in facts.values():
        assert len(value) <= 200
        assert value.isprintable()
    assert len(" ".join(state.notes_of(facts))) < 2_000
    assert not {"battery_percent", "battery_temperature_c", "cpu_temperature_c", "throttled"} & facts.keys() or (
        facts.get("throttled") == "0x0"
    )
