"""Addresses of boards: `[USER@]HOST[:PORT]`, as ssh and its configuration know them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgeship.errors import InputError

# A user's configuration may put these into commands for a shell (ProxyCommand %h): nothing that a shell reads gets in.
# Neither part begins with a dash, which ssh would take for an option.
_USER = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})"
_IPV6 = r"\[(?=[0-9A-Fa-f.]*:)[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9_.-]{1,15})?\]"
_ADDRESS = re.compile(rf"(?:(?P<user>{_USER})@)?(?P<host>{_NAME}|{_IPV6})(?::(?P<port>[0-9]{{1,5}}))?")
_LAST_PORT = 65535


@dataclass(frozen=True)
class Address:
    """Where a board is. What is None is left to the user's configuration.

    Attributes:
        host: a name, an alias of the user's configuration, or an IP address.
    """

    host: str
    user: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address. Raises InputError for what is none."""
        match = _ADDRESS.fullmatch(text)
        port = int(match["port"]) if match and match["port"] else None
        if match is None or (port is not None and not 0 < port <= _LAST_PORT):
            raise InputError(
                f"{text!r} is no address of a board",
                remedy="Write ssh://USER@HOST, ssh://HOST (a name of ~/.ssh/config too) or ssh://USER@HOST:PORT; "
                "an IPv6 address in brackets.",
            )
        return cls(match["host"].strip("[]"), match["user"], port)

    @property
    def login(self) -> str:
        """What a person types after `ssh`."""
        port = f"-p {self.port} " if self.port else ""
        return f"{port}{f'{self.user}@' if self.user else ''}{self.host}"

    @property
    def known(self) -> str:
        """How ssh names it in the list of known hosts."""
        return f"[{self.host}]:{self.port}" if self.port else self.host

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{f'{self.user}@' if self.user else ''}{host}{f':{self.port}' if self.port else ''}"
