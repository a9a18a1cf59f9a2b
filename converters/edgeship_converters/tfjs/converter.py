"""TF.js graph models, written without the `tensorflowjs` package.

The steps, one module each: `read` (frozen graph in, constants folded), `simplify`, `rewrites` (what TF.js lacks),
`linear` (batch normalization, bias, padding and activations folded into convolutions), `kernels` (the fastest among
equals), `write` (checks, model.json, weight shards).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from edgeship.types import Artifact, ConvertOptions, Source


class TFJSConverter:
    """Writes `model.json` and weight shards that @tensorflow/tfjs loads with `loadGraphModel`.

    TF.js computes in float32 whatever the variant; variants say how weights are stored. They are restored when the
    model is loaded. Loops of recurrent layers are unrolled, because the WebAssembly backend cannot run them.
    """

    format = "tfjs"
    variants: tuple[str, ...] = ("float32", "float16", "uint8", "uint16")
    equivalents: Mapping[str, str] = {
        "dynamic": "uint8",
        "int8": "uint8",
        "int8-floatio": "uint8",
        "int16x8": "uint16",
        "int16x8-floatio": "uint16",
        "int4": "uint8",
        "int4-mixed": "uint8",
    }
    #: Kinds of sources beside those that TensorFlow makes a graph of.
    files = ("tflite",)
    why_not_more = "TF.js computes in float32, and stores weights in 8 or 16 bits"

    def missing(self) -> Sequence[str]:
        """Packages to install before `convert` can run."""
        return [] if find_spec("tensorflow") else ["tensorflow"]

    def convert(self, source: Source, variant: str, options: ConvertOptions, out_dir: Path) -> Artifact:
        """Write the model; see `edgeship.contracts.Converter.convert`.

        Raises:
            UnsupportedModelError: TF.js lacks an op of the model or would compute something else.
        """
        from edgeship.usage import usage
        from edgeship.usage.tfjs import to_metadata
        from edgeship_converters.describe import describe, versions
        from edgeship_converters.graph.frozen import freeze
        from edgeship_converters.lowering.rules import TFJS, lowered
        from edgeship_converters.tfjs import write
        from edgeship_converters.tfjs.advice import notes
        from edgeship_converters.tfjs.optimize import optimize
        from edgeship_converters.tfjs.read import read

        frozen = freeze(source, static_batch=None, fake_quant=False, unroll=True)
        graph = optimize(read(lowered(frozen, TFJS)))
        made_by = versions("tensorflow", "keras", "tf-keras", "numpy")
        files = write.write(graph, variant, out_dir, made_by, to_metadata(usage(options.labels, options.preprocessing)))
        inputs = tuple(replace(s, dtype=write.numpy_dtype(graph.types[s.name].dtype)) for s in frozen.inputs)
        outputs = tuple(replace(s, dtype=write.numpy_dtype(graph.types[s.name].dtype)) for s in frozen.outputs)
        found = describe(out_dir, (self.format, variant), files, (inputs, outputs), source, options, made_by)
        return replace(found, notes=notes(graph))
