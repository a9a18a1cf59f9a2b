"""What the stand-in for a device does in a stream: commands in a shell, and files (AOSP, adb/SERVICES.TXT, SYNC.TXT).

Commands really run, by this machine's sh. The device's folders are in a folder of this machine, so paths that only a
device has are put below it, in commands and in names of files.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import struct
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from tests.standins.adbd import Adbd, Stream

_PLACES = re.compile(r"(?<![\w.\-/])/(?=data/local/tmp|sdcard|sys/devices/system/cpu|proc/loadavg|proc/meminfo)")
_STDIN, _STDOUT, _STDERR, _EXIT, _CLOSE_STDIN = range(5)
_CHUNK = 1 << 16


def serve(service: str, stream: Stream, device: Adbd) -> None:
    """Do what a stream was opened for; returns when it is done."""
    kind, _, rest = service.partition(":")
    if kind == "sync":
        _Sync(stream, device).run()
    elif kind.startswith(("shell", "exec")):
        separate = kind.startswith("shell,v2")
        assert rest, "nobody is there for an interactive shell"
        _Shell(stream, device, separate=separate).run(rest)


class _Shell:
    """A command; with version 2 of the protocol its outputs and its exit status are told apart."""

    def __init__(self, stream: Stream, device: Adbd, *, separate: bool) -> None:
        self._stream, self._device, self._separate = stream, device, separate

    def run(self, command: str) -> None:
        root = self._device.root
        env = {"PATH": str(root / "system/bin"), "STATE": str(root / "state"), "HOME": "/", "ROOT": str(root)}
        process = subprocess.Popen(
            [str(root / "system/bin/sh"), "-c", _PLACES.sub(f"{root}/", command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if self._separate else subprocess.STDOUT,
            env=env,
            cwd=root,
            preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_DFL),  # noqa: PLW1509 - no lock is taken there
        )
        self._device.processes.append(process.pid)
        pumps = [threading.Thread(target=self._pump, args=(process.stdout, _STDOUT), daemon=True)]
        if process.stderr is not None:
            pumps.append(threading.Thread(target=self._pump, args=(process.stderr, _STDERR), daemon=True))
        threading.Thread(target=self._feed, args=(process.stdin,), daemon=True).start()
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        status = process.wait()
        if self._separate and not self._stream.closed:
            self._send(_EXIT, bytes([status if status >= 0 else 128 - status]))

    def _send(self, kind: int, data: bytes) -> None:
        head = struct.pack("<BI", kind, len(data)) if self._separate else b""
        self._stream.write(head + data)

    def _pump(self, pipe: IO[bytes], kind: int) -> None:
        with pipe, suppress(OSError):  # a closed stream closes the pipe, as adbd does
            while data := os.read(pipe.fileno(), _CHUNK):
                self._send(kind, data)

    def _feed(self, pipe: IO[bytes]) -> None:
        """What the other side writes, to the command's standard input, until that is closed."""
        waiting = b""
        with suppress(OSError), pipe:
            while (data := self._stream.incoming.get()) is not None:
                if not self._separate:
                    os.write(pipe.fileno(), data)
                    continue
                waiting += data
                while len(waiting) >= 5:
                    kind, size = struct.unpack("<BI", waiting[:5])
                    if len(waiting) < 5 + size:
                        break
                    content, waiting = waiting[5 : 5 + size], waiting[5 + size :]
                    if kind == _CLOSE_STDIN:
                        return
                    if kind == _STDIN:
                        os.write(pipe.fileno(), content)


class _Sync:
    """Files: STAT, LSTAT, STA2, LST2, LIST, SEND, RECV."""

    def __init__(self, stream: Stream, device: Adbd) -> None:
        self._stream, self._device = stream, device
        self._waiting = b""

    def run(self) -> None:
        while True:
            word, size = self._head()
            if word == b"QUIT":
                return
            name = self._take(size).decode()
            if word in (b"STAT", b"LSTA"):
                self._stat(name)
            elif word in (b"STA2", b"LST2"):
                self._stat2(word, name)
            elif word == b"LIST":
                self._list(name)
            elif word == b"SEND":
                self._receive(name)
            elif word == b"RECV":
                self._give(name)
            else:
                self._fail(f"unknown request {word!r}")

    def _take(self, size: int) -> bytes:
        while len(self._waiting) < size:
            data = self._stream.incoming.get()
            if data is None:
                raise ConnectionError("the stream is closed")
            self._waiting += data
        found, self._waiting = self._waiting[:size], self._waiting[size:]
        return found

    def _head(self) -> tuple[bytes, int]:
        head = self._take(8)
        return head[:4], int.from_bytes(head[4:], "little")

    def _fail(self, text: str) -> None:
        self._stream.write(b"FAIL" + struct.pack("<I", len(text.encode())) + text.encode())

    def _place(self, name: str) -> Path:
        return Path(_PLACES.sub(f"{self._device.root}/", name))

    def _stat(self, name: str) -> None:
        try:
            found = self._place(name).lstat()
            values = found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime)
        except OSError:
            values = 0, 0, 0
        self._stream.write(b"STAT" + struct.pack("<3I", *values))

    def _stat2(self, word: bytes, name: str) -> None:
        place = self._place(name)
        try:
            s = place.stat() if word == b"STA2" else place.lstat()
        except OSError as error:
            self._stream.write(word + struct.pack("<IQQIIIIQqqq", error.errno or 5, *([0] * 10)))
            return
        times = int(s.st_atime), int(s.st_mtime), int(s.st_ctime)
        owner = s.st_mode, s.st_nlink, s.st_uid, s.st_gid
        self._stream.write(word + struct.pack("<IQQIIIIQqqq", 0, s.st_dev, s.st_ino, *owner, s.st_size, *times))

    def _list(self, name: str) -> None:
        with suppress(OSError):
            for place in sorted(self._place(name).iterdir()):
                s, word = place.lstat(), os.fsencode(place.name)
                values = s.st_mode, s.st_size & 0xFFFFFFFF, int(s.st_mtime), len(word)
                self._stream.write(b"DENT" + struct.pack("<4I", *values) + word)
        self._stream.write(b"DONE" + bytes(16))

    def _receive(self, name: str) -> None:
        """A file that is sent: all of it is taken also after an error, which is told at the end."""
        path, _, mode = name.rpartition(",")
        why = ""
        try:
            content: IO[bytes] | None = self._place(path).open("wb", buffering=0)
        except OSError as error:
            content, why = None, f"couldn't create file: {error.strerror}"
        while True:
            word, size = self._head()
            if word != b"DATA":
                break
            data = self._take(size)
            try:
                while content is not None and data:
                    data = data[content.write(data) :]
            except OSError as error:
                if content is not None:
                    content.close()
                content, why = None, f"write failed: {error.strerror}"
        if content is not None:
            content.close()
            self._place(path).chmod(stat.S_IMODE(int(mode)) or 0o600)
            self._stream.write(b"OKAY" + bytes(4))
            return
        with suppress(OSError):
            self._place(path).unlink()
        self._fail(why)

    def _give(self, name: str) -> None:
        try:
            content = self._place(name).read_bytes()
        except OSError as error:
            self._fail(f"open failed: {error.strerror}")
            return
        for start in range(0, len(content), _CHUNK):
            part = content[start : start + _CHUNK]
            self._stream.write(b"DATA" + struct.pack("<I", len(part)) + part)
        self._stream.write(b"DONE" + bytes(4))
