"""What the commands verify and predict do with exported files, ours or foreign, outside a build."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edgeship import artifact as sidecar
from edgeship import plugins
from edgeship.child import Limits, Worker, under_its_limits
from edgeship.data import DataOptions
from edgeship.data.readers import CHANNELS, decode_image
from edgeship.errors import ArtifactError, DataError, InputError
from edgeship.pipeline import checks, slicing, steps
from edgeship.pipeline.baking import prepared_for, same_values
from edgeship.pipeline.checks import Baseline
from edgeship.pipeline.exports import CALIBRATED, Export
from edgeship.preprocessing import PIXELS, affine, prepare
from edgeship.recipe import Recipe, check_variants
from edgeship.types import (
    Array,
    Artifact,
    Failure,
    Gate,
    Preprocessing,
    ProgressCallback,
    TensorSpec,
)
from edgeship.verify import GatePolicy

#: How many times wider than what an input holds the values may be that a file says it takes.
_FAR = 4
_NEEDS_DATA = DataError(
    "the ranges of this file were set by data: generated inputs would lie outside them",
    remedy="Add --data with samples like those that it was calibrated with.",
)


def find_artifacts(paths: Sequence[Path]) -> list[Artifact]:
    """Exported files from paths of files, artifact folders and build folders.

    Specs of foreign files are filled in by their runtime. Raises ArtifactError, InputError.
    """
    found: list[Artifact] = []
    for path in paths:
        if (path / "artifacts").is_dir():
            sidecars = sorted((path / "artifacts").glob(f"*/*/{sidecar.SIDECAR}"))
            found += [sidecar.read_artifact(file.parent) for file in sidecars]
        else:
            found.append(with_specs(sidecar.read_artifact(path)))
    if not found:
        raise ArtifactError(f"no exported files in {', '.join(map(str, paths))}", remedy="See: edgeship build --help")
    return found


def with_specs(artifact: Artifact) -> Artifact:
    """The artifact with inputs and outputs as its runtime sees them, where its sidecar does not say."""
    if artifact.inputs:
        return artifact
    runtime = plugins.runtimes_for(artifact.format)[0]
    checks.require(runtime)
    inputs, outputs = runtime.specs(artifact)
    return replace(artifact, inputs=inputs, outputs=outputs)


@dataclass(frozen=True)
class VerifyRequest:
    """Exported files to hold against a model.

    `variant` says which tolerance holds; None: that of the file's sidecar, and for a file without one int8 where its
    inputs or outputs are quantized, else float32. `slices` are compared where they have a limit.
    """

    files: tuple[Path, ...]
    against: Path
    data: str | None = None
    metric: str | None = None
    max_drop: float | None = None
    slices: slicing.Wishes = field(default_factory=slicing.Wishes)
    variant: str | None = None
    data_options: DataOptions = field(default_factory=DataOptions)
    limits: Limits = field(default_factory=Limits)
    custom_objects: tuple[str, ...] = ()
    allow_unsafe: bool = False
    signature: str | None = None


@under_its_limits
def verify(request: VerifyRequest, progress: ProgressCallback) -> tuple[tuple[Gate, ...], tuple[Failure, ...]]:
    """Gates of each file against the model, and what could not be run. The files are left as they are."""
    if request.variant is not None:
        check_variants((request.variant,), "--quantize")
    if request.slices.max_drop is None and request.slices.text is not None:
        raise InputError("slices are verified against a limit", remedy="Add --max-slice-drop POINTS.")
    artifacts = find_artifacts(request.files)
    policy = GatePolicy(Recipe("verify").max_drop if request.max_drop is None else request.max_drop, "fail")
    with Worker(request.limits) as worker:
        source = steps.open_source(
            worker,
            request.against,
            request.custom_objects,
            allow_unsafe=request.allow_unsafe,
            signature=request.signature,
        )
        if request.data is None:
            dataset = steps.open_probe(worker, source, request.data_options.seed)
        else:
            dataset = steps.open_data(worker, request.data, source, request.data_options)
        original = steps.reference(worker, source, dataset, progress)
    metric = checks.make_metric(request.metric, dataset, original)
    limited = request.slices.max_drop is not None
    parts = slicing.prepare(request.slices, dataset, metric, policy) if limited else None
    base = Baseline(dataset, original, {}, metric, policy, parts)
    gates: list[Gate] = []
    failures: list[Failure] = []
    with tempfile.TemporaryDirectory() as scratch:
        for artifact in artifacts:
            export = Export(artifact.format, artifact.variant, by_name=True)
            ours = _as_ours(artifact, base, request.variant)
            if request.data is None and ours.variant in CALIBRATED:
                failures.append(checks.failure(export, "verify", _NEEDS_DATA))
                continue
            checked = checks.judge(ours, export, _fed(base, ours), Path(scratch), progress)
            gates += checked.gates
            failures += checked.failures
    return tuple(gates), tuple(failures)


def _fed(base: Baseline, artifact: Artifact) -> Baseline:
    """With the samples as a file takes them, where it says that it takes other values than the model does."""
    done = artifact.preprocessing
    misled = any(_outside(done, spec) for spec in artifact.inputs)
    if misled or same_values(done, base.dataset.preprocessing):
        return base
    return replace(base, dataset=prepared_for(base.dataset, done))


def _as_ours(artifact: Artifact, base: Baseline, variant: str | None) -> Artifact:
    """A file with the variant whose tolerance it is held to, if it can be from that model at all."""
    if artifact.variant != "foreign":
        return artifact if variant is None else replace(artifact, variant=variant)
    ours = base.original.arrays
    if len(artifact.outputs) != len(ours) or len(artifact.inputs) != len(base.dataset.inputs):
        raise InputError(
            f"{artifact.entry} has {len(artifact.inputs)} inputs and {len(artifact.outputs)} outputs, "
            f"the model has {len(base.dataset.inputs)} and {len(ours)}",
            remedy="Give the model that the file was made from.",
        )
    quantized = any(s.quantization is not None for s in (*artifact.inputs, *artifact.outputs))
    outputs = artifact.outputs
    if len(outputs) == 1:  # each converter names it in its own way; several are told apart by their names
        outputs = (replace(outputs[0], name=next(iter(ours))),)
    return replace(artifact, variant=variant or ("int8" if quantized else "float32"), outputs=outputs)


def load_inputs(path: Path, specs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Samples from a .npy file (a model with one input), or an .npz file with an array for each input."""
    names = ", ".join(spec.name for spec in specs)
    try:
        loaded = np.load(path, allow_pickle=False)
        arrays: dict[str, Array] = dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else {"": loaded}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a .npy or .npz file: {error}", remedy="Write it with numpy.save.") from error
    if len(specs) == len(arrays) == 1:
        arrays = {specs[0].name: next(iter(arrays.values()))}
    # The keys of a dataset for `build` work too: x.NAME, x_test.NAME.
    keys = {
        spec.name: next((k for k in (spec.name, f"x.{spec.name}", f"x_test.{spec.name}") if k in arrays), None)
        for spec in specs
    }
    if None in keys.values():
        raise DataError(
            f"{path} holds {', '.join(filter(None, arrays)) or 'one array'}; the model takes {names}",
            remedy="Give an .npz file with one array for each input, under its name.",
        )
    return {spec.name: fit_samples(arrays[str(keys[spec.name])], spec, f"{path} {spec.name}") for spec in specs}


def fit_samples(array: Array, spec: TensorSpec, where: str) -> Array:
    """Samples with a batch axis, from one sample or several. Values stay as given, for the runtime to judge.

    Raises DataError for another shape or non-numbers.
    """
    wanted = spec.shape[1:]

    def fits(shape: tuple[int, ...]) -> bool:
        return len(shape) == len(wanted) and all(w in (None, s) for w, s in zip(wanted, shape, strict=True))

    if array.dtype.kind not in "fiub":
        raise DataError(f"{where} has dtype {array.dtype}", remedy="Give numbers.")
    if fits(array.shape):
        array = array[None]
    if not fits(array.shape[1:]):
        expected = " x ".join("?" if d is None else str(d) for d in wanted)
        raise DataError(f"{where} has shape {array.shape}", remedy=f"A sample of this model has shape {expected}.")
    return array.astype(np.float32) if array.dtype == np.float16 else array  # Node has no half precision


@dataclass(frozen=True)
class Score:
    """One value of one output."""

    output: str
    label: str
    value: float


@dataclass(frozen=True)
class Predicted:
    """Outputs for each sample, the largest first.

    Attributes:
        labelled: whether the values carry the file's class names; else they carry their index.
        claimed: what the `artifact.json` beside the file says of its verification, which nothing here has checked.
        preprocessing: what was done to the image; None for arrays, which are taken as they are.
        assumed: the parts of it that nothing is recorded about, with what was done instead.
        notes: what there is to know about the file.
    """

    file: Path
    labelled: bool
    claimed: str
    preprocessing: Preprocessing | None
    assumed: tuple[str, ...]
    samples: tuple[tuple[Score, ...], ...]
    notes: tuple[str, ...] = ()


def predict(file: Path, given: Path, scale: float | None, top: int) -> Predicted:
    """Run an exported file on an image or an .npy array.

    Args:
        file: the exported file, or its folder.
        given: an image, resized to the input, a .npy with one or more samples, or an .npz with one for each input.
        scale: factor for pixels 0..255, and nothing else then; None: what was recorded when the file was made.
        top: how many values of each output to return.

    Raises:
        DataError: for an input that does not fit, or an image whose scale is neither recorded nor given.
    """
    artifact = with_specs(sidecar.read_artifact(file))
    done: Preprocessing | None = None
    assumed: tuple[str, ...] = ()
    if given.suffix in (".npy", ".npz"):
        inputs = load_inputs(given, artifact.inputs)
    else:
        done, assumed = _image_preprocessing(artifact, scale)
        inputs = _image(given, artifact.inputs[0], done)
    runtime = plugins.runtimes_for(artifact.format)[0]
    checks.require(runtime)
    outputs = runtime.run(artifact, inputs)
    count = len(next(iter(inputs.values())))
    samples = tuple(
        tuple(score for name, array in outputs.items() for score in _scores(name, array[i], artifact.labels, top))
        for i in range(count)
    )
    labelled, claimed = bool(artifact.labels), artifact.verification
    return Predicted(artifact.entry, labelled, claimed, done, assumed, samples, artifact.notes)


def _scores(name: str, values: Array, labels: Sequence[str], top: int) -> list[Score]:
    flat = np.asarray(values).reshape(-1)
    names = labels if len(labels) == flat.size else [str(i) for i in range(flat.size)]
    return [Score(name, names[i], float(flat[i])) for i in np.argsort(-flat, kind="stable")[:top]]


def _image_preprocessing(artifact: Artifact, scale: float | None) -> tuple[Preprocessing, tuple[str, ...]]:
    """What to do to an image for a model, and what of that is assumed. Raises DataError where it cannot be told."""
    specs = artifact.inputs
    shape = specs[0].shape[1:] if len(specs) == 1 else ()
    channels = CHANNELS.get(shape[2] or 0) if len(shape) == 3 and None not in shape else None
    if channels is None:
        raise DataError(
            f"this model does not take one image: {[(s.name, s.shape) for s in specs]}", remedy="Give a .npy array."
        )
    recorded = artifact.preprocessing
    real = specs[0].quantization is not None or np.dtype(specs[0].dtype).kind == "f"
    factor = (recorded.scale if scale is None else scale) if real else 1.0
    if factor is None:
        raise DataError(
            f"it is not recorded which values {artifact.entry.name} expects for the pixels of an image",
            remedy="Say so: --scale 1 for 0..255, --scale 0.00392157 for 0..1; or give a prepared .npy array.",
        )
    if not real and scale not in (None, 1.0):
        raise DataError(f"--scale {scale:g}: the model takes {specs[0].dtype} pixels", remedy="Leave --scale out.")
    done = Preprocessing(factor, "bilinear", channels)
    if scale is None and real:
        order = recorded.channels if recorded.channels == "BGR" else channels
        done = replace(done, channels=order, mean=recorded.mean, std=recorded.std)
    outside = _outside(done, specs[0])
    if outside:
        raise DataError(
            f"{artifact.entry.name} says that it takes pixels{outside}",
            remedy="Say what it takes: --scale 1 for pixels 0..255, --scale 0.00392157 for 0..1.",
        )
    assumed = [f"resize: {done.resize}"] if recorded.resize is None else []
    if recorded.channels is None and channels != "grey":
        assumed.append(f"channels: {done.channels}")
    return done, tuple(assumed)


def _outside(done: Preprocessing, spec: TensorSpec) -> str:
    """How prepared pixels lie far outside of what a quantized input holds, whose file says it wrong; empty if not."""
    if spec.quantization is None or done.scale is None:
        return ""
    kind, q = np.iinfo(spec.dtype), spec.quantization
    held = [q.scale * (end - q.zero_point) for end in (kind.min, kind.max)]
    factors, offsets = affine(done)
    ends = [pixel * factor + offset for factor, offset in zip(factors, offsets, strict=True) for pixel in PIXELS]
    if max(ends) - min(ends) <= _FAR * (held[1] - held[0]):
        return ""
    return f" as {min(ends):g} to {max(ends):g}, but its input holds {held[0]:g} to {held[1]:g}"


def _image(path: Path, spec: TensorSpec, done: Preprocessing) -> dict[str, Array]:
    """An image as the model takes it; pixels stay uint8 where they are not scaled."""
    if not path.is_file():
        raise DataError(f"no such file: {path}", remedy="Give an image or a .npy array.")
    height, width, channels = (int(d) for d in spec.shape[1:] if d is not None)
    pixels = decode_image(path, (height, width, channels))[None]
    return {spec.name: prepare(pixels, done)}
