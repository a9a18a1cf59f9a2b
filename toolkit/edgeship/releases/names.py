"""Names of models and versions, and where in a repository everything lies."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgeship.errors import InputError

_MODEL = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_CHANNEL = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_VARIANT = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)+")
_NUMBER = r"(0|[1-9][0-9]{0,9})"
_VERSION = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}")
_LARGEST = 2**31 - 1
#: Digits of a SHA-256 that tell files of one model apart, in the name of a patch.
_DIGITS = 12


@dataclass(frozen=True, order=True)
class Version:
    """`major.minor.patch` of semantic versioning, without labels; ordered by its numbers."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


def version(text: str) -> Version:
    """Read a version. Raises InputError for anything but three plain numbers below 2^31."""
    found = _VERSION.fullmatch(text)
    if found is None or any(int(number) > _LARGEST for number in found.groups()):
        raise InputError(f"{text!r} is not a version", remedy="Versions are three numbers, such as 1.4.0.")
    return Version(*map(int, found.groups()))


@dataclass(frozen=True, order=True)
class Line:
    """A model and a major version: what an application is written for. Its releases are interchangeable."""

    model: str
    major: int

    def __str__(self) -> str:
        return f"{self.model}/v{self.major}"


def line(text: str) -> Line:
    """Read `model/v1`. Raises InputError for anything else."""
    model, _, major = text.rpartition("/v")
    if not re.fullmatch(_NUMBER, major) or int(major) > _LARGEST:
        raise InputError(f"{text!r} is no line of releases", remedy="Give the model and its major version: MODEL/v1.")
    return Line(check_model(model), int(major))


def check_model(name: str) -> str:
    """The name, if models may have it; else InputError."""
    if not _MODEL.fullmatch(name):
        raise InputError(
            f"{name!r} cannot be the name of a model", remedy="Allowed are a-z, 0-9 and . _ - between them, 64 at most."
        )
    return name


def check_channel(name: str) -> str:
    """The name, if a channel may have it; else InputError."""
    if not _CHANNEL.fullmatch(name):
        raise InputError(f"{name!r} is no name of a channel", remedy="Allowed are a-z, 0-9, _ and -, at most 32.")
    return name


def check_variant(name: str) -> str:
    """The variant (`tflite-int8`), if a release may have it; else InputError."""
    if len(name) > 64 or not _VARIANT.fullmatch(name):
        raise InputError(f"{name!r} is no variant", remedy="A variant is FORMAT-VARIANT, such as tflite-int8.")
    return name


def policy_path(of: Line) -> str:
    """Target path of the offline document that holds floor and revocations."""
    return f"{line_folder(of)}/policy.json"


def rollout_path(of: Line) -> str:
    """Target path of the online document that chooses among releases."""
    return f"rollout/{of}.json"


def line_folder(of: Line) -> str:
    """Where the releases of a line are, as a target path without a slash at its end."""
    return f"models/{of}"


def release_folder(model: str, release: Version, variant: str) -> str:
    """Where the files of a release in one variant are, as a target path without a slash at its end."""
    return f"{line_folder(Line(model, release.major))}/{release}/{variant}"


def manifest_path(model: str, release: Version, variant: str) -> str:
    """Target path of the manifest of a release in one variant."""
    return f"{release_folder(model, release, variant)}/manifest.json"


def patch_path(of: Line, old_sha256: str, new_sha256: str) -> str:
    """Target path of the patch between two files, both by the SHA-256 of their plain content."""
    return f"{line_folder(of)}/patches/{old_sha256[:_DIGITS]}-{new_sha256[:_DIGITS]}.esd"


def release_of(path: str, model: str) -> tuple[Version, str] | None:
    """Version and variant of which this target path is the manifest; None where it is none of that model."""
    parts = path.split("/")
    if len(parts) != 6 or parts[:2] != ["models", model] or parts[5] != "manifest.json":
        return None
    try:
        return version(parts[3]), parts[4]
    except InputError:
        return None
