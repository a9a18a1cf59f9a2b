"""In what ways a plan wants one file measured in one runtime: on how many threads, with which kernels."""

from __future__ import annotations

from dataclasses import dataclass

from edgeship.errors import InputError
from edgeship.types import Plan

#: Formats whose runtime here has one thread, and why.
_ONE_THREAD = {"tfjs": "TF.js runs on one thread in Node; measure more threads in a browser"}
_WITH_KERNELS = "tflite"


@dataclass(frozen=True)
class Way:
    """One of them.

    Attributes:
        xnnpack: whether LiteRT uses XNNPACK.
        notes: why it is not what was asked for.
    """

    threads: int = 1
    xnnpack: bool = True
    notes: tuple[str, ...] = ()

    @property
    def load_options(self) -> dict[str, str]:
        """For the agent's `load`."""
        return {} if self.xnnpack else {"delegate": "none"}


def ways(plan: Plan, form: str) -> list[Way]:
    """All ways for a file of a format. Raises as `check`."""
    check(plan)
    if form in _ONE_THREAD:
        return [Way(notes=(_ONE_THREAD[form],) if max(plan.threads) > 1 else ())]
    kernels = plan.xnnpack if form == _WITH_KERNELS else (True,)
    return [Way(threads, xnnpack) for xnnpack in kernels for threads in plan.threads]


def check(plan: Plan) -> None:
    """Raises InputError for a plan that names no way, or one twice."""
    for values in (plan.threads, plan.xnnpack):
        if not values or len(set(values)) < len(values):
            raise InputError(f"cannot measure by {plan}", remedy="Name each number of threads once, and one or more.")
    if min(plan.threads) < 1:
        raise InputError(f"cannot measure on {min(plan.threads)} threads", remedy="Threads are 1 or more.")
