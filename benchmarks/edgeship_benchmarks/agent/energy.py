"""Energy, where a meter counts it."""

from __future__ import annotations

from pathlib import Path

from edgeship_benchmarks.agent.facts import read

#: Where Linux shows the energy counters of processors (RAPL: Intel, and AMD since Zen), readable by root only at most.
POWERCAP = "/sys/class/powercap"


def meters() -> dict[str, str]:
    """Name -> folder of the counters of whole processors and boards; cores and memory of one are part of it."""
    found = {}
    for folder in sorted(Path(POWERCAP).glob("intel-rapl:*")):
        whole = folder.name.count(":") == 1
        if whole and read(str(folder / "energy_uj")).isdecimal():
            found[read(str(folder / "name")) or folder.name] = str(folder)
    # psys is the whole board, which the processors are part of.
    return {"psys": found["psys"]} if "psys" in found else found


def microjoules(found: dict[str, str]) -> dict[str, int]:
    """What each meter has counted so far."""
    readings = {name: read(folder + "/energy_uj") for name, folder in found.items()}
    return {name: int(reading) for name, reading in readings.items() if reading.isdecimal()}


def since(found: dict[str, str], before: dict[str, int]) -> float | None:
    """Microjoules counted since `before`; None without a meter. A counter starts anew at its range."""
    now = microjoules(found)
    if not before or set(now) != set(before):
        return None
    total = 0
    for name, reading in now.items():
        span = read(found[name] + "/max_energy_range_uj")
        total += reading - before[name] + (int(span) if reading < before[name] and span.isdecimal() else 0)
    return float(total) if total > 0 else None
