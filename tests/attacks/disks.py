"""A disk that loses what was not brought down to it: a trace is played on it, and what a power cut may leave is read.

Only fsync makes anything last: of a file its content, of a folder the names in it. What was not synced may be there or
not, in any combination; ext4 is kinder (it keeps an order), other file systems and cheap cards are not.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .traces import Call


@dataclass
class Node:
    """A file, a symbolic link or a folder, as programs see it and as it has lasted.

    Attributes:
        content: of a file.
        kept: the content that lasts; None: none was ever synced.
        names: of a folder.
        kept_names: those that last.
        link: where a symbolic link leads; None: it is none.
    """

    folder: bool = False
    content: bytes = b""
    kept: bytes | None = None
    names: dict[str, Node] = field(default_factory=dict)
    kept_names: dict[str, Node] = field(default_factory=dict)
    link: str | None = None


_BLOCK = 128
#: Of a node, what a power cut leaves: the names of a folder, the content of a file.
Names = Callable[[Node], dict[str, Node]]
Content = Callable[[Node], bytes]


class Disk:
    """A folder on a disk, all of which has lasted so far."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[int, Node] = {}
        self._root = self._read(folder)

    def _read(self, path: Path) -> Node:
        found = path.lstat()
        if found.st_ino in self._known:
            return self._known[found.st_ino]
        node = self._known[found.st_ino] = Node()
        if path.is_symlink():
            node.link = str(path.readlink())
        elif path.is_dir():
            node.folder = True
            node.names = {entry.name: self._read(entry) for entry in path.iterdir()}
            node.kept_names = dict(node.names)
        else:
            node.content = node.kept = path.read_bytes()
        return node

    def _at(self, path: Path) -> Node:
        node = self._root
        for name in path.relative_to(self._folder).parts:
            node = node.names[name]
        return node

    def apply(self, call: Call) -> None:
        """What a call does."""
        path = call.paths[-1]
        names = self._at(path.parent).names if path != self._folder else {}
        match call.name:
            case "openat" | "open" | "creat":
                node = names.setdefault(path.name, Node())
                node.content = b"" if call.truncates else node.content
            case "write":
                self._at(path).content += call.content
            case "rename" | "renameat" | "renameat2":
                names[path.name] = self._at(call.paths[0].parent).names.pop(call.paths[0].name)
            case "unlink" | "unlinkat" | "rmdir":
                del names[path.name]
            case "mkdir" | "mkdirat":
                names[path.name] = Node(folder=True)
            case "link" | "linkat":
                names[path.name] = self._at(call.paths[0])
            case "symlink" | "symlinkat":
                names[path.name] = Node(link=str(call.paths[0]).lstrip("/"))
            case "fsync" | "fdatasync":
                self._sync(self._at(path))
            case "chmod" | "fchmod" | "fchmodat":
                pass
            case other:
                raise AssertionError(f"{other} changes a disk in a way that is not played back")

    def _sync(self, node: Node) -> None:
        node.kept, node.kept_names = node.content, dict(node.names)

    def after_a_cut(self, names: Names, content: Content) -> dict[str, bytes | None]:
        """Path -> content of what is there then; of folders None, of symbolic links where they lead."""
        found: dict[str, bytes | None] = {}

        def walk(path: str, node: Node) -> None:
            if node.link is not None:
                found[path] = b"-> " + node.link.encode()
            elif node.folder:
                found[path] = None
                for name, inner in names(node).items():
                    walk(f"{path}/{name}", inner)
            else:
                found[path] = content(node)

        walk(".", self._root)
        return found


def _seen(node: Node) -> dict[str, Node]:
    return node.names


def _kept(node: Node) -> dict[str, Node]:
    return node.kept_names


def _empty(node: Node) -> bytes:
    return node.content if node.kept == node.content else b""


def _half(node: Node) -> bytes:
    return node.content if node.kept == node.content else node.content[: len(node.content) // 2]


def _zeros(node: Node) -> bytes:
    return node.content if node.kept == node.content else bytes(len(node.content))


def _old(node: Node) -> bytes:
    return node.kept or b""


#: What a disk may do, by name.
CUTS: dict[str, tuple[Names, Content]] = {
    "nothing unsynced lasts": (_kept, _old),
    "names last, contents are empty": (_seen, _empty),
    "names last, contents are cut off": (_seen, _half),
    "names last, contents are zeros": (_seen, _zeros),
}


def by_chance(seed: int) -> tuple[Names, Content]:
    """Any combination of what was not synced."""
    chance = random.Random(seed)

    def torn(node: Node) -> bytes:
        """Some blocks came to the disk, some did not."""
        lost = [at for at in range(0, len(node.content), _BLOCK) if chance.random() < 0.5]
        found = bytearray(node.content)
        for at in lost:
            found[at : at + _BLOCK] = bytes(len(found[at : at + _BLOCK]))
        return bytes(found)

    def names(node: Node) -> dict[str, Node]:
        every = dict.fromkeys((*node.kept_names, *node.names))
        sides = ((name, chance.choice((node.kept_names, node.names))) for name in every)
        return {name: side[name] for name, side in sides if name in side}

    def content(node: Node) -> bytes:
        whole = node.kept == node.content
        return (
            node.content if whole else chance.choice((_old, _empty, _half, _zeros, torn, lambda it: it.content))(node)
        )

    return names, content


def write(found: dict[str, bytes | None], folder: Path) -> None:
    """Make a folder of what a cut has left."""
    for path, content in found.items():
        place = folder / path
        if content is None:
            place.mkdir(parents=True, exist_ok=True)
        elif content.startswith(b"-> "):
            place.symlink_to(content[3:].decode())
        else:
            place.write_bytes(content)


def digest(found: dict[str, bytes | None]) -> str:
    """Tells what cuts leave from each other."""
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()
