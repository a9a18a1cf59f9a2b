"""What an attack is: what it does, what holds against it, and what would come of it without that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .world import World

Do = Callable[[World], Any]


@dataclass(frozen=True)
class Attack:
    """An attack on a device that is offered 1.1.0.

    Attributes:
        name: in docs/updates/threats.md.
        do: the attack.
        holds: what the update says, as a regular expression (`World.attempt`).
        guards: what holds, of `guards.GUARDS`; each is a check at one place. Several, where one stands behind another.
        without: what the update says once all guards are gone.
        runs: the release that the device runs before.
        serves: the release that it runs after the attack.
        heals: what the next check says once the repository is as it was; empty: that cannot be (keys were stolen).
    """

    name: str
    do: Do
    holds: str
    guards: tuple[str, ...]
    without: str
    runs: str = "1.0.0"
    serves: str = "1.0.0"
    heals: str = r"(available|current) 1\.1\.0"


ATTACKS: list[Attack] = []


def attack(
    name: str, holds: str, *, without: str, guards: tuple[str, ...], serves: str = "", **more: Any
) -> Callable[[Do], Do]:
    """Put a function among the attacks."""

    def add(do: Do) -> Do:
        runs = more.get("runs", "1.0.0")
        ATTACKS.append(Attack(name, do, holds, guards, without, serves=serves or runs, **more))
        return do

    return add
