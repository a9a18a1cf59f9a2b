"""What works on this machine, what is missing, and the command that gets it."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from edgeship import cache, plugins, report
from edgeship.errors import InputError
from edgeship.types import ProgressCallback


@dataclass(frozen=True)
class Finding:
    """One thing that edgeship needs, and how it stands."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


def examine() -> tuple[Finding, ...]:
    """Interpreter, cache, disk, converters, runtimes and targets. Imports no ML framework."""
    findings = [
        Finding("python", True, f"{sys.version.split()[0]} on {platform.platform()}"),
        _cache(),
        _plugin("report", report.missing(), "pip install 'edgeship[report]'"),
    ]
    for name in plugins.names("converters"):
        missing = plugins.converter(name).missing()
        findings.append(_plugin(f"converter {name}", missing, "pip install 'edgeship[all]'"))
    for name in plugins.names("runtimes"):
        runtime = plugins.runtime(name)
        findings.append(_plugin(f"runtime {name}", runtime.missing(), runtime.remedy))
    return tuple(findings)


def _plugin(name: str, missing: Sequence[str], remedy: str) -> Finding:
    return Finding(name, not missing, f"needs {', '.join(missing)}" if missing else "ready", remedy if missing else "")


def _cache() -> Finding:
    place = cache.root()
    existing = next(p for p in (place.absolute(), *place.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    used = sum(f.stat().st_size for f in place.rglob("*") if f.is_file()) if place.is_dir() else 0
    text = f"{place} {used / 2**20:,.0f} MiB used, {free / 2**30:,.1f} GiB free"
    return Finding("cache", free > 2**30, text, "" if free > 2**30 else "Free some space, or set EDGESHIP_CACHE.")


def install(what: str, progress: ProgressCallback) -> None:
    """Install something that pip cannot. Raises InputError for an unknown word, UnavailableError where it fails."""
    if what != "node":
        raise InputError(f"edgeship cannot install {what!r}", remedy="Allowed: node.")
    from edgeship_benchmarks.node import install as install_node

    install_node(progress)
