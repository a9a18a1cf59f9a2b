"""A real OpenSSH server on loopback, with keys, configuration and a home of its own, and a client that knows it.

The client is the system's ssh through a one-line program of that name in front of it, because ssh reads the
configuration of the account and not of $HOME.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_SSHD = next((path for path in ("/usr/sbin/sshd", "/usr/local/sbin/sshd") if Path(path).exists()), None)


def require_sshd() -> str:
    """Path of the server; skips the test where there is none."""
    if _SSHD is None or shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
        pytest.skip("needs OpenSSH's server and client (apt install openssh-server)")
    return _SSHD


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """Server and client in one folder. `home`, `tmp` and `bin` are those of the "board".

    Attributes:
        inner: what the server calls the folder; as it is here by default.
        port: of the server; the client's configuration calls it `board` and `second`.
        settings: more lines for sshd_config.
        env: what commands on the board find in their environment.
    """

    folder: Path
    inner: str = ""
    port: int = field(default_factory=free_port)
    settings: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def tmp(self) -> Path:
        return self.folder / "tmp"

    @property
    def client(self) -> Path:
        """The folder to put in front of PATH."""
        return self.folder / "client"

    def write(self) -> None:
        """Keys and configurations."""
        require_sshd()
        inner = self.inner or str(self.folder)
        for name in ("home", "tmp", "client", "server"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for key in ("server/host", "client/user"):
            if not (self.folder / key).exists():
                command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / key)]
                subprocess.run(command, check=True, timeout=30)
        shutil.copyfile(self.client / "user.pub", self.folder / "server/authorized_keys")
        public = (self.folder / "server/host.pub").read_text()
        (self.client / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {public}")
        (self.client / "config").write_text(
            f"Host board second\n  HostName 127.0.0.1\n  Port {self.port}\n"
            f"Host *\n  IdentityFile {self.client}/user\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {self.client}/known_hosts\n  GlobalKnownHostsFile none\n"
        )
        program = self.client / "ssh"
        program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh", path=_system_path())} -F {self.client}/config "$@"\n')
        program.chmod(0o755)
        env = {"HOME": f"{inner}/home", "TMPDIR": f"{inner}/tmp", **self.env}
        (self.folder / "server/sshd_config").write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {inner}/server/host\nPidFile none\n"
            f"AuthorizedKeysFile {inner}/server/authorized_keys\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
            f"SetEnv {' '.join(f'{key}={value}' for key, value in env.items())}\n{self.settings}\n"
        )
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # the server, as root, separates its privileges there

    def command(self) -> list[str]:
        """What starts the server."""
        return [require_sshd(), "-D", "-e", "-f", str(self.folder / "server/sshd_config")]

    def start(self) -> None:
        self.write()
        command = self.command()
        with (self.folder / "server/log").open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.05)
        raise AssertionError((self.folder / "server/log").read_text())

    def connections(self) -> list[int]:
        """Process ids of the server's connections."""
        assert self.process is not None
        return children(self.process.pid)

    def cut(self) -> None:
        """End every connection, as a network that goes away would: no word to the client."""
        for pid in self.connections():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def agents(self) -> list[int]:
        """Process ids of what runs in folders of runs on the board."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if (folder / "cwd").readlink().is_relative_to(self.tmp):
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    def stop(self) -> None:
        if self.process is not None:
            self.cut()
            self.process.kill()
            self.process.wait()
            self.process = None


def children(pid: int) -> list[int]:
    """Process ids of the children of a process."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def _system_path() -> str:
    return "/usr/local/bin:/usr/bin:/bin"
