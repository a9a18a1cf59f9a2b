"""A connection to a board through the system's ssh, with the user's own configuration, keys and known hosts.

Everything on the board is in one folder of its own (see `leased`). Commands after the first one share its connection
(ControlMaster), so that each costs milliseconds. The address never meets a shell here.
"""

from __future__ import annotations

import shutil
import tempfile

from edgeship.errors import EdgeshipError, TargetUnavailable
from edgeship_benchmarks.transports import lease
from edgeship_benchmarks.transports.address import Address
from edgeship_benchmarks.transports.leased import LeasedConnection, last_line, script_command

CONNECT_SECONDS = 10
#: Exit status of ssh where it is ssh that failed, or a signal ended the command.
SSH_FAILED = 255
#: A connection without an answer for this many times three seconds is lost.
_ALIVE = ("ServerAliveInterval=3", "ServerAliveCountMax=3")
#: Longest time from the connection to the answer of the lease: the slowest board has to start Python.
_LEASE_SECONDS = 60.0
_LONGEST_FOLDER = 55

_OPTIONS = (
    "BatchMode=yes",  # nobody is there to type a password
    f"ConnectTimeout={CONNECT_SECONDS}",
    *_ALIVE,
    "ControlPersist=no",
    "LogLevel=ERROR",
    # Not what a user's interactive sessions want.
    "RemoteCommand=none",
    "RequestTTY=no",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
)

#: Parts of what ssh says when it cannot connect -> what that is, and what to do; the first that is found counts.
_REFUSALS = {
    "REMOTE HOST IDENTIFICATION HAS CHANGED": (
        "answers with another host key than the known one",
        "If the board was set up anew: ssh-keygen -R '{known}', then: ssh {login}. If not, somebody is between.",
    ),
    "Host key verification failed": (
        "has a host key that is not known here",
        "Connect once by hand and compare the fingerprint: ssh {login}",
    ),
    "Permission denied": ("refuses the login", "Set up a key for it: ssh-copy-id {login}"),
    "Too many authentication failures": ("refuses the login", "Name the key in ~/.ssh/config (IdentityFile)."),
    "Connection refused": (
        "is there, but no ssh server answers",
        "On a Raspberry Pi: sudo raspi-config nonint do_ssh 0. Elsewhere: sudo apt install openssh-server.",
    ),
    "Could not resolve hostname": ("is no known name", "Try its IP address, or NAME.local in the same network."),
    "timed out": ("does not answer", "Is it switched on, and in this network? Try: ssh {login}"),
    "No route to host": ("cannot be reached", "Is it switched on, and in this network? Try: ssh {login}"),
    "Network is unreachable": ("cannot be reached", "This machine has no network to it."),
}


class Connection(LeasedConnection):
    """An open connection to a board; see `LeasedConnection`."""

    when_lost = "Is the board still on, and in the network? Then run the same command again."

    def __init__(self, address: Address) -> None:
        self.address = address
        if shutil.which("ssh") is None:
            raise TargetUnavailable("ssh is not installed here", remedy="Get it: sudo apt install openssh-client")
        # The name of a socket holds some 100 bytes, of which ssh adds some.
        short = len(tempfile.gettempdir()) < _LONGEST_FOLDER
        self._private = tempfile.TemporaryDirectory(prefix="edgeship-ssh-", dir=None if short else "/tmp")  # noqa: S108 - a new folder in it
        start = [*self._ssh("ControlMaster=yes"), script_command(lease.SCRIPT, name="edgeship-lease")]
        super().__init__(str(address), start, CONNECT_SECONDS + _LEASE_SECONDS)

    def _ssh(self, master: str) -> list[str]:
        options = [part for option in (*_OPTIONS, master) for part in ("-o", option)]
        user = ["-l", self.address.user] if self.address.user else []
        port = ["-p", str(self.address.port)] if self.address.port else []
        return ["ssh", "-T", "-S", f"{self._private.name}/s", *options, *user, *port, "--", self.address.host]

    def command(self, script: str, *arguments: str) -> list[str]:
        """The command of this machine that runs a shell script on the board, with `arguments` as $1 and so on."""
        return [*self._ssh("ControlMaster=no"), script_command(script, *arguments)]

    def close(self) -> None:
        """Let the board clean up, and end the connection; safe to call twice."""
        super().close()
        self._private.cleanup()

    def _refused(self, status: int, text: str, said: bytes) -> EdgeshipError:
        login = self.address.login
        for part, (what, remedy) in _REFUSALS.items():
            if part in text:
                return TargetUnavailable(
                    f"{self.address} {what}: {last_line(text)}",
                    remedy=remedy.format(known=self.address.known, login=login),
                )
        heard = text or said.decode(errors="replace") or "nothing"
        return TargetUnavailable(
            f"ssh to {self.address} ended with status {status} and said: {last_line(heard)}",
            remedy=f"Does this work, and print a line? ssh {login} uname -a",
        )
