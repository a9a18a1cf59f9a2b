"""What an Android device says about itself, and what of it a measurement depends on.

One script asks for all of it. Every value comes from a device that nobody here trusts: what does not have its form is
left out, and no text is longer than `_LONGEST_TEXT`. The forms are those of `getprop`, of the services battery, power
and thermalservice of Android 7 to 16 (AOSP, frameworks/base/services), and of the kernel's cpufreq.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

#: Sections of the answer, each begun by a line of its own. A value may pretend to be such a line: it is not trusted
#: anyway. `show` prints a file, or a dash where it may not be read (`r` is an alias in Android's shell).
SCRIPT = """show() { cat "$1" 2>/dev/null || echo -; }
echo @@machine; uname -m
echo @@properties; getprop
echo @@battery; dumpsys battery
echo @@thermal; dumpsys thermalservice
echo @@power; dumpsys power | grep -m 4 -e mWakefulness= -e 'Display Power: state='
echo @@saver; settings get global low_power
echo @@cpus
for cpu in /sys/devices/system/cpu/cpu[0-9]*; do
  f=$cpu/cpufreq; [ -d "$f" ] || continue
  now="$(show $f/scaling_governor) $(show $f/scaling_cur_freq)"
  echo "${cpu##*/} $now $(show $f/scaling_max_freq) $(show $f/cpuinfo_max_freq)"
done
echo @@cores; show /sys/devices/system/cpu/present
echo @@load; show /proc/loadavg
echo @@memory; grep MemTotal /proc/meminfo
echo @@disk; df -k /data/local/tmp | tail -n 1
true"""

_LONGEST_TEXT = 200
_MOST_LINES = 5_000
_PROPERTY = re.compile(r"\[([\w.-]{1,100})\]: \[(.{0,1000})\]")
_TEMPERATURE = re.compile(
    r"Temperature\{mValue=(-?\d{1,4}(?:\.\d{1,9})?), mType=(-?\d{1,3}), mName=[^,}]{0,60}, mStatus"
)
_CORE = re.compile(
    r"cpu(?P<core>\d{1,3}) (?P<governor>[\w-]{1,40}) (?P<now>\d{1,9}|-) (?P<limit>\d{1,9}|-) (?P<best>\d{1,9}|-)"
)
#: Of a sensor that is there: some phones give 0 or 999 for one that is not.
_LEAST_C, _MOST_C = 0.1, 200.0
#: android.os.PowerManager.THERMAL_STATUS_*
_THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
#: android.os.BatteryManager.BATTERY_STATUS_*
_BATTERY = {"2": "charging", "3": "discharging", "4": "not charging", "5": "full"}
#: android.os.Temperature.TYPE_* that are of use here.
_KINDS = {"0": "cpu", "1": "gpu", "3": "skin"}
_POWERED = ("AC", "USB", "Wireless", "Dock")
_LOW_PERCENT = 20
#: As the firmware of a Raspberry Pi says it, which all targets follow (`edgeship_benchmarks.stats`): bit 2.
_THROTTLED = "0x4"


def facts_of(answer: bytes) -> dict[str, str]:
    """Facts in the answer of `SCRIPT`; `system`, `machine` and `cores` are there, others where the device tells."""
    sections = _sections(answer.decode(errors="replace"))
    found = {
        "machine": _word(sections.get("machine", "")) or "unknown",
        **_of_properties(sections.get("properties", "")),
        **_of_cores(sections.get("cores", "")),
        **_of_battery(sections.get("battery", "")),
        **_of_thermal(sections.get("thermal", "")),
        **_of_power(sections.get("power", ""), sections.get("saver", "")),
        **_of_clocks(sections.get("cpus", "")),
        **_of_kernel(sections),
    }
    return {key: value[:_LONGEST_TEXT] for key, value in found.items() if value}


def hashed(serial: str) -> str:
    """Tells devices of one model apart without naming any: the serial number itself is personal data."""
    return hashlib.sha256(serial.encode()).hexdigest()[:16]


def notes_of(facts: Mapping[str, str]) -> tuple[str, ...]:
    """What a reader must know about a device's state, before and after (`KEY_after`), with what to do about it."""
    after = {**facts, **{key.removesuffix("_after"): value for key, value in facts.items() if key.endswith("_after")}}
    found = []
    status = after.get("thermal_status", "none")
    if status != "none":
        found.append(f"thermal status {status}: Android holds clocks down; let it cool, and unplug its charger")
    if "off" in (facts.get("screen"), after.get("screen")):
        found.append("the screen was off: Android then slows programs down; keep it on (Developer options: Stay awake)")
    if facts.get("battery_saver") == "on":
        found.append("battery saver is on, which holds clocks down: switch it off")
    percent = facts.get("battery_percent", "100")
    if percent.isdigit() and int(percent) < _LOW_PERCENT:
        found.append(f"the battery was at {percent} %: many phones then hold clocks down; charge it")
    if "charging" in (facts.get("battery_status"), after.get("battery_status")):
        found.append("the battery was charging, which heats it: let it be full, or unplugged, to compare")
    if facts.get("battery_overridden") == "yes" or facts.get("thermal_overridden") == "yes":
        found.append("battery or thermal state were overridden by a command: reset it (dumpsys battery reset)")
    return tuple(found)


def _sections(text: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("@@"):
            lines = found.setdefault(line[2:22].strip(), [])
        elif len(lines) < _MOST_LINES:
            lines.append(line[:2_000])
    return {name: "\n".join(lines) for name, lines in found.items()}


def _word(text: str) -> str:
    """The first line, if it is a plain word."""
    first = text.strip().partition("\n")[0]
    return first if re.fullmatch(r"[\w.-]{1,60}", first) else ""


def _clean(text: str) -> str:
    """A value as one line, without what a terminal would obey."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"-?\d{1,12}(?:\.\d{1,9})?", text) else None


def _of_properties(text: str) -> dict[str, str]:
    said = {name: _clean(value) for name, value in _PROPERTY.findall(text)}

    def first(*names: str) -> str:
        return next((said[name] for name in names if said.get(name)), "")

    maker, model = first("ro.product.manufacturer"), first("ro.product.model")
    chip = " ".join(filter(None, (first("ro.soc.manufacturer"), first("ro.soc.model"))))
    version, level = first("ro.build.version.release"), first("ro.build.version.sdk")
    serial = first("ro.serialno", "ro.boot.serialno")
    return {
        "system": f"Android {version or '?'} (API {level or '?'})",
        "model": model if model.lower().startswith(maker.lower()) else f"{maker} {model}",
        "soc": chip or first("ro.board.platform", "ro.hardware"),
        "abi": first("ro.product.cpu.abilist", "ro.product.cpu.abi"),
        "build": first("ro.build.fingerprint", "ro.build.id"),
        "serial_sha256": hashed(serial) if serial else "",
    }


def _of_cores(text: str) -> dict[str, str]:
    """`0-7`, or `0,2-3`: how many."""
    total = 0
    for part in text.strip().split(",")[:64]:
        match = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", part.strip())
        if match is None:
            return {"cores": "unknown"}
        total += max(0, int(match[2] or match[1]) - int(match[1]) + 1)
    return {"cores": str(total)}


def _of_battery(text: str) -> dict[str, str]:
    said = dict(re.findall(r"^\s*([A-Za-z ]{1,40}): (\S{1,40})", text, re.MULTILINE))
    level, scale, tenths = (_number(said.get(key, "")) for key in ("level", "scale", "temperature"))
    powered = [kind for kind in _POWERED if said.get(f"{kind} powered") == "true"]
    percent = "" if level is None or not scale or not 0 <= level <= scale else f"{100 * level / scale:.0f}"
    return {
        "battery_percent": percent,
        "battery_temperature_c": "" if tenths is None else _celsius(tenths / 10),
        "battery_status": _BATTERY.get(said.get("status", ""), ""),
        "powered_by": ", ".join(powered) or ("battery" if "USB powered" in said else ""),
        "battery_overridden": "yes" if "UPDATES STOPPED" in text else "",
    }


def _celsius(value: float) -> str:
    return f"{value:.1f}" if _LEAST_C <= value <= _MOST_C else ""


def _of_thermal(text: str) -> dict[str, str]:
    status = re.search(r"^\s*Thermal Status: (\d)\s*$", text, re.MULTILINE)
    code = int(status[1]) if status else len(_THERMAL)
    if code >= len(_THERMAL):  # Android 9 and older have no such service
        return {}
    # The hardware's own word is newer than what was cached; some devices have only that.
    _, hardware, current = text.partition("Current temperatures from HAL:")
    kinds: dict[str, float] = {}
    for value, kind in _TEMPERATURE.findall(current.partition("Current cooling devices")[0] if hardware else text):
        if kind in _KINDS and _celsius(float(value)):
            kinds[_KINDS[kind]] = max(float(value), kinds.get(_KINDS[kind], 0.0))
    return {
        "thermal_status": _THERMAL[code],
        "throttled": _THROTTLED if code else "0x0",
        "thermal_overridden": "yes" if "IsStatusOverride: true" in text else "",
        **{f"{kind}_temperature_c": _celsius(value) for kind, value in kinds.items()},
    }


def _of_power(text: str, saver: str) -> dict[str, str]:
    awake = re.search(r"mWakefulness=(\w{1,20})", text)
    display = re.search(r"Display Power: state=(\w{1,20})", text)
    screen = {"Awake": "on", "Asleep": "off", "Dozing": "off", "Dreaming": "on"}.get(awake[1] if awake else "", "")
    if display is not None:
        screen = "on" if display[1] == "ON" else "off"
    return {"screen": screen, "battery_saver": {"1": "on", "0": "off"}.get(saver.strip(), "")}


def _of_clocks(text: str) -> dict[str, str]:
    """Governor, and clocks of cores in MHz: `cpu0-3 1803, cpu4-7 2348`; with the limits that hold now and at best."""
    rows = [_CORE.fullmatch(line.strip()) for line in text.splitlines()]
    cores = sorted((match for match in rows if match is not None), key=lambda match: int(match["core"]))

    def clocks(which: str) -> str:
        return _by_cluster([(int(match["core"]), match[which]) for match in cores])

    return {
        "governor": ", ".join(dict.fromkeys(match["governor"] for match in cores if match["governor"] != "-")),
        "clocks_mhz": clocks("now"),
        "clock_limits_mhz": clocks("limit"),
        "best_clocks_mhz": clocks("best"),
    }


def _by_cluster(clocks: list[tuple[int, str]]) -> str:
    groups: list[tuple[int, int, str]] = []
    for core, khz in clocks:
        mhz = "" if khz == "-" else str(int(khz) // 1000)
        if groups and groups[-1][1:] == (core - 1, mhz):
            groups[-1] = (groups[-1][0], core, mhz)
        elif mhz:
            groups.append((core, core, mhz))
    return ", ".join(f"cpu{a} {mhz}" if a == b else f"cpu{a}-{b} {mhz}" for a, b, mhz in groups)


def _of_kernel(sections: Mapping[str, str]) -> dict[str, str]:
    load = sections.get("load", "").split()
    memory = re.search(r"MemTotal:\s+(\d{1,12}) kB", sections.get("memory", ""))
    disk = sections.get("disk", "").split()
    return {
        "load_average": load[0] if load and _number(load[0]) is not None else "",
        "memory_mib": str(int(memory[1]) >> 10) if memory else "",
        "disk_free_mib": str(int(disk[3]) >> 10) if len(disk) > 3 and re.fullmatch(r"\d{1,15}", disk[3]) else "",
    }
