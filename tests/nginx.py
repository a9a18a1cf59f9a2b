"""The real nginx with the recipe of docs/updates/publishing.md, in a folder of its own; needs no rights."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from edgeship.closing import Closing

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
_PAGE = Path(__file__).parents[1] / "docs" / "updates" / "publishing.md"
_START_SECONDS = 30


def version() -> str:
    """`nginx/1.22.1`."""
    assert NGINX is not None, "needs nginx"
    told = subprocess.run([NGINX, "-v"], check=True, capture_output=True, text=True).stderr
    return told.strip().removeprefix("nginx version: ")


class Nginx(Closing):
    """Serves a repository on a free port of loopback, until it is closed.

    Args:
        folder: new; for its configuration, logs and temporary files.
        repository: that it serves.
        http, server: more directives for these blocks.
    """

    def __init__(self, folder: Path, repository: Path, *, http: str = "access_log off;", server: str = "") -> None:
        assert NGINX is not None, "needs nginx"
        folder.mkdir()
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = int(found.getsockname()[1])
        text = _recipe()
        for before, after in (
            ("listen 80;", f"listen 127.0.0.1:{self.port}; {server}"),
            ("/srv/updates", str(repository)),
            ("http {\n", f"http {{\n{http}\n{_paths(folder)}"),
        ):
            assert before in text
            text = text.replace(before, after, 1)
        user = "" if os.geteuid() else "user root; "
        own = f"daemon off; {user}pid {folder}/pid; error_log {folder}/error.log;\n"
        (folder / "nginx.conf").write_text(own + text)
        command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")]
        with (folder / "stderr").open("wb") as errors:
            self._process = subprocess.Popen(command, stderr=errors)
        try:
            self._wait()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def close(self) -> None:
        """End it when it has sent and logged everything."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(60)

    def _wait(self) -> None:
        """Until it answers; it has no other way to say that it listens."""
        for _ in range(_START_SECONDS * 20):
            with socket.socket() as tried:
                tried.settimeout(1)
                if tried.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            try:
                self._process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            break
        raise AssertionError("nginx does not listen")


def _recipe() -> str:
    page = _PAGE.read_text(encoding="utf-8")
    found = re.search(r"^```nginx\n# file: nginx\.conf\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def _paths(folder: Path) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
