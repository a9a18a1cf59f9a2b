"""Where a device keeps what, and what it was told when it was enrolled."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from edgeship.codec import from_json, to_json
from edgeship.device import closed, durable
from edgeship.errors import InputError
from edgeship.releases.choice import Member
from edgeship.releases.names import Line, check_channel, check_model, check_variant, line

SCHEMA = "edgeship.device/1"
#: Names an environment variable with the folder in which each enrolment has a folder of its name.
FOLDER_VARIABLE = "EDGESHIP_DEVICE_DIR"
#: What `device init` enrols for, best first: LiteRT is what runs here.
VARIANTS = ("tflite-int8", "tflite-int8-floatio", "tflite-float16", "tflite-dynamic", "tflite-float32")
#: Where they are on a board.
SYSTEM_FOLDER = Path("/var/lib/edgeship")
_ROOT_LIMIT_BYTES = 512_000


@dataclass(frozen=True)
class Limits:
    """How much a repository may take of a device.

    Attributes:
        seconds: for an answer to begin, and for metadata to be there.
        bytes_per_second: least rate of a download.
        release_bytes: largest release, its files as they are used.
        test_seconds: of a self-test.
        test_memory_mib: of the process of a self-test.
        slowdown: a new release may take this many times as long as the one before, on this device.
    """

    seconds: float = 60.0
    bytes_per_second: int = 1000
    release_bytes: int = 256 << 20
    test_seconds: float = 300.0
    test_memory_mib: int = 1024
    slowdown: float = 4.0


@dataclass(frozen=True)
class Probation:
    """When a new release is trusted, and when it is taken back.

    Attributes:
        starts: processes that must have served with it.
        minutes: that must have passed.
        failures: processes that died with it, or votes against it, after which the release before comes back.
    """

    starts: int = 1
    minutes: float = 60.0
    failures: int = 3


@dataclass(frozen=True)
class Telemetry:
    """Where counters go; None: nowhere. Without any of them nothing is counted.

    Attributes:
        textfile: for the textfile collector of Prometheus's node exporter.
        otlp: address of an OTLP/HTTP receiver (`http://host:4318/v1/metrics`).
    """

    textfile: Path | None = None
    otlp: str | None = None

    @property
    def on(self) -> bool:
        """Whether anything is counted."""
        return self.textfile is not None or self.otlp is not None


@dataclass(frozen=True)
class Config:
    """What `edgeship device init` wrote.

    Attributes:
        repository: address of the folder with `metadata/` and `targets/`, without a slash at its end.
        line: `model/v1`.
        variants: that this device runs, best first.
        channel: that a person put it into; None: none.
    """

    repository: str
    line: str
    variants: tuple[str, ...] = VARIANTS
    channel: str | None = None
    limits: Limits = field(default_factory=Limits)
    probation: Probation = field(default_factory=Probation)
    telemetry: Telemetry = field(default_factory=Telemetry)
    schema: str = SCHEMA

    def of(self) -> Line:
        """The line of releases that it follows."""
        return line(self.line)


@dataclass(frozen=True)
class Place:
    """The folder of one enrolment."""

    folder: Path

    @property
    def config(self) -> Path:
        """What was said when the device was enrolled; written last, so that with it all is there."""
        return self.folder / "config.json"

    @property
    def root(self) -> Path:
        """The trust anchor: never changed."""
        return self.folder / "root.json"

    @property
    def install_id(self) -> Path:
        """The random number by which rollouts draw devices."""
        return self.folder / "install_id"

    @property
    def tuf(self) -> Path:
        """Metadata as they were verified; may be lost."""
        return self.folder / "tuf"

    @property
    def documents(self) -> Path:
        """Policies, rollouts and manifests by their SHA-256; may be lost."""
        return self.folder / "documents"

    @property
    def downloads(self) -> Path:
        """Files by their SHA-256, `.part` where they are not whole; may be lost."""
        return self.folder / "downloads"

    @property
    def seen(self) -> Path:
        """What the device does not go back behind."""
        return self.folder / "seen.json"

    @property
    def state(self) -> Path:
        """Which slot is active, and how that is going."""
        return self.folder / "state.json"

    @property
    def starts(self) -> Path:
        """One locked file for each process that tries a release in probation."""
        return self.folder / "starts"

    @property
    def metrics(self) -> Path:
        """Counters."""
        return self.folder / "metrics.json"

    def slot(self, name: str) -> Path:
        """The folder of slot `a` or `b`."""
        return self.folder / name


def base(given: Path | None = None) -> Path:
    """The folder with a folder for each enrolment: given, from the environment, the system's, or the user's."""
    if given is not None:
        return given
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    if os.geteuid() == 0 or os.path.lexists(SYSTEM_FOLDER):
        return SYSTEM_FOLDER
    import platformdirs

    return Path(platformdirs.user_data_dir("edgeship")) / "device"


def names(folder: Path | None = None) -> tuple[str, ...]:
    """Of all enrolments that this user may look at, sorted. Raises InputError where there is none."""
    where = base(folder)
    places, found = [], []
    refused: InputError | None = None
    # Not glob(), which takes a folder that is closed to us for an empty one.
    with closed.readable(where), suppress(FileNotFoundError, NotADirectoryError):
        places = [Place(each) for each in sorted(where.iterdir())]
    for place in places:
        try:
            with closed.readable(place.folder):
                if _is_enrolment(place):
                    found.append(place.folder.name)
        except InputError as error:
            refused = error
    if not found:
        raise refused or InputError(f"no model is enrolled in {where}", remedy=_ENROL)
    return tuple(found)


def enrolled(name: str | None = None, folder: Path | None = None) -> Place:
    """The enrolment of that name, or the only one.

    Raises InputError where there is none, or more than one, or it is in a folder that another user keeps closed.
    """
    where = base(folder)
    if name is None:
        found = names(folder)
        if len(found) != 1:
            raise InputError(f"{len(found)} models are enrolled in {where}", remedy=f"Name one of {', '.join(found)}.")
        name = found[0]
    place = Place(where / check_model(name))
    with closed.readable(place.folder):
        there = _is_enrolment(place)
    if not there:
        known = ", ".join(names(folder))
        raise InputError(f"{name} is not enrolled in {where}", remedy=f"{_ENROL} Enrolled is {known}.")
    return place


def _is_enrolment(place: Place) -> bool:
    """Either file is enough: without the other one the model serves, and an update says what to do."""
    return closed.is_there(place.config) or closed.is_there(place.root)


_ENROL = "Enrol it: edgeship device init --repo URL --root root.json --line MODEL/v1"


def read(place: Place) -> Config:
    """What the device was told. Raises InputError for a config that is damaged."""
    try:
        found = from_json(Config, place.config.read_text(encoding="utf-8"))
        check(found)
    except (OSError, UnicodeDecodeError, InputError) as error:
        raise InputError(f"{place.config} cannot be used: {error}", remedy="Write it anew with device init.") from error
    return found


def check(config: Config) -> None:
    """Raise InputError for a config that no device can follow."""
    if config.schema != SCHEMA:
        raise InputError(f"it is of {config.schema!r}, this edgeship reads {SCHEMA!r}", remedy="Use a newer one.")
    if not _is_address(config.repository):
        raise InputError(f"{config.repository!r} is no address of a repository", remedy=_ADDRESSES)
    if config.telemetry.otlp is not None and not _is_address(config.telemetry.otlp):
        raise InputError(f"{config.telemetry.otlp!r} is no address of a receiver", remedy=_ADDRESSES)
    config.of()
    if not config.variants:
        raise InputError("a device needs a variant", remedy=f"For example {VARIANTS[0]}.")
    for name in config.variants:
        if not check_variant(name).startswith("tflite-"):
            raise InputError(f"{name} does not run here", remedy="Name variants of tflite, such as tflite-int8.")
    if config.channel is not None:
        check_channel(config.channel)
    limits, probation = config.limits, config.probation
    least: Mapping[str, float] = {
        "seconds": limits.seconds,
        "bytes_per_second": limits.bytes_per_second,
        "release_bytes": limits.release_bytes,
        "test_seconds": limits.test_seconds,
        "test_memory_mib": limits.test_memory_mib,
        "slowdown": limits.slowdown,
        "failures": probation.failures,
    }
    for name, value in least.items():
        if not value > 0:
            raise InputError(f"{name} is {value}", remedy="It must be more than 0.")
    if probation.starts < 0 or not probation.minutes >= 0:
        raise InputError("a probation cannot be less than nothing")


_ADDRESSES = "Give http://HOST/... or https://HOST/..., without ? and #."


def _is_address(text: str) -> bool:
    try:
        found = urlsplit(text)
    except ValueError:
        return False
    return found.scheme in ("http", "https") and bool(found.hostname) and not found.query and not found.fragment


def enrol(place: Place, config: Config, root: bytes) -> bool:
    """Enrol a device, or change the settings of one, its repository's address among them; False: nothing was to do.

    Args:
        place: its folder; made where it is missing.
        config: what it is told.
        root: a root.json of the repository: from then on the device believes whom that names. Where one is believed
            already, a later one of the same repository changes nothing of that.

    Raises:
        InputError: the config or the root cannot be used, or the folder belongs to another root or line.
    """
    from edgeship.device.trust import check_root, succeeds

    check(config)
    if len(root) > _ROOT_LIMIT_BYTES:
        raise InputError(f"the root has {len(root):,} bytes, {_ROOT_LIMIT_BYTES:,} are allowed")
    check_root(root)
    earlier, believed = _earlier(place)
    if believed is not None and succeeds(place, believed, root):
        root = believed  # a later one of the same repository: the anchor is never changed
    follows = config if earlier is None else earlier
    if follows.line != config.line or (believed is not None and believed != root):
        whose = "by the same root" if believed == root else "by another root"
        raise InputError(
            f"{place.folder} follows {follows.line} of {follows.repository} already, {whose}",
            remedy="Give another --name to follow both, or remove the folder to start anew. If it is the same "
            "repository after many rotations, update first, or give the root.json of before.",
        )
    if (earlier, believed) == (config, root):
        return False
    with durable.storage(place.folder):
        for folder in (place.folder, place.tuf, place.documents, place.downloads, place.starts):
            folder.mkdir(parents=True, exist_ok=True)
    member(place, config)
    durable.write(place.root, root)
    durable.write(place.config, to_json(config).encode())
    return True


def _earlier(place: Place) -> tuple[Config | None, bytes | None]:
    """What an enrolment was told, and its root; None for what is not there or damaged: that is given again."""
    try:
        told = read(place)
    except InputError:
        told = None
    try:
        return told, anchor(place)
    except InputError:
        return told, None


def anchor(place: Place) -> bytes:
    """The root that the device was enrolled with. Raises InputError where that is lost or damaged."""
    from edgeship.device.trust import check_root

    try:
        content = place.root.read_bytes()
        check_root(content)
    except (OSError, InputError) as error:
        raise InputError(
            f"{place.root} is lost or damaged, and without it nobody is believed",
            remedy="Give it again, from a source you trust: edgeship device init with the same --repo and --line.",
        ) from error
    return content


def member(place: Place, config: Config) -> Member:
    """The device as rollouts see it. An install id that was lost is drawn anew: it means nothing by itself."""
    try:
        found = place.install_id.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        found = ""
    if not re.fullmatch(r"[0-9a-f]{32}", found):
        found = secrets.token_hex(16)
        durable.write(place.install_id, found.encode())
    return Member(found, config.variants, config.channel)
