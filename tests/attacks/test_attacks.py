"""The attack table: each holds with its guards, and succeeds, or gets further, without them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.device_repository import NOW

from . import on_files, on_keys, on_metadata, on_network
from .attack import ATTACKS, Attack
from .guards import GUARDS
from .world import Origin, World, world

_MODULES = (on_metadata, on_keys, on_files, on_network)


@pytest.fixture(params=ATTACKS, ids=lambda found: found.name.replace(" ", "_"))
def attack(request: pytest.FixtureRequest) -> Attack:
    found: Attack = request.param
    return found


def test_it_is_refused_or_healed_and_the_model_goes_on(attack: Attack, origin: Origin, tmp_path: Path) -> None:
    with world(origin, tmp_path, attack.runs) as here:
        attack.do(here)
        assert re.search(attack.holds, here.attempt())
        here.check_serving(attack.serves)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["device", "publisher"]
        if attack.heals:
            undo(here, origin)
            assert re.search(attack.heals, here.attempt(check_only=True))


def test_each_guard_stands_against_an_attack() -> None:
    assert set(GUARDS) == {name for found in ATTACKS for name in found.guards}


def undo(here: World, origin: Origin) -> None:
    """The repository as it was, honestly served."""
    here.server.trick = None
    here.device.now = NOW
    shutil.rmtree(here.repo)
    shutil.copytree(origin.published.folder / "repo", here.repo)


def test_without_its_guards_it_gets_further(
    attack: Attack, origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world(origin, tmp_path, attack.runs) as here:
        for name in attack.guards:
            GUARDS[name](monkeypatch)
        attack.do(here)
        found = here.attempt()
        monkeypatch.undo()
    assert not re.search(attack.holds, found)
    assert re.search(attack.without, found)
