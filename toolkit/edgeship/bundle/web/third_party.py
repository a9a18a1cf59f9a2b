"""What of others is part of a web package, and on what terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: What the WebAssembly of a runtime is made of, beyond its own project: name, license, where from.
_COMPILED = {
    "tfjs": (
        ("XNNPACK", "BSD-3-Clause", "https://github.com/google/XNNPACK"),
        ("Emscripten runtime", "MIT", "https://github.com/emscripten-core/emscripten"),
    ),
    "litert": (
        ("LiteRT", "Apache-2.0", "https://github.com/google-ai-edge/LiteRT"),
        ("XNNPACK", "BSD-3-Clause", "https://github.com/google/XNNPACK"),
        ("FlatBuffers", "Apache-2.0", "https://github.com/google/flatbuffers"),
        ("Emscripten runtime", "MIT", "https://github.com/emscripten-core/emscripten"),
    ),
}
_HEAD = """# Software of others in this package

The scripts and WebAssembly here contain what follows, in whole or in part, unchanged but for bundling: operators that
the model does not need are left out. Apache-2.0 is in LICENSE-Apache-2.0.txt; the texts of the other licenses are in
the projects named. The model itself is its owner's.

| name | version | license | source |
|---|---|---|---|
"""


def third_party(packages: Sequence[Mapping[str, str]], runtimes: Sequence[str]) -> str:
    """A table of npm packages (`name`, `version`, `license`, `source`) and of what is compiled in."""
    rows = [(p["name"], p["version"], p["license"], p["source"].removeprefix("git+")) for p in packages]
    families = dict.fromkeys(name.split("-", maxsplit=1)[0] for name in runtimes if not name.startswith("tfjs-webg"))
    for family in families:
        rows += [(name, "", license_name, source) for name, license_name, source in _COMPILED[family]]
    lines = "".join(f"| {' | '.join(cells)} |\n" for cells in dict.fromkeys(rows))
    return f"{_HEAD}{lines}"
