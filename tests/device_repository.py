"""A real repository and real releases for the device's tests: tiny models, real keys, a server on loopback."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from edgeship import encodings
from edgeship import manifest as manifests
from edgeship.codec import from_data
from edgeship.device import clock
from edgeship.publish import keymaking, release, stores
from edgeship.publish.repository import Repository
from edgeship.releases.documents import Policy, Rollout, written
from edgeship.releases.names import line, patch_path, policy_path, rollout_path, version
from edgeship.types import Bundle, Manifest
from tests import tiny_tflite

LINE = line("points/v1")
LABELS = ("left", "right", "up")
X = np.random.default_rng(5).normal(size=(8, 4)).astype(np.float32)
#: A moment at which all clocks of a test are right.
NOW = clock.BUILT + timedelta(days=10)


def weights(seed: int) -> np.ndarray:
    """Those of one release."""
    return np.random.default_rng(seed).normal(size=(3, 4)).astype(np.float32)


def expected(x: np.ndarray, seed: int) -> np.ndarray:
    """What the release with these weights answers."""
    scores = np.exp(x @ weights(seed).T + tiny_tflite.BIAS)
    return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def bundle(
    folder: Path,
    seed: int,
    *,
    golden: np.ndarray | None = None,
    model: bytes | None = None,
    budget: Mapping[str, Any] | None = None,
    padding: int = 0,
    compress: bool = True,
) -> Path:
    """A bundle of a tiny model.

    Args:
        folder: to write.
        seed: of its weights.
        golden: outputs that it claims to give; None: those that it gives.
        model: another file in its place.
        budget: that it claims to keep.
        padding: bytes that cannot be compressed, behind the model.
        compress: store the model as zstd.
    """
    noise = np.random.default_rng(seed).bytes(padding)
    plain = (tiny_tflite.model_bytes(weights=weights(seed)) if model is None else model) + noise
    (folder / "golden").mkdir(parents=True)
    np.save(folder / "golden" / "input_0.npy", X)
    np.save(folder / "golden" / "output_0.npy", expected(X, seed) if golden is None else golden)
    stored = None
    if compress:
        encoded = encodings.encode(plain, "zstd")
        (folder / "model.tflite.zst").write_bytes(encoded)
        stored = {"name": "model.tflite.zst", "encoding": "zstd", **_content(encoded)}
    else:
        (folder / "model.tflite").write_bytes(plain)
    golden_files = ("golden/input_0.npy", "golden/output_0.npy")
    files = [{"name": "model.tflite", **_content(plain), "stored": stored}]
    files += [{"name": name, **_content((folder / name).read_bytes()), "stored": None} for name in golden_files]
    (folder / manifests.NAME).write_bytes(manifests.written(_manifest(files, seed, budget)))
    return folder


def _content(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}


def _manifest(files: list[dict[str, Any]], seed: int, budget: Mapping[str, Any] | None) -> Manifest:
    digest = hashlib.sha256(str(seed).encode()).hexdigest()
    preprocessing = {
        "scale": None, "resize": None, "channels": None, "mean": [], "std": [], "value_range": None,
        "given_dtype": "float32", "steps": [],
    }  # fmt: skip
    spec = {"name": "x", "shape": [1, 4], "dtype": "float32", "quantization": None, "range": [-3.0, 3.0]}
    out = {"name": "probabilities", "shape": [1, 3], "dtype": "float32", "quantization": None, "range": [0.0, 1.0]}
    limits = [
        {"runtime": "litert", "max_abs": {"probabilities": 1e-4}, "agreement": {"probabilities": 0.8}},
        {"runtime": "*", "max_abs": {"probabilities": 1e-3}, "agreement": {}},
    ]
    return from_data(
        Manifest,
        {
            "schema": manifests.SCHEMA, "kind": "device", "name": LINE.model, "version": None,
            "created": "2026-11-20T21:04:05+00:00", "artifact": "tflite/float32", "format": "tflite",
            "variant": "float32", "entry": "model.tflite", "files": files,
            "runtime": {"name": "litert", "minimum": "1.5.0", "ops": [{"name": "FULLY_CONNECTED", "version": 1}]},
            "budget": {"latency_ms": None, "memory_bytes": None, **(budget or {})},
            "inputs": [{**spec, "preprocessing": preprocessing}], "outputs": [out], "labels": list(LABELS),
            "golden": {
                "samples": len(X), "inputs": {"x": "golden/input_0.npy"},
                "outputs": {"probabilities": "golden/output_0.npy"}, "tolerances": limits,
            },
            "metric": None, "latency": [], "card": None,
            "lineage": {
                "parent": None, "dataset": None, "recipe": {}, "report_sha256": digest, "made_by": {},
                "source": {"name": "net.keras", "kind": "keras", "sha256": digest, "parameters": 15},
                "environment": {},
            },
        },
    )  # fmt: skip


def unexamined(bundle: Bundle, manifest: Manifest) -> None:
    """In the place of running golden samples: releases that fail on devices must come to them for that."""


class Published:
    """A repository in a folder, and who publishes there; its clock is set by the test."""

    def __init__(self, folder: Path, making: keymaking.Making = keymaking.PLAIN) -> None:
        self.folder, self.now = folder, NOW
        self.keys = keymaking.create(folder / "keys", making, dev=True)
        self.repository = Repository(stores.open_store(str(folder / "repo")), self.keys, lambda: self.now)
        self._bundles = 0

    @property
    def root(self) -> bytes:
        return self.keys.root

    def release(self, text: str, seed: int, *, patch: tuple[str, bytes] | None = None, **made: Any) -> str:
        """Publish a release; all devices get it where it is the first. SHA-256 of its model."""
        self._bundles += 1
        place = bundle(self.folder / f"bundle-{self._bundles}", seed, **made)
        release.publish(self.repository, [place], model=LINE.model, version=version(text), examine=unexamined)
        found = manifests.read_file(place / manifests.NAME)[0].files[0].sha256
        if patch is not None:
            self.repository.change(lambda draft: draft.put(patch_path(LINE, patch[0], found), patch[1]))
        return found

    def rollout(self, stable: str, **fields: Any) -> None:
        """Say who gets what."""
        document = Rollout(LINE.model, LINE.major, fields.pop("rollout", f"r-{stable}"), stable, **fields)
        self.repository.change(lambda draft: draft.put_online(rollout_path(LINE), written(document)))

    def policy(self, floor: str, *revoked: str) -> None:
        """Say what may not run."""
        document = Policy(LINE.model, LINE.major, floor, revoked)
        self.repository.change(lambda draft: draft.put(policy_path(LINE), written(document)))

    def snapshot(self, name: str) -> Path:
        """A copy of the repository as it is."""
        return Path(shutil.copytree(self.folder / "repo", self.folder / name))

    def restore(self, name: str) -> None:
        """Put an earlier copy in its place."""
        shutil.rmtree(self.folder / "repo")
        shutil.copytree(self.folder / name, self.folder / "repo")


#: Answers a request in place of the server; False: the server shall.
Trick = Callable[["Handler"], bool]


class Handler(BaseHTTPRequestHandler):
    """Static files with Range, as nginx serves them; `server.trick` may answer first."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range")))
        try:
            if self.server.trick is None or not self.server.trick(self):
                self.serve()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def serve(self) -> None:
        path = self.server.folder / self.path.lstrip("/")
        if ".." in self.path or not path.is_file():
            self.answer(404, b"not here")
            return
        content = path.read_bytes()
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if found is None:
            self.answer(200, content)
        elif int(found[1]) >= len(content):
            self.answer(416, b"")
        else:
            start = int(found[1])
            said = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.answer(206, content[start:], {"Content-Range": said})

    def answer(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.server.sent += len(content)

    def log_message(self, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Serves a folder on loopback, and keeps what was asked for."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.requests: list[tuple[str, str | None]] = []
        self.sent = 0
        self.trick: Trick | None = None

    def handle_error(self, *_: object) -> None:
        """Clients that go away are what tests are about."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    """A server for a folder, until the block ends."""
    server = Server(folder)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def at(moment: datetime) -> Callable[[], datetime]:
    """A clock that stands."""
    return lambda: moment.astimezone(UTC)


def loads(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
