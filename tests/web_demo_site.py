"""The built web demo served as `make web-demo` serves it, for tests."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from edgeship.publish.serve import DemoServer
from edgeship.publish.serve import server as repository_server

APP = Path(__file__).parents[1] / "web_demo"


def serving() -> Any:
    spec = importlib.util.spec_from_file_location("web_demo_serving", APP / "serving.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Site:
    """The app's own server; its policy reports what it refused, from workers too."""

    def __init__(self, folder: Path, repository: DemoServer) -> None:
        self.violations: list[Any] = []
        violations = self.violations

        class Reports(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                violations.append(json.loads(self.rfile.read(int(self.headers["content-length"])))["csp-report"])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        module = serving()
        reports = ThreadingHTTPServer(("127.0.0.1", 0), Reports)
        policy = f"{module.policy(repository.url)}; report-uri http://127.0.0.1:{reports.server_port}/"
        pages = module.AppServer(folder, 0, policy)
        self.files: dict[str, Any] = pages.files
        self.url = str(pages.url)
        place = {"repository": repository.url, "line": "digits/v1", "root": repository.root().read_text()}
        self.files["/updates.json"].content = json.dumps(place).encode()
        self._servers = (reports, pages, repository)
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """All ports refuse connections from now on."""
        for server in self._servers:
            server.shutdown()
            server.server_close()


@contextmanager
def served(made: Path, updates: Path | None = None) -> Iterator[Site]:
    """The app's own server, its repository, and who is told what its policy refused, until the block ends."""
    with repository_server(updates or made / "updates") as repository:
        site = Site(made / "site", repository)
        try:
            yield site
        finally:
            site.close()
