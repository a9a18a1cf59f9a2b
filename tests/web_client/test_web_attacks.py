"""The web client over HTTP: each attack is refused or healed, and succeeds, or gets further, without its guards."""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attacks.attack import Attack
from tests.attacks.world import Origin, make_origin
from tests.device_repository import NOW
from tests.web_project import copied

from .driven import Driver, WebWorld, built, driver, web_world
from .guards import GUARDS
from .table import Holds, attacks

_ALL = attacks()


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("web"))


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    return make_origin(tmp_path_factory.mktemp("origin"))


@pytest.fixture(scope="module")
def client(web: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    with driver(built(web, tmp_path_factory.mktemp("driver"))) as found:
        yield found


@pytest.fixture(scope="module")
def without(web: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[tuple[str, ...]], Path]:
    """The client without some guards, built once for all attacks that need it so."""
    return functools.cache(lambda guards: built(web, tmp_path_factory.mktemp("weak"), guards))


@pytest.fixture(params=_ALL, ids=lambda found: found[0].name.replace(" ", "_"))
def case(request: pytest.FixtureRequest) -> tuple[Attack, Holds]:
    found: tuple[Attack, Holds] = request.param
    return found


def test_it_is_refused_or_healed_and_the_model_goes_on(
    case: tuple[Attack, Holds], origin: Origin, client: Driver, tmp_path: Path
) -> None:
    attack, expected = case
    with web_world(origin, tmp_path, attack.runs, client) as here:
        attack.do(here)
        assert re.search(expected.holds, here.attempt())
        here.check_serving(attack.serves)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["device", "publisher"]
        if attack.heals:
            _undo(here, origin)
            assert re.search(attack.heals, here.attempt(check_only=True))


def test_without_its_guards_it_gets_further(
    case: tuple[Attack, Holds], origin: Origin, without: Callable[[tuple[str, ...]], Path], tmp_path: Path
) -> None:
    attack, expected = case
    if not expected.guards:
        return  # what holds is the platform's
    with driver(without(expected.guards)) as weak, web_world(origin, tmp_path, attack.runs, weak) as here:
        attack.do(here)
        found = here.attempt()
    assert not re.search(expected.holds, found)
    assert re.search(expected.without, found)


def test_each_guard_stands_against_an_attack() -> None:
    assert set(GUARDS) == {name for _, found in _ALL for name in found.guards}


def _undo(here: WebWorld, origin: Origin) -> None:
    """The repository as it was, honestly served."""
    here.server.trick = None
    here.page.now = NOW
    shutil.rmtree(here.repo)
    shutil.copytree(origin.published.folder / "repo", here.repo)
