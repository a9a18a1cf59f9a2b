"""What a machine says of itself, and how it is at the moment."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgeship_benchmarks.agent.arrays import np


def version_of(package: str, module: Any) -> str:
    """Version of a package that has been imported."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:  # a copied wheel without its metadata
        return str(getattr(module, "__version__", "unknown"))


def read(path: str) -> str:
    """What a small file says, or nothing."""
    try:
        return Path(path).read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""


def _field(path: str, key: str) -> str:
    """The value of the first `key: value` line of a file under /proc."""
    for line in read(path).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def peak_memory_mib() -> float | None:
    """Most resident memory of this process so far."""
    # Not ru_maxrss on Linux: it survives exec, so a child of a large parent would report the parent's peak.
    peak = _field("/proc/self/status", "VmHWM")
    if peak:
        return int(peak.split()[0]) / 1024
    if sys.platform == "win32":
        return None
    import resource

    kilo = 1024 if sys.platform == "darwin" else 1  # macOS counts bytes, others KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / kilo / 1024


def _output_of(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _release() -> str:
    """The name that a Linux system gives itself, such as `Debian GNU/Linux 12 (bookworm)`."""
    lines = read("/etc/os-release").splitlines()
    return next((line.partition("=")[2].strip('"') for line in lines if line.startswith("PRETTY_NAME=")), "")


def facts() -> dict[str, str]:
    """Readable facts of the machine and of this process; what cannot be read here is left out."""
    own = {
        "python": platform.python_version(),
        "numpy": np.__version__ if np is not None else "",
        "tensorflow_loaded": "yes" if "tensorflow" in sys.modules else "no",
    }
    return {**machine(), **{key: value for key, value in own.items() if value}}


def machine() -> dict[str, str]:
    """Those that are the same for every process."""
    cpufreq = "/sys/devices/system/cpu/cpu0/cpufreq/"
    frequency = read(cpufreq + "scaling_cur_freq")
    temperature = read("/sys/class/thermal/thermal_zone0/temp")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cpu = _field("/proc/cpuinfo", "model name") or _output_of("sysctl", "-n", "machdep.cpu.brand_string")
    found = {
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "os": _release(),
        "board": read("/proc/device-tree/model") or read("/sys/firmware/devicetree/base/model"),
        "cpu": cpu or _field("/proc/cpuinfo", "Hardware") or platform.processor(),
        "cores": str(cores),
        "memory_mib": str(int((_field("/proc/meminfo", "MemTotal") or "0").split()[0]) // 1024 or ""),
        "libc": " ".join(platform.libc_ver()).strip(),
        "governor": read(cpufreq + "scaling_governor"),
        "frequency_mhz": str(int(frequency) // 1000) if frequency.isdigit() else "",
        "temperature_c": f"{int(temperature) / 1000:.1f}" if temperature.lstrip("-").isdigit() else "",
        "throttled": _output_of("vcgencmd", "get_throttled").partition("=")[2],  # Raspberry Pi; 0x0 = never
        "load_average": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "",
    }
    return {key: value for key, value in found.items() if value}
