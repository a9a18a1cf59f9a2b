"""The files of a web package that are text about its model: each word of the model's is escaped for where it stands."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeship.bundle.web.scripts import SOURCES
from edgeship.bundle.web.third_party import third_party
from edgeship.errors import InputError
from edgeship.report.page import escape_markdown

_TEMPLATES = Path(__file__).with_name("templates")
#: As npm has them: "name" in its documentation of package.json.
_NAME = re.compile(r"(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*")
_LONGEST_NAME = 214
#: The license of the runtimes, which asks that a copy of it comes with them.
_APACHE = "LICENSE-Apache-2.0.txt"
_TAKEN = ("node_modules", "favicon.ico")
_VERSION = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?")
#: More labels than this are `string` in types: compilers slow down.
_MOST_LITERALS = 2000
_SHOWN_LABELS = 10
_ARRAYS = {"float32": "Float32Array", "int32": "Int32Array", "uint8": "Uint8Array", "bool": "Uint8Array"}


def checked_name(name: str) -> str:
    """A name that npm takes. Raises InputError."""
    if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name) or name in _TAKEN:
        raise InputError(
            f"{name!r} cannot be the name of an npm package",
            remedy="Allowed: small letters, digits, ., _ and -, which it does not begin with; @scope/ before it.",
        )
    return name


def checked_version(version: str) -> str:
    """A version that npm takes. Raises InputError."""
    if not _VERSION.fullmatch(version):
        raise InputError(f"{version!r} is no version", remedy="Give three numbers, such as 1.2.0 or 1.2.0-rc.1.")
    return version


def package_name(name: str) -> str:
    """An npm name from that of a build."""
    plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:100]
    return plain if plain and plain not in _TAKEN else f"model-{plain}".rstrip("-")


def shell_path(path: Path) -> str:
    """A folder as npm takes it for one: with a slash in front or a dot."""
    text = path.as_posix()
    return shlex.quote(text if path.is_absolute() or text.startswith(".") else f"./{text}")


def written(description: Mapping[str, Any], packages: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The texts of a package by name of file."""
    return {
        "package.json": _package_json(description),
        "model.d.ts": _types(description),
        "updates.d.ts": _update_types(),
        "README.md": _readme(description),
        _APACHE: (_TEMPLATES / _APACHE).read_text(encoding="utf-8"),
        "THIRD_PARTY.md": third_party(packages, [runtime["name"] for runtime in description["runtimes"]]),
    }


def usage(description: Mapping[str, Any]) -> tuple[str, ...]:
    """Five lines that use the package, JavaScript and strict TypeScript; names come as JSON strings, which are both."""
    image = all(spec["image"] for spec in description["inputs"])
    if image:
        given = "document.images[0]"
    elif len(description["inputs"]) == 1:
        given = _example_array(description["inputs"][0])
    else:
        pairs = (f"{_string(spec['name'])}: {_example_array(spec)}" for spec in description["inputs"])
        given = f"{{ {', '.join(pairs)} }}"
    result = "classes" if description["labels"] else "outputs"
    shown = "classes[0].label, classes[0].confidence" if description["labels"] else "outputs"
    return (
        f"import {{ load }} from {_string(description['name'])};",
        "const model = await load();",
        f"const {{ {result} }} = await model.predict({given});",
        f"console.log({shown});",
        "model.dispose();",
    )


def _example_array(spec: Mapping[str, Any]) -> str:
    count = 1
    for size in spec["shape"]:
        count *= size or 1
    return f"new {_ARRAYS[spec['dtype']]}({count})"


def _string(text: str) -> str:
    """A literal for JSON, JavaScript and TypeScript; ASCII only, and `</script` or `*/` end nothing."""
    return json.dumps(text).replace("/", "\\/") if "/" in text and ("</" in text or "*/" in text) else json.dumps(text)


def _package_json(description: Mapping[str, Any]) -> str:
    files = ["assets", "manifest.json", "*.d.ts", "*.js", "*.md", _APACHE]
    document = {
        "name": description["name"],
        "version": description["version"],
        "description": "A model with its runtime for browsers and Node, made by edgeship.",
        "license": "SEE LICENSE IN THIRD_PARTY.md",
        "type": "module",
        "sideEffects": ["./worker.js"],
        "main": "./node.js",
        "browser": "./index.js",
        "types": "./model.d.ts",
        "exports": {
            ".": {
                "types": "./model.d.ts",
                "browser": "./index.js",
                "node": "./node.js",
                "default": "./index.js",
            },
            "./updates": {"types": "./updates.d.ts", "default": "./updates.js"},
            "./worker.js": "./worker.js",
            "./sw.js": "./sw.js",
            "./assets/*": "./assets/*",
            "./manifest.json": "./manifest.json",
            "./package.json": "./package.json",
        },
        "files": files,
        "engines": {"node": ">=18"},
    }
    return json.dumps(document, indent=2) + "\n"


def _types(description: Mapping[str, Any]) -> str:
    """Types of this model, then those of every package."""
    labels = description["labels"]
    literal = " | ".join(_string(label) for label in dict.fromkeys(labels))
    label = "never" if not labels else "string" if len(labels) > _MOST_LITERALS else literal
    lines = [
        "// Written by edgeship from the model's own signature.",
        "",
        f"export type Label = {label};",
        f"export type RuntimeName = {' | '.join(_string(runtime['name']) for runtime in description['runtimes'])};",
        "",
        "export interface Inputs {",
    ]
    for spec in description["inputs"]:
        image = "ImageSource | " if spec["image"] else ""
        lines += [
            f"  /** {_comment(spec)} */",
            f"  {_string(spec['name'])}: {image}{_ARRAYS[spec['dtype']]} | number[];",
        ]
    lines += ["}", "", "export interface Outputs {"]
    for spec in description["outputs"]:
        lines += [f"  /** {_comment(spec)} */", f"  {_string(spec['name'])}: OutputTensor<{_ARRAYS[spec['dtype']]}>;"]
    first = description["inputs"][0]
    alone = f"Inputs[{_string(first['name'])}] | " if len(description["inputs"]) == 1 else ""
    lines += ["}", "", "/** What `predict` takes: the only input as it is, or all of them by name. */"]
    lines += [f"export type Input = {alone}Inputs;", ""]
    return "\n".join(lines) + _public("public.ts") + "\n" + (_TEMPLATES / "types.d.ts").read_text(encoding="utf-8")


def _update_types() -> str:
    head = '// Written by edgeship.\nimport type { ModelUpdates, ReleaseName } from "./model.js";\n\n'
    return head + _public("public_updates.ts")


def _public(source: str) -> str:
    """The declarations of a file of types only, as they stand in the sources."""
    lines = (SOURCES / source).read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines[1:] if not line.startswith("import ")]
    return "\n".join(kept).strip() + "\n"


def _comment(spec: Mapping[str, Any]) -> str:
    """Numbers and fixed words only, so that nothing ends the comment."""
    shape = ", ".join("any" if size is None else str(size) for size in spec["shape"])
    image = spec.get("image")
    if not image:
        return f"{spec['dtype']} [{shape}]"
    words = f"image, resized to {image['width']}x{image['height']}, {image['channels']}, x {image['scale']:.6g}"
    for sign, numbers in (("-", image["mean"]), ("/", image["std"])):
        if numbers:
            words += f" {sign} ({', '.join(f'{number:.6g}' for number in numbers)})"
    return f"{words}; or {spec['dtype']} [{shape}] as the model takes it"


def _readme(description: Mapping[str, Any]) -> str:
    template = (_TEMPLATES / "README.md").read_text(encoding="utf-8")
    labels = description["labels"]
    shown = ", ".join(escape_markdown(label) for label in labels[:_SHOWN_LABELS])
    more = f" and {len(labels) - _SHOWN_LABELS:,} more" if len(labels) > _SHOWN_LABELS else ""
    rows = [f"| input | {escape_markdown(spec['name'])} | {_comment(spec)} |" for spec in description["inputs"]]
    rows += [f"| output | {escape_markdown(spec['name'])} | {_comment(spec)} |" for spec in description["outputs"]]
    if labels:
        rows.append(f"| classes | {len(labels):,} | {shown}{more} |")
    fields = {
        "NAME": description["name"],
        "VERSION": description["version"],
        "USAGE": "\n".join(usage(description)),
        "ROWS": "\n".join(rows),
        "RUNTIMES": ", ".join(f"`{runtime['name']}`" for runtime in description["runtimes"]),
    }
    return re.sub(r"%([A-Z]+)%", lambda found: fields[found[1]], template)
