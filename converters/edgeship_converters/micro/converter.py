"""Files for a project with TensorFlow Lite Micro: the model as a C array, its operators, its arena, how to call it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edgeship.artifact import hash_files
from edgeship.errors import ArtifactError, ChildError, UnsupportedModelError
from edgeship.types import Artifact, ConvertOptions, Preprocessing, Source, TensorSpec
from edgeship_converters.describe import versions
from edgeship_converters.tflite import TFLiteConverter

#: Import name -> distribution name, beside what the TFLite converter needs.
_PACKAGES = (("tflite_micro", "tflite-micro"),)


class MicroConverter:
    """Writes the TFLite file of the same variant, and the C++ sources of it.

    The arena is the smallest one that the file runs in on this machine (see `edgeship_benchmarks.agent.TFLM`).
    """

    format = "micro"
    #: Weights that are smaller than the arithmetic (float16, dynamic, int4) have no kernels in TensorFlow Lite Micro.
    variants = ("float32", "int8", "int8-floatio", "int16x8", "int16x8-floatio")
    equivalents: Mapping[str, str] = {}
    #: Holds the model of tflite/<variant> once more; made only for those who ask for it.
    on_request = True
    files = ("tflite",)
    why_not_more = "TensorFlow Lite Micro has no kernels for weights that are smaller than the arithmetic"

    def missing(self) -> Sequence[str]:
        """Packages to install first; looks, imports nothing."""
        lacking = [package for module, package in _PACKAGES if importlib.util.find_spec(module) is None]
        return [*TFLiteConverter().missing(), *lacking]

    def convert(self, source: Source, variant: str, options: ConvertOptions, out_dir: Path) -> Artifact:
        """Write `model.tflite` and its sources (see `edgeship.contracts.Converter`).

        Raises:
            UnsupportedModelError: TensorFlow Lite Micro lacks an operator, or a kernel of it for these numbers; a size
                is dynamic; or the model has no TFLite form.
            DataError: an integer variant without calibration samples.
        """
        from edgeship_converters.micro import sources
        from edgeship_converters.micro.operators import additions, operators

        # The sources hold labels and preprocessing; in the flash of a device they would be there twice.
        silent = replace(options, labels=(), preprocessing=Preprocessing())
        # Its loops compute something else or never end (measured with tflite-micro 0.dev20261023182759).
        made, named = TFLiteConverter().convert_with_names(source, variant, silent, out_dir, loops=False)
        _refuse_dynamic(made)
        content = made.entry.read_bytes()
        used = operators(named)
        added = additions(used, variant)
        arena, ends = _measured(replace(made, format=self.format), used)
        made_by = {**made.made_by, **versions("tflite-micro", "numpy")}
        facts = sources.Facts(options, variant, content, added, arena, ends, made_by["tflite-micro"])
        names = sources.write(out_dir, options.name or source.path.stem, facts)
        note = f"{len(content):,} bytes of flash for the model, {arena:,} bytes of RAM for the arena (x86-64)"
        return replace(
            made,
            format=self.format,
            labels=options.labels,
            preprocessing=options.preprocessing,
            made_by=made_by,
            notes=(*made.notes, note),
            sources=hash_files(out_dir, names),
        )


def _refuse_dynamic(made: Artifact) -> None:
    dynamic = [spec.name for spec in (*made.inputs, *made.outputs) if None in spec.shape[1:]]
    if dynamic:
        raise UnsupportedModelError(
            f"micro/{made.variant}: {', '.join(dynamic)} has a size that is not fixed, and memory is planned once",
            remedy="Give the model inputs of a fixed size, like keras.Input((96, 96, 1)).",
        )


def _measured(
    made: Artifact, used: Sequence[tuple[str, str]]
) -> tuple[int, tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]]:
    """Bytes of the smallest arena, and the ends in the order of the file, from the interpreter in a child."""
    from edgeship_benchmarks.runtimes.tflm import TFLMRuntime
    from edgeship_converters.micro.operators import placed

    try:
        with TFLMRuntime().open_session(made) as session:
            loaded = session.loaded
    except (ArtifactError, ChildError) as error:
        raise UnsupportedModelError(
            f"{made.id}: {placed(error.message.replace(str(made.entry), 'the file'), used)}",
            remedy="Choose another variant (float32, int8), or replace the layer that is named.",
        ) from error
    assert loaded.arena_bytes is not None  # its agent measures it
    return loaded.arena_bytes, (loaded.inputs, loaded.outputs)
