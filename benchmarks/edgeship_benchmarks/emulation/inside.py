"""Runs a program in a whole arm64 system: `python inside.py SPEC.json`, as root, and gone when its parent is.

In a user namespace of its own (Linux 6.7 or newer) binfmt_misc is private to it: the emulator is registered for the
programs in there, and this machine's own list stays as it is. Mounts are private too: the files of the system are the
shared ones of `edgeship_benchmarks.emulation.root`, which nothing in there can change, because what programs write to
is laid over them. This file imports nothing of edgeship: it has to be a process of its own with one thread.

SPEC has `root`, `layer` (a folder as `boards.write` fills it), `emulator`, `env`, `program`, and `binds`: folder of
this machine -> place in the system.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

_NEWNS, _NEWUSER = 0x00020000, 0x10000000
_BIND, _REC, _PRIVATE = 4096, 16384, 1 << 18
_PDEATHSIG = 1
#: ELF header of arm64 programs and the mask of what counts in it (binfmt.d/qemu-aarch64.conf of Debian's qemu).
_MAGIC = rb"\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
#: Where programs write.
_SCRATCH = ("run", "tmp", "root", "home", "var/tmp")

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, place: str, kind: str, flags: int = 0, options: str = "") -> None:
    encoded = [text.encode() for text in (source, place, kind)]
    _check(_libc.mount(*encoded, ctypes.c_ulong(flags), options.encode() or None), f"mount {place}")


def _register(emulator: str) -> None:
    """Let the kernel start arm64 programs with the emulator, which F opens now: it is not in the system."""
    place = "/run"  # it has to stay mounted; only this process and its children see that, and they leave by chroot
    _mount("none", place, "binfmt_misc")
    line = b":qemu-aarch64:M:0:" + _MAGIC + b":" + _MASK + b":" + emulator.encode() + b":F"
    Path(place, "register").write_bytes(line)


def _furnish(spec: dict[str, object]) -> None:
    root, layer = str(spec["root"]), str(spec["layer"])
    _mount("/proc", f"{root}/proc", "", _BIND | _REC)
    _mount(f"{layer}/proc/cpuinfo", f"{root}/proc/cpuinfo", "", _BIND)
    _mount(f"{layer}/sys", f"{root}/sys", "", _BIND)
    _mount(f"{layer}/bin-local", f"{root}/usr/local/bin", "", _BIND)
    _mount("/dev", f"{root}/dev", "", _BIND | _REC)
    for name in _SCRATCH:
        _mount(
            "none", f"{root}/{name}", "tmpfs", options="size=512m,mode=1777" if "tmp" in name else "size=512m,mode=755"
        )
    binds = spec["binds"]
    assert isinstance(binds, dict)
    for source, place in binds.items():
        Path(f"{root}{place}").mkdir(parents=True, exist_ok=True)
        _mount(str(source), f"{root}{place}", "", _BIND)


def _child(spec: dict[str, object], ready: int, go: int) -> None:
    _libc.prctl(_PDEATHSIG, signal.SIGKILL)
    _check(_libc.unshare(_NEWUSER | _NEWNS), "new namespaces")
    os.write(ready, b"x")
    os.read(go, 1)
    os.setgid(0)
    os.setuid(0)
    _libc.prctl(_PDEATHSIG, signal.SIGKILL)  # setuid forgot it
    _mount("none", "/", "", _REC | _PRIVATE)
    _register(str(spec["emulator"]))
    _furnish(spec)
    os.chroot(str(spec["root"]))
    os.chdir("/")
    program, env = spec["program"], spec["env"]
    assert isinstance(program, list)
    assert isinstance(env, dict)
    os.execve(program[0], program, env)  # noqa: S606 - a list, no shell


def main() -> int:
    """Returns the exit status of the program."""
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    _libc.prctl(_PDEATHSIG, signal.SIGKILL)
    (ready, child_ready), (child_go, go) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _child(spec, child_ready, child_go)
        except OSError as error:
            print(f"cannot enter the arm64 system: {error}", file=sys.stderr)  # noqa: T201 - a program of its own
        os._exit(70)
    os.close(child_ready)
    if os.read(ready, 1):
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{pid}/{name}").write_text("0 0 65536", encoding="ascii")
        os.write(go, b"x")
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
