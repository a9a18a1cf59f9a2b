"""Milliseconds as the cost of a model: what its file takes in LiteRT on this machine."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from edgeship import data, plugins
from edgeship import source as sources
from edgeship.child import Worker
from edgeship.closing import Closing
from edgeship.errors import from_wire
from edgeship.types import Artifact, ConvertOptions, Measurement, NotMeasured, Plan
from edgeship_benchmarks.comparison import ratio

if TYPE_CHECKING:
    from edgeship.compress.context import Context

#: Of each comparison: enough to tell 2 % apart on a machine that does something else now and then.
_PLAN = Plan(min_runs=200, min_seconds=0.4, rounds=10)
_SAMPLES = 8


class Latency(Closing):
    """What models cost, as a share of what one of them does. Use as a context manager.

    Files have int8 weights where the recipe ends in int8, and no calibrated activations, which would take minutes for
    all candidates: kernels are as wide, and what is compared are files of one kind.

    Args:
        model: whose share is 1.
        context: of the stage.

    Raises:
        UnsupportedModelError: there is no such file of it.
    """

    def __init__(self, model: keras.Model, context: Context) -> None:
        self._given = context.source
        self._variant = "dynamic" if context.int8 else "float32"
        samples = data.load(context.dataset, "validation").inputs
        self._inputs = {name: values[:_SAMPLES] for name, values in samples.items()}
        self._folder = tempfile.TemporaryDirectory(prefix="edgeship-")
        self._numbers = itertools.count()
        # Of its own: conversion clears what Keras holds, and there are models that train here.
        self._worker = Worker()
        try:
            self._whole = self._file(model)
        except BaseException:
            self.close()
            raise

    def share(self, model: keras.Model) -> float:
        """Milliseconds of a model over those of the first one, both taking turns.

        Raises UnsupportedModelError for one that cannot be converted, EdgeshipError for one that cannot be measured.
        """
        file = replace(self._file(model), variant="candidate")
        rows = plugins.target("local").measure([self._whole, file], self._inputs, _PLAN)
        for row in rows:
            if isinstance(row, NotMeasured):
                raise from_wire({"type": row.type, "message": row.reason, "remedy": row.remedy})
        whole, candidate = rows
        assert isinstance(whole, Measurement)
        assert isinstance(candidate, Measurement)
        return ratio(candidate, whole).value

    def _file(self, model: keras.Model) -> Artifact:
        place = Path(self._folder.name) / str(next(self._numbers))
        (place / "file").mkdir(parents=True)
        given = self._given
        source = sources.inspect(sources.save_live(model, place), given.custom_objects, given.allow_unsafe)
        made = self._worker.call(
            plugins.convert,
            format_name="tflite",
            source=source,
            variant=self._variant,
            options=ConvertOptions(),
            out_dir=place / "file",
        )
        return replace(made, path=place / "file")

    def close(self) -> None:
        """End the worker and remove the files; safe to call twice."""
        self._worker.close()
        self._folder.cleanup()
