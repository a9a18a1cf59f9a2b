"""A network that breaks: between devices and nginx, it ends connections after so many bytes of the answers."""

from __future__ import annotations

import socket
import threading

from edgeship.closing import Closing

_CHUNK = 4096


class Network(Closing):
    """Forwards connections to a server, each until `budget` bytes came back.

    Attributes:
        budget: of connections that are begun from now on; 0: they are closed at once.
        broken: connections that were ended.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.budget, self.broken = 0, 0
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Take no more connections."""
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it was closed before
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client, self.budget), daemon=True).start()

    def _carry(self, client: socket.socket, budget: int) -> None:
        """One connection: requests are forwarded as they come, answers as long as the budget lasts."""
        with client:
            if not budget:
                self.broken += 1
                return
            with socket.create_connection(("127.0.0.1", self._port)) as server:
                up = threading.Thread(target=_forward, args=(client, server), daemon=True)
                up.start()
                if _forward(server, client, budget):
                    self.broken += 1
                _end(client)
                _end(server)
                up.join()


def _forward(source: socket.socket, target: socket.socket, budget: int | None = None) -> bool:
    """Until the source ends; True if the budget ended before."""
    try:
        while chunk := source.recv(_CHUNK):
            if budget is not None and len(chunk) >= budget:
                target.sendall(chunk[:budget])
                return True
            budget = None if budget is None else budget - len(chunk)
            target.sendall(chunk)
    except OSError:
        pass  # one of the two ends has gone
    return False


def _end(found: socket.socket) -> None:
    try:
        found.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it has gone
