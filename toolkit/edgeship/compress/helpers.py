"""What rides along with a model while it is compressed: pruning schedules, range freezing; in `fit` or a custom loop.

model = edgeship.prune(model, sparsity=0.8)
model.fit(..., callbacks=edgeship.callbacks(model))         # or, in a loop of your own:
helpers = edgeship.callbacks(model, steps=1000)             # ... for helper in helpers: helper.step()
model = edgeship.finalize(model)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import keras

from edgeship.errors import InputError

_ATTRIBUTE = "_edgeship_helpers"


class Helper(keras.callbacks.Callback, ABC):  # type: ignore[misc] # Keras ships no types
    """A Keras callback that knows how far training has come, and can say whether it kept its promise.

    Attributes:
        notes: what a person should know of how the promise was kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total_steps: int | None = None
        self.notes: list[str] = []
        self._steps_done = 0
        self._first_epoch: int | None = None
        self._epoch = 0

    def step(self) -> None:
        """Call after each optimizer step of a loop of your own. Raises InputError where `steps` was not given."""
        if self.total_steps is None:
            raise InputError(
                "the number of training steps is not known", remedy="edgeship.callbacks(model, steps=NUMBER_OF_STEPS)"
            )
        self._steps_done += 1
        self.advance(min(1.0, self._steps_done / self.total_steps))

    @abstractmethod
    def advance(self, progress: float) -> None:
        """React to `progress`, 0..1 of training."""

    @abstractmethod
    def check(self) -> None:
        """Raise an InputError where the promise was not kept."""

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002 - the signature is Keras's
        """Start counting."""
        self._first_epoch = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002 - the signature is Keras's
        """Remember where `fit` is."""
        self._first_epoch = epoch if self._first_epoch is None else self._first_epoch
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002 - the signature is Keras's
        """Advance by the share of the batches of this `fit` that are done."""
        if self.total_steps is not None:
            self.step()
        elif self.params.get("steps"):
            self._advance_epochs(self._epoch + (batch + 1) / self.params["steps"])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002 - the signature is Keras's
        """Advance by epochs where the number of batches is not known."""
        if self.total_steps is None:
            self._advance_epochs(epoch + 1)

    def _advance_epochs(self, done: float) -> None:
        first = self._first_epoch or 0
        self.advance(min(1.0, (done - first) / max(1, self.params["epochs"] - first)))


def helpers(model: Any) -> tuple[Helper, ...]:
    """The helpers attached to a model."""
    found: tuple[Helper, ...] = getattr(model, _ATTRIBUTE, ())
    return found


def said(model: Any) -> list[str]:
    """Notes of the helpers attached to a model."""
    return [note for helper in helpers(model) for note in helper.notes]


def attach(model: Any, *more: Helper) -> None:
    """Let helpers ride along with a model of ours; they are not saved with it."""
    # Past Keras's own __setattr__, which would track them as parts of the model.
    object.__setattr__(model, _ATTRIBUTE, (*helpers(model), *more))


def callbacks(model: Any, steps: int | None = None) -> list[Helper]:
    """The callbacks that a model made by `prune`, `cluster`, `quantize_aware` or `distiller` needs while it trains.

    Args:
        model: what these functions returned.
        steps: number of optimizer steps of the whole training; needed in a loop of your own, which calls `step()` of
            each callback after each optimizer step. In `fit` it is known.

    Raises:
        InputError: `steps` is not positive.
    """
    if steps is not None and steps < 1:
        raise InputError(f"steps is {steps}", remedy="Give the number of optimizer steps, at least 1.")
    found = helpers(model)
    for helper in found:
        helper.total_steps = steps
    return list(found)
