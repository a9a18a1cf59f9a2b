"""The delegate of LiteRT for the Edge TPU of a Coral."""

from __future__ import annotations

import ctypes
import platform
from typing import Any

from edgeship_benchmarks.agent.faults import Fault

#: The library of the Edge TPU on each system, as its own installer puts it.
_EDGETPU = {"Linux": "libedgetpu.so.1", "Darwin": "libedgetpu.1.dylib", "Windows": "edgetpu.dll"}


def open_delegate(lite: Any, delegate: str) -> tuple[Any, dict[str, str]]:
    """The delegate `edgetpu` or `edgetpu:DEVICE`, and the version of its library.

    The library is asked before LiteRT loads it: LiteRT says the same for a library without a device and for one that is
    damaged (edgetpu_c.h of libedgetpu has the functions).
    """
    kind, _, device = delegate.partition(":")
    if kind != "edgetpu":
        raise Fault("InputError", f"LiteRT has no delegate {kind!r} here", "Allowed: edgetpu.")
    name = _EDGETPU.get(platform.system(), _EDGETPU["Linux"])
    try:
        library = ctypes.CDLL(name)
        library.edgetpu_version.restype = ctypes.c_char_p
        library.edgetpu_list_devices.restype = ctypes.c_void_p
        library.edgetpu_list_devices.argtypes = [ctypes.POINTER(ctypes.c_size_t)]
        library.edgetpu_free_devices.argtypes = [ctypes.c_void_p]
    except (OSError, AttributeError) as error:
        message = f"the library of the Edge TPU cannot be loaded: {error}"
        remedy = "Install it on the machine that has the Coral: sudo apt install libedgetpu1-std (coral.ai/software)."
        raise Fault("TargetUnavailable", message, remedy) from error
    count = ctypes.c_size_t(0)
    library.edgetpu_free_devices(library.edgetpu_list_devices(ctypes.byref(count)))
    version = (library.edgetpu_version() or b"").decode(errors="replace")
    if not count.value:
        raise Fault(
            "TargetUnavailable",
            f"{name} finds no Edge TPU",
            "Plug the Coral in (again); lsusb shows 1a6e:089a or 18d1:9302. Your user must be in the group plugdev, "
            "and the library be installed before the device is plugged in.",
        )
    try:
        opened = lite.load_delegate(name, {"device": device} if device else {})
    except (ValueError, OSError) as error:
        where = f"as device {device!r} " if device else ""
        message = f"the Edge TPU cannot be opened {where}({count.value} found): {error}"
        remedy = "Only one process at a time can have it: end the other one. Devices are called usb, usb:0, pci:0."
        raise Fault("TargetUnavailable", message, remedy) from error
    return opened, {"libedgetpu": version}
