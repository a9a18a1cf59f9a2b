"""What a build was asked for, and what makes two builds the same."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edgeship import cache
from edgeship.child import Limits
from edgeship.data import DataOptions
from edgeship.errors import ArtifactError, DataError
from edgeship.masking import masked
from edgeship.pipeline.measuring import Turn
from edgeship.pipeline.slicing import Wishes
from edgeship.preprocessing import changes
from edgeship.recipe import Recipe
from edgeship.types import ConvertOptions, Dataset, Plan, Preprocessing, Source
from edgeship.usage import Usage
from edgeship.usage import read as read_usage

#: Kinds of models that may say labels and preprocessing themselves.
_SAYING = ("tflite", "onnx", "savedmodel", "tfjs")


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        model: path of the trained model.
        data: dataset (see `edgeship.data.open_dataset`); None: parity on seeded probe inputs only.
        formats: empty for all that are installed; then what is missing here is left out with a warning.
        targets: where to measure; empty for no measuring.
        signature: of a SavedModel, or the outputs of a frozen graph (see `edgeship.source.inspect`).
        out: the build folder.
        command: how to reproduce it, for the report; passwords in addresses are masked.
        labels: class names to deliver with the files; empty for those of the data.
        bake_preprocessing: exported files take raw values, and do themselves what was done to the samples.
        opset: version of ONNX's operator set; None for that which the converter writes unasked.
        slices: columns, pairs and conditions as `--slices`; None for the label and every column of the data.
        max_slice_drop: most the metric may drop in any slice; None for no such limit.
        min_slice: slices with fewer samples are not tested.
        occlusion: look whether each file looks at the same parts of its inputs as the original.
        exhibits: whether the report shows samples that changed sides.
        script: the user's program that asked, for the lineage; None: the command line did.
        turn: holds a target while it is measured, where others measure it too.
        snap_to: float32 files that devices have, one of a format; each gets a `float32-snapped` one (`snapping`).
    """

    model: Path
    out: Path
    recipe: Recipe
    data: str | None = None
    metric: str | None = None
    formats: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    data_options: DataOptions = field(default_factory=DataOptions)
    plan: Plan = field(default_factory=Plan)
    limits: Limits = field(default_factory=Limits)
    custom_objects: tuple[str, ...] = ()
    allow_unsafe: bool = False
    signature: str | None = None
    force: bool = False
    command: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    bake_preprocessing: bool = False
    opset: int | None = None
    slices: str | None = None
    max_slice_drop: float | None = None
    min_slice: int = 30
    occlusion: bool = False
    exhibits: bool = True
    snap_to: tuple[Path, ...] = ()
    script: Path | None = None
    turn: Turn = nullcontext

    def __post_init__(self) -> None:
        # All records of a build have the command from here.
        object.__setattr__(self, "command", tuple(map(masked, self.command)))


def request_key(request: Request, source: Source, dataset: Dataset) -> str:
    """Key of a build folder: what the files are made from.

    Which files are wanted, and the limits they are held to, may change from run to run: the folder then holds what the
    last run asked for. Versions are no part of it either, so an update of edgeship continues in place.
    """
    training = training_of(request.recipe)
    return cache.digest(source=source.sha256, dataset=dataset.sha256, augment=dataset.augment, training=training)


def training_of(recipe: Recipe) -> dict[str, Any]:
    """The part of a recipe that determines what is trained."""
    tried = [training_of(attempt) for attempt in recipe.attempts]
    chosen = {k: v for k, v in recipe.to_data().items() if k in ("stages", "batch_size", "seed")}
    return chosen | ({"attempts": tried} if tried else {})


def stated(dataset: Dataset, source: Source, request: Request) -> Dataset:
    """The dataset with the labels that the request gives, and for probe inputs with its preprocessing.

    What nobody states comes from the model, where that is an exported file that says it.

    Raises DataError for labels that are not as many as the classes, or others than the data has.
    """
    own = _own(source)
    classes = dataset.classes
    if request.labels:
        _check_labels(request.labels, dataset, source)
        classes = request.labels
    elif _numbered(classes) and len(classes) in (0, len(own.labels)):
        classes = own.labels
    done = dataset.preprocessing
    if request.data is None and changes(request.data_options.preprocessing):
        done = request.data_options.preprocessing
    elif done == Preprocessing():
        done = own.preprocessing
    return replace(dataset, classes=classes, preprocessing=done)


def _own(source: Source) -> Usage:
    """What an exported file that is the model says; nothing where that is damaged, which does not keep it from use."""
    file = source.path / "saved_model.pb" if source.kind == "savedmodel" else source.path
    try:
        return read_usage(source.kind, file) if source.kind in _SAYING else Usage()
    except ArtifactError:
        return Usage()


def _numbered(classes: tuple[str, ...]) -> bool:
    """Whether classes have no names but their numbers, which the data gives where nobody named them."""
    return list(classes) == [str(index) for index in range(len(classes))]


def _check_labels(labels: tuple[str, ...], dataset: Dataset, source: Source) -> None:
    last = source.outputs[0].shape[-1] if len(source.outputs[0].shape) > 1 else 1
    count = 2 if last == 1 else last
    if count is not None and len(labels) != count:
        raise DataError(
            f"there are {len(labels)} labels, and output {source.outputs[0].name!r} has {count} classes",
            remedy="Give one name a line, in the order of the model's outputs.",
        )
    if not _numbered(dataset.classes) and dataset.classes != labels:
        raise DataError(
            f"the data names its classes otherwise: {', '.join(dataset.classes[:5])}", remedy="Leave --labels out."
        )


def convert_options(request: Request, dataset: Dataset) -> ConvertOptions:
    """What converters get beside the model; probe inputs calibrate nothing."""
    calibration = dataset if request.data is not None else None
    return ConvertOptions(
        calibration,
        labels=dataset.classes,
        preprocessing=dataset.preprocessing,
        name=request.model.stem,
        opset=request.opset,
    )


def provenance(request: Request, source: Source, dataset: Dataset) -> dict[str, Any]:
    """What determines the files of a build."""
    return {
        "model": {
            "name": request.model.name,
            "sha256": source.sha256,
            "loader": source.loader,
            "signature": source.signature,
        },
        "dataset": {"name": dataset.name, "sha256": dataset.sha256, "options": asdict(request.data_options)},
        "recipe": request.recipe.to_data(),
        "versions": cache.versions(),
        "command": list(request.command),
    }


def slice_wishes(request: Request) -> Wishes:
    """What the request wants of slices. Raises DataError."""
    return Wishes(request.slices, request.max_slice_drop, request.min_slice)
