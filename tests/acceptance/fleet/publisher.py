"""The publisher: offline and online keys apart, and what the story lets it do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from edgeship.publish import keymaking, keys, policies, release, rollout
from edgeship.publish.deltas import Delta
from edgeship.publish.repository import Repository
from edgeship.publish.stores import FolderStore
from edgeship.releases.documents import Constraints
from edgeship.releases.names import line, version
from tests.acceptance.fleet.models import MODEL, Made
from tests.acceptance.fleet.story import Act
from tests.device_repository import unexamined

LINE = line(f"{MODEL}/v1")


class Publisher:
    """Signs as a person and a timer would: what only moves devices, with the online keys alone.

    Args:
        folder: gets `offline`, `online` and `repository`.
        made: releases by version.

    Attributes:
        now: its clock.
        deltas: version -> patches to it.
    """

    def __init__(self, folder: Path, made: Mapping[str, Made], now: datetime) -> None:
        self.now, self._made = now, made
        self.repository = folder / "repository"
        every = keymaking.create(folder / "offline", online=folder / "online", dev=True)
        store = FolderStore(self.repository)
        self.root = every.root
        self._offline = Repository(store, every, lambda: self.now)
        self._online = Repository(store, keys.load([folder / "online"]), lambda: self.now)
        self.deltas: dict[str, tuple[Delta, ...]] = {}

    def refresh(self) -> None:
        """What a timer does with the online keys."""
        self._online.refresh()

    def do(self, act: Act) -> None:
        """One act of the story."""
        if act.kind == "publish":
            self._publish(act.version)
        elif act.kind == "start":
            rollout.start(self._online, LINE, rollout.Shares({act.version: act.percent}, {}), Constraints())
        elif act.kind == "set":
            rollout.set_percent(self._online, LINE, act.percent)
        elif act.kind == "recall":
            rollout.halt(self._online, LINE)
            policies.revoke(self._offline, LINE, [act.version])
        else:
            {"halt": rollout.halt, "resume": rollout.resume, "finish": rollout.finish}[act.kind](self._online, LINE)

    def _publish(self, text: str) -> None:
        # One of them is bad: that devices find, if the publisher did not.
        bundles = [self._made[text].bundle]
        found = release.publish(self._offline, bundles, model=MODEL, version=version(text), examine=unexamined)
        self.deltas[text] = found.deltas
