"""Which device is meant, by what `adb devices -l` writes."""

from __future__ import annotations

import pytest

from edgeship.errors import InputError, TargetUnavailable
from edgeship_benchmarks.targets.adb import AdbTarget
from edgeship_benchmarks.transports import adb
from edgeship_benchmarks.transports.adb import Device

LISTING = """\
* daemon not running; starting now at tcp:5037
* daemon started successfully
List of devices attached
4A291FDAS0001          device usb:1-4 product:standin model:Stand_in_7 device:standin transport_id:4
emulator-5554          offline transport_id:2
0123456789ABCDEF       unauthorized usb:1-1 transport_id:3
192.0.2.5:5555         device product:p model:M device:d transport_id:9
XYZ0001                no permissions (user in plugdev group; are your udev rules wrong?); see [http://x] usb:1-2
adb-4A29-abc._adb-tls-connect._tcp device product:p model:Wi_Fi device:d transport_id:11

\x1b[31m evil
"""


def test_devices_are_read_whatever_their_state() -> None:
    assert adb.devices_of(LISTING) == [
        Device("4A291FDAS0001", "device", "Stand in 7"),
        Device("emulator-5554", "offline"),
        Device("0123456789ABCDEF", "unauthorized"),
        Device("192.0.2.5:5555", "device", "M"),
        Device("XYZ0001", "no permissions"),
        Device("adb-4A29-abc._adb-tls-connect._tcp", "device", "Wi Fi"),
    ]
    assert adb.devices_of("") == adb.devices_of("List of devices attached\n\n") == []
    assert len(adb.devices_of("List of devices attached\n" + "A device\n" * 100_000)) <= 101


def test_the_one_that_is_named_or_the_only_one() -> None:
    found = adb.devices_of(LISTING)
    assert adb.choose(found, "emulator-5554").state == "offline"
    assert adb.choose(found[:1]).serial == "4A291FDAS0001"
    with pytest.raises(TargetUnavailable, match="6 Android devices are connected"):
        adb.choose(found)
    with pytest.raises(TargetUnavailable, match="no device Q is connected; there are: 4A291FDAS0001"):
        adb.choose(found, "Q")


@pytest.mark.parametrize(
    ("state", "what", "remedy"),
    [
        ("unauthorized", "does not allow this machine", "adb -s A reconnect"),
        ("no permissions", "this user may not open it", "android-sdk-platform-tools-common"),
        ("recovery", "is in its recovery", "adb -s A reboot"),
        ("authorizing", "waits for its user's answer", "Unlock it"),
        ("something new", "is in the state 'something new'", "adb devices -l"),
    ],
)
def test_why_a_device_is_not_ready(state: str, what: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adb, "_SETTLING_SECONDS", 0)
    monkeypatch.setattr(adb, "devices_of", lambda _: [Device("A", state)])
    monkeypatch.setattr(adb, "client", lambda *_: "")
    with pytest.raises(TargetUnavailable) as raised:
        adb.ready()
    assert what in raised.value.message
    assert remedy in raised.value.remedy


@pytest.mark.parametrize("serial", ["-s", "a b", "a;b", "$(x)", "a\n", "x" * 101, "ä"])
def test_a_serial_that_is_none(serial: str) -> None:
    with pytest.raises(InputError, match="is no serial number"):
        AdbTarget(serial)
