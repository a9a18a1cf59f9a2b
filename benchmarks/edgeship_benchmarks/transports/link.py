"""A connection that is made anew when it was lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from edgeship.closing import Closing
from edgeship.errors import ConnectionLost, UnavailableError
from edgeship_benchmarks.transports.leased import LeasedConnection

#: How long a machine is waited for that was lost: it may be starting again.
RECONNECT_SECONDS = 90
_RETRY_SECONDS = 2

C = TypeVar("C", bound=LeasedConnection)


class Link(Closing, Generic[C]):
    """The connection to another machine, now and later. Use as a context manager.

    Args:
        connect: opens a connection; raises UnavailableError. It is called at once, and when a connection was lost.
    """

    def __init__(self, connect: Callable[[], C]) -> None:
        self._connect = connect
        self._connection = connect()
        self._given_up: UnavailableError | None = None

    def connection(self) -> C:
        """A connection that stands, as far as is known.

        Raises ConnectionLost where a lost one cannot be had again within 90 s; it is not tried twice.
        """
        if self._given_up is not None:
            raise self._given_up
        if self._connection.alive:
            return self._connection
        self._connection.close()
        deadline = time.monotonic() + RECONNECT_SECONDS
        while True:
            try:
                self._connection = self._connect()
            except UnavailableError as error:
                if time.monotonic() < deadline:
                    time.sleep(_RETRY_SECONDS)
                    continue
                self._given_up = ConnectionLost(
                    f"the connection was lost, and not to be had again for {RECONNECT_SECONDS} s: {error.message}",
                    remedy=error.remedy,
                )
                raise self._given_up from error
            return self._connection

    def close(self) -> None:
        """End it, and let the other machine clean up; safe to call twice."""
        self._connection.close()
