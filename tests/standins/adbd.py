"""The device's side of adb over TCP: packets, connection, authentication, streams (AOSP, adb, OVERVIEW.TXT).

The system's own adb connects to it as to a phone. What a stream is for is in `adbd_services`.
"""

from __future__ import annotations

import os
import queue
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.standins.adbd_services import serve

_HEADER = struct.Struct("<6I")
_VERSION = 0x01000001  # from here on nobody checks checksums
_MOST_DATA = 1 << 20
_TOKEN = 1  # argument of AUTH


def _word(name: bytes) -> int:
    return int.from_bytes(name, "little")


CNXN, AUTH, OPEN, OKAY, CLSE, WRTE = map(_word, (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"CLSE", b"WRTE"))


class Stream:
    """One stream of a connection. `incoming` gives what the other side wrote; None once it has closed."""

    def __init__(self, connection: Connection, local: int, remote: int) -> None:
        self._connection, self.local, self.remote = connection, local, remote
        self.incoming: queue.Queue[bytes | None] = queue.Queue()
        self._may_write = threading.Semaphore(1)
        self.closed = False

    def write(self, data: bytes) -> None:
        """Send data; each packet waits until the one before it was taken. Raises ConnectionError on a closed stream."""
        for start in range(0, len(data), self._connection.most_data):
            self._may_write.acquire()
            if self.closed:
                self._may_write.release()  # whoever else waits
                raise ConnectionError("the stream is closed")
            part = data[start : start + self._connection.most_data]
            self._connection.send(WRTE, self.local, self.remote, part)

    def acknowledged(self) -> None:
        self._may_write.release()

    def end(self) -> None:
        """The other side, or the connection, is gone."""
        self.closed = True
        self.incoming.put(None)
        self._may_write.release()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._may_write.release()
            with suppress(OSError):
                self._connection.send(CLSE, self.local, self.remote)


class Connection:
    """One adb server that is connected."""

    def __init__(self, device: Adbd, link: socket.socket) -> None:
        self._device, self._link = device, link
        self._sending = threading.Lock()
        self._streams: dict[int, Stream] = {}
        self.most_data = _MOST_DATA

    def send(self, command: int, first: int, second: int, data: bytes = b"") -> None:
        header = _HEADER.pack(command, first, second, len(data), sum(data) & 0xFFFFFFFF, command ^ 0xFFFFFFFF)
        with self._sending:
            self._link.sendall(header + data)

    def run(self) -> None:
        """Answer packets until the connection ends."""
        try:
            while True:
                command, first, second, length, _, magic = _HEADER.unpack(self._take(_HEADER.size))
                assert magic == command ^ 0xFFFFFFFF
                self._answer(command, first, second, self._take(length))
        except OSError:
            pass
        finally:
            for stream in list(self._streams.values()):
                stream.end()
            self._link.close()

    def cut(self) -> None:
        with suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)

    def _take(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            part = self._link.recv(size - len(found))
            if not part:
                raise ConnectionError("the adb server is gone")
            found += part
        return found

    def _answer(self, command: int, first: int, second: int, data: bytes) -> None:
        if command == CNXN:
            self.most_data = min(second, _MOST_DATA)
            self._greet()
        elif command == AUTH and not self._device.authorized:
            if first != 3:  # a signature is refused; a public key waits for a person, who never comes
                self.send(AUTH, _TOKEN, 0, os.urandom(20))
        elif command == OPEN:
            stream = Stream(self, len(self._streams) + 1, first)
            self._streams[stream.local] = stream
            self.send(OKAY, stream.local, stream.remote)
            service = data.rstrip(b"\0").decode()
            threading.Thread(target=self._serve, args=(service, stream), daemon=True).start()
        elif command == WRTE and second in self._streams:
            self._streams[second].incoming.put(data)
            self.send(OKAY, second, first)
        elif command == OKAY and second in self._streams:
            self._streams[second].acknowledged()
        elif command == CLSE and second in self._streams:
            self._streams[second].end()

    def _greet(self) -> None:
        if not self._device.authorized:
            self.send(AUTH, _TOKEN, 0, os.urandom(20))
            return
        features = ",".join(self._device.features)
        model = f"ro.product.name=standin;ro.product.model={self._device.model};ro.product.device=standin"
        self.send(CNXN, _VERSION, _MOST_DATA, f"device::{model};features={features}\0".encode())

    def _serve(self, service: str, stream: Stream) -> None:
        try:
            serve(service, stream, self._device)
        except OSError:  # the other side went away meanwhile
            pass
        finally:
            stream.close()


@dataclass
class Adbd:
    """A device that adb connects to as 127.0.0.1:PORT.

    Attributes:
        root: the folder that stands for the device's `/`.
        authorized: whether its owner allows debugging.
        processes: ids of what ran on it.
    """

    root: Path
    model: str = "Stand_in"
    authorized: bool = True
    features: tuple[str, ...] = ("cmd", "shell_v2", "stat_v2", "ls_v2")
    processes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._connections: list[Connection] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def serial(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, link)
            self._connections.append(connection)
            threading.Thread(target=connection.run, daemon=True).start()

    def cut(self) -> None:
        """End every connection, as a cable that is pulled would."""
        for connection in self._connections:
            connection.cut()
        self._connections.clear()

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # closing alone does not wake who waits in it
        self._listener.close()
        self.cut()
