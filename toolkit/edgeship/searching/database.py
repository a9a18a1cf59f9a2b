"""The database of a search: SQLite in its folder, or PostgreSQL; and what its errors mean."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgeship.errors import (
    EdgeshipError,
    InputError,
    MissingPackageError,
    StorageFullError,
    UnavailableError,
    first_line,
)
from edgeship.searching.limits import Limits
from edgeship.searching.sampling import Sampler, quiet, sampler
from edgeship.searching.space import Space

if TYPE_CHECKING:
    import optuna

T = TypeVar("T")

FILE = "search.sqlite3"
#: Heartbeats that may be missing before a trial counts as lost.
_MISSED = 3
#: Seconds between two tries of a storage that does not answer: the first, and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
#: A disk with less than this left is full.
_FULL_BYTES = 1 << 20


def require() -> None:
    """Raise MissingPackageError where Optuna is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise MissingPackageError("a search needs Optuna", remedy="Get it: pip install 'edgeship[search]'") from error
    if not hasattr(optuna.Trial, "set_constraint"):
        raise MissingPackageError("a search needs Optuna 5", remedy="Get it: pip install 'edgeship[search]'")


def check_address(address: str | None) -> None:
    """Raise InputError for a storage that is none of ours, or whose address cannot be read."""
    if address is None:
        return
    remedy = "Allowed: postgresql://USER@HOST/DATABASE; without --storage, SQLite in the folder of the search."
    if not address.startswith("postgresql://"):
        raise InputError(f"no storage is addressed by {address.partition('://')[0][:50]!r}", remedy=remedy)
    import psycopg
    import sqlalchemy

    try:
        sqlalchemy.make_url(address)  # as Optuna reads it
        psycopg.conninfo.conninfo_to_dict(address)  # as turns do
    except (sqlalchemy.exc.ArgumentError, psycopg.Error, ValueError):
        # What they say has parts of the address, maybe of its password.
        raise InputError("the address of the storage cannot be read", remedy=remedy) from None


@dataclass(frozen=True)
class Setting:
    """What makes a study.

    Attributes:
        key: of all that its results depend on; the same key is the same study.
        owner: who runs trials from here: the machine and the folder of the search.
        heartbeat_seconds: between signs of life of running trials.
        patience_seconds: how long a storage that does not answer is waited for.
    """

    folder: Path
    key: str
    space: Space
    objectives: tuple[str, ...]
    limits: Limits
    owner: str
    address: str | None = None
    sampler: Sampler = "tpe"
    seed: int = 0
    heartbeat_seconds: int = 60
    patience_seconds: float = 60.0


def open_study(setting: Setting) -> optuna.Study:
    """The study of a search, which is made where it is new. Raises what the database raises."""
    import optuna
    import sqlalchemy

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    options: dict[str, Any] = {"heartbeat_interval": setting.heartbeat_seconds}
    options["grace_period"] = _MISSED * setting.heartbeat_seconds
    options["heartbeat_stale_trial_callback"] = wait_again
    engine: dict[str, Any]
    if setting.address is None:
        path = setting.folder / FILE
        with _closing_sqlite(path) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        url = sqlalchemy.URL.create("sqlite", database=str(path)).render_as_string()  # names may have question marks
        engine = {"connect_args": {"timeout": 60}}
    else:
        url = setting.address.replace("postgresql://", "postgresql+psycopg://", 1)
        engine = {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10, "client_encoding": "utf8"}}
    url = url.replace("{", "{{").replace("}", "}}")  # Optuna takes it for a template
    with quiet():
        storage = optuna.storages.RDBStorage(url, engine_kwargs=engine, **options)
        return _made_or_loaded(setting, storage)


def _made_or_loaded(setting: Setting, storage: optuna.storages.RDBStorage) -> optuna.Study:
    """The study, which one of all processes makes."""
    import optuna

    name = f"edgeship-{setting.key[:24]}"
    try:
        study = optuna.create_study(
            study_name=name, storage=storage, directions=["minimize"] * len(setting.objectives), load_if_exists=False
        )
        study.set_user_attr("maker", setting.owner)
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.load_study(study_name=name, storage=storage)
    study.sampler = sampler(setting.sampler, setting.seed, len(study.get_trials(deepcopy=False)))
    return study


def patiently(action: Callable[[], T], setting: Setting, ended: threading.Event, seconds: float) -> T:
    """Do something with the storage, again for so many seconds where its connection was lost."""
    import optuna
    import sqlalchemy

    until, pause = time.monotonic() + seconds, _FIRST_PAUSE
    while True:
        try:
            return action()
        except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError, sqlite3.Error) as error:
            problem = _typed(error, setting)
            if isinstance(problem, StorageFullError) or time.monotonic() > until:
                raise problem from error
        ended.wait(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def wait_again(study: optuna.Study, frozen: optuna.trial.FrozenTrial, more: int = 1) -> None:
    """Enqueue a trial as it was, with `more` tries behind it."""
    import optuna

    tries = int(frozen.user_attrs.get("tries", 1))
    kept = {key: value for key, value in frozen.user_attrs.items() if key in ("entry", "recipe")}
    again = optuna.create_trial(
        state=optuna.trial.TrialState.WAITING,
        params=frozen.params,
        distributions=frozen.distributions,
        user_attrs={**kept, "tries": tries + more},
        system_attrs={k: v for k, v in frozen.system_attrs.items() if k == "fixed_params"},
    )
    study.add_trial(again)


@contextmanager
def _closing_sqlite(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, timeout=60)
    try:
        yield connection
    finally:
        connection.close()


def _typed(error: BaseException, setting: Setting) -> EdgeshipError:
    """The system's word on a storage as ours."""
    words = " ".join(str(part) for part in _causes(error))
    full = "disk is full" in words or "No space left" in words or "DiskFull" in words
    if not full and setting.address is None and "disk I/O error" in words:
        full = shutil.disk_usage(setting.folder).free < _FULL_BYTES
    if full:
        return StorageFullError(
            f"the disk is full: {setting.folder if setting.address is None else 'that of the storage'}",
            remedy="Free some space and run the same command: finished trials are kept.",
        )
    where = "PostgreSQL" if setting.address is not None else str(setting.folder / FILE)
    return UnavailableError(
        f"the storage of the search ({where}) does not answer: {first_line(error)}",
        remedy="When it answers, run the same command: finished trials are kept.",
    )


def _causes(error: BaseException | None) -> Iterable[BaseException | str]:
    while error is not None:
        yield type(error).__name__
        yield error
        error = error.__cause__
