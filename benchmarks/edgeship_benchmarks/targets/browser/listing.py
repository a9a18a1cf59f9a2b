"""What a page may ask for: a list of paths with their content, and nothing else.

Content is read and hashed once, when it is listed, and sent from memory: what is served later is what was hashed.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeship import cache
from edgeship.encodings import encode
from edgeship.errors import ArtifactError, MissingPackageError
from edgeship.files import whole_folder
from edgeship.types import on_the_wire
from edgeship_benchmarks import node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeship.types import Artifact

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".wasm": "application/wasm",
}
#: Brotli's best quality, 11, takes half a minute for the largest WebAssembly files; 9 takes some 2 s.
_LARGE_BYTES = 2 << 20

#: The page itself, by what it is asked for.
PAGE = {
    name: f"browser/{name or 'index.html'}"
    for name in ("", "page.css", "page.mjs", "here.mjs", "offline.mjs", "view.mjs", "service_worker.js")
}
#: What runs in workers of the page, below `web/`.
AGENT = (
    "npy.mjs",
    "operations.mjs",
    "tfjs.mjs",
    *(f"browser/{n}.mjs" for n in ("agent", "clock", "files", "gpu", "litert", "onnx", "tfjs")),
    "browser/worker.js",
)
_TFJS = "@tensorflow/tfjs-{0}/dist/tf-{0}.es2017.min.js"
_TFJS_WASM = tuple(
    f"@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm{kind}.wasm" for kind in ("", "-simd", "-threaded-simd")
)
_LITERT = tuple(
    f"@litertjs/core/wasm/litert_wasm{kind}_internal{end}"
    for kind in ("", "_compat", "_threaded")
    for end in (".js", ".wasm")
)
_ORT = "onnxruntime-web/dist/ort"


def _tfjs(backend: str) -> tuple[str, ...]:
    return tuple(_TFJS.format(part) for part in ("core", "converter", f"backend-{backend}"))


def _ort(kind: str, wasm: str) -> tuple[str, ...]:
    return (f"{_ORT}.{kind}.min.mjs", *(f"{_ORT}-wasm-simd-threaded{wasm}{end}" for end in (".mjs", ".wasm")))


_LITERT_ALL = ("@litertjs/core/dist/index.js", "@litertjs/wasm-utils/dist/index.js", *_LITERT)
#: First part of a runtime's name, longest first -> files of npm packages that it may load.
_FILES = {
    "tfjs-wasm": (*_tfjs("wasm"), *_TFJS_WASM),
    "tfjs-webgpu": _tfjs("webgpu"),
    "tfjs-webgl": _tfjs("webgl"),
    "litert-web": _LITERT_ALL,
    "ort-web-webgpu": _ort("webgpu", ".asyncify"),
    "ort-web-wasm": _ort("wasm", ""),
}
PACKAGES = frozenset(name for names in _FILES.values() for name in names)


def packages(runtime: str) -> tuple[str, ...]:
    """Files of npm packages that a runtime may load."""
    return next(names for start, names in _FILES.items() if runtime.startswith(start))


#: Workers have no import maps: the one bare name in these packages becomes a path.
_REWRITTEN = {
    "@litertjs/core/dist/index.js": (b'from "@litertjs/wasm-utils"', b'from "../../wasm-utils/dist/index.js"'),
}


@dataclass(frozen=True)
class Listed:
    """One thing that is served.

    Attributes:
        type: as in the header `Content-Type`.
        sha256: of the content.
    """

    content: bytes
    type: str
    sha256: str

    def encoded(self, accepted: str) -> tuple[str, bytes]:
        """Name of the encoding (empty = none) and what is sent to a browser with this `Accept-Encoding`."""
        names = {part.partition(";")[0].strip() for part in accepted.split(",")}
        for name in ("br", "gzip"):
            if name in names:
                found = _encoded(self, name)
                pays = on_the_wire(len(self.content), len(found)) < len(self.content)
                return (name, found) if pays else ("", self.content)
        return "", self.content


def listed(name: str, content: bytes) -> Listed:
    """Content with the type that browsers insist on, by the end of its name."""
    kind = _TYPES.get(Path(name).suffix, "application/octet-stream")
    return Listed(content, kind, hashlib.sha256(content).hexdigest())


@functools.lru_cache(maxsize=256)
def _encoded(thing: Listed, encoding: str) -> bytes:
    """Encoded once for all times: the largest runtimes take seconds."""
    quality = 11 if len(thing.content) < _LARGE_BYTES else 9
    place = cache.root() / "web" / f"{thing.sha256}-{quality}-{encoding}"
    file = place / "content"
    try:
        return file.read_bytes()
    except OSError:
        pass  # not there yet
    found = encode(thing.content, encoding, brotli_quality=quality)
    with whole_folder(place, keep=True) as folder:
        (folder / file.name).write_bytes(found)
    return found


@functools.cache
def web_file(name: str) -> Listed:
    """A file of ours, below `web/`."""
    return listed(name, (node.WEB / name).read_bytes())


@functools.cache
def package_file(name: str) -> Listed:
    """A file of an npm package. Raises MissingPackageError."""
    try:
        content = (node.packages_folder() / "node_modules" / name).read_bytes()
    except OSError as error:
        raise MissingPackageError(f"{name} is not installed", remedy=f"Get it: {node.REMEDY}") from error
    if name in _REWRITTEN:
        content = content.replace(*_REWRITTEN[name])
    return listed(name, content)


def model_files(artifact: Artifact) -> Mapping[str, Listed]:
    """Files of an artifact that a browser needs. Raises ArtifactError where one is not what its sidecar says."""
    found = {}
    for entry in artifact.files:
        try:
            thing = listed(entry.name, (artifact.path / entry.name).read_bytes())
        except OSError as error:
            raise ArtifactError(f"{artifact.id}: cannot read {entry.name}: {error}") from error
        if thing.sha256 != entry.sha256:
            raise ArtifactError(f"{artifact.id}: {entry.name} has changed since it was made")
        found[entry.name] = thing
    return found
