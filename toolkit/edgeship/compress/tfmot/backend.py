"""`backend: tfmot`: pruning, clustering and quantization-aware training by TensorFlow Model Optimization.

It knows tf_keras models only, so a model is replayed there (`replay.py`), trained, and its weights come back. Zeros and
shared values of earlier stages are kept in the way that TFMOT has for each pair.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from edgeship.compress.finish import finalize
from edgeship.compress.graph.kernels import sparsity
from edgeship.compress.quantize.aware import quantize_aware as place_quantization
from edgeship.compress.tfmot.replay import from_tf_keras, import_tf_keras, to_tf_keras
from edgeship.compress.training import EpochProgress
from edgeship.compress.weights.clustering import keep_clusters, most_values
from edgeship.compress.weights.pruning import keep_zeros
from edgeship.errors import InputError, MissingPackageError, UnsupportedModelError, first_line

if TYPE_CHECKING:
    from edgeship.compress.context import Context
    from edgeship.recipe import Cluster, Prune, QuantizeAware, Training

_INSTALL = "pip install 'edgeship[tfmot]'"
_REMEDY = "Use the native back end, which is the default."
_SWITCH = "TF_USE_LEGACY_KERAS"
_KERNELS = ("kernel", "pointwise_kernel")
#: Zeros that training left by chance are no pruning.
_SPARSE = 0.05
#: The schedule may round, the kernels that TFMOT leaves out (of depthwise layers) do not count here either.
_SHORT = 0.02
#: The ramp is walked in about this many prunings: TFMOT's own default of every 100 steps skips short trainings.
_RAMP_PRUNINGS = 50


def prune(model: keras.Model, spec: Prune, context: Context) -> keras.Model:
    """The model with each kernel pruned to `spec.sparsity` by `prune_low_magnitude`, trained by the stage's settings.

    Raises:
        MissingPackageError: TFMOT is not installed.
        UnsupportedModelError: a layer that tf_keras or TFMOT does not know.
        InputError: the schedule did not reach its sparsity.
    """
    tfmot = import_tfmot()
    steps = spec.epochs * len(context.batches(model, "train"))
    api = tfmot.sparsity.keras
    ramp = max(1, round(spec.ramp * steps))
    if spec.schedule == "constant":
        schedule = api.ConstantSparsity(spec.sparsity, begin_step=0, frequency=1)
    else:
        every = max(1, ramp // _RAMP_PRUNINGS)
        schedule = api.PolynomialDecay(0.0, spec.sparsity, begin_step=0, end_step=ramp, power=3, frequency=every)
    wrapped = _known(lambda: api.prune_low_magnitude(to_tf_keras(model), pruning_schedule=schedule), model)
    _fit(wrapped, model, spec, context, [api.UpdatePruningStep()])
    final = from_tf_keras(api.strip_pruning(wrapped), model)
    found = sparsity(final)
    if found < spec.sparsity - _SHORT:
        raise InputError(
            f"{model.name} was to be pruned to {spec.sparsity:.0%} zeros by TFMOT and has {found:.1%}",
            remedy="Train longer, or use the native back end.",
        )
    keep_zeros(final)
    return final


def cluster(model: keras.Model, spec: Cluster, context: Context) -> keras.Model:
    """The model with at most `spec.clusters` values a kernel by `cluster_weights`; zeros of an earlier prune stay.

    Raises as `prune`.
    """
    import_tfmot()
    from tensorflow_model_optimization.python.core.clustering.keras.experimental.cluster import cluster_weights

    tfmot, pruned = import_tfmot(), sparsity(model) > _SPARSE
    wrapped = _known(
        lambda: cluster_weights(to_tf_keras(model), number_of_clusters=spec.clusters, preserve_sparsity=pruned), model
    )
    _fit(wrapped, model, spec, context)
    final = from_tf_keras(tfmot.clustering.keras.strip_clustering(wrapped), model)
    if pruned:
        keep_zeros(final)
    keep_clusters(final)
    return final


def quantize_aware(model: keras.Model, spec: QuantizeAware, context: Context) -> keras.Model:
    """Weights trained under TFMOT's fake quantization, with our ranges around them.

    Zeros and clusters stay by its schemes PQAT, CQAT and PCQAT. TFMOT's ranges of activations stay behind: they are
    set again by calibration, as the native back end sets them before it trains.

    Raises as `prune`.
    """
    tfmot = import_tfmot()
    replayed = to_tf_keras(model)
    api = tfmot.quantization.keras
    pruned = sparsity(model) > _SPARSE
    scheme = _scheme(pruned, clustered=most_values(model)[0] > 0)
    arguments = {} if scheme is None else {"scheme": scheme}
    wrapped = _known(lambda: api.quantize_apply(api.quantize_annotate_model(replayed), **arguments), model)
    _fit(wrapped, model, spec, context)
    _take_weights(wrapped, replayed, pruned=pruned)
    return finalize(place_quantization(from_tf_keras(replayed, model), context.calibration(model)))


def import_tfmot() -> Any:
    """The package. Raises MissingPackageError with the command that installs it."""
    before = os.environ.get(_SWITCH)
    try:
        import tensorflow_model_optimization
    except ImportError as error:
        problem = f"backend tfmot needs TensorFlow Model Optimization: {error}"
        raise MissingPackageError(problem, remedy=_INSTALL) from error
    finally:  # importing it sets this for the whole process, and its children
        if before is None:
            os.environ.pop(_SWITCH, None)
        else:
            os.environ[_SWITCH] = before
    return tensorflow_model_optimization


def _known(wrap: Any, model: keras.Model) -> Any:
    """What `wrap` makes of the model; TFMOT's complaint about a layer becomes ours."""
    try:
        return wrap()
    except (ValueError, RuntimeError, NotImplementedError) as error:
        problem = f"{model.name}: TFMOT refuses it: {first_line(error)}"
        raise UnsupportedModelError(problem, remedy=_REMEDY) from error


def _scheme(pruned: bool, *, clustered: bool) -> Any:
    """TFMOT's way of keeping what earlier stages made; None for its default scheme."""
    from tensorflow_model_optimization.python.core.quantization.keras import collab_opts as _  # noqa: F401 - a package
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.cluster_preserve import (
        default_8bit_cluster_preserve_quantize_scheme as clusters,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.prune_preserve import (
        default_8bit_prune_preserve_quantize_scheme as zeros,
    )

    if clustered:
        return clusters.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=pruned)
    return zeros.Default8BitPrunePreserveQuantizeScheme() if pruned else None


def _fit(wrapped: Any, model: keras.Model, spec: Training, context: Context, helpers: Sequence[Any] = ()) -> None:
    """Train as the native stages do: the same batches, loss, Adam, learning rate falling along a cosine."""
    if len(keras.tree.flatten(model.output)) > 1:
        raise UnsupportedModelError(f"{model.name} has several outputs", remedy=_REMEDY)
    tf_keras = import_tf_keras()
    batches = context.batches(model, "train")

    class Epochs(tf_keras.utils.Sequence):  # type: ignore[misc, name-defined] # tf_keras ships no types
        def __len__(self) -> int:
            return len(batches)

        def __getitem__(self, index: int) -> Any:
            return batches[index]

        def on_epoch_end(self) -> None:
            batches.on_epoch_end()

    rate = tf_keras.optimizers.schedules.CosineDecay(spec.learning_rate, spec.epochs * len(batches))
    wrapped.compile(tf_keras.optimizers.Adam(rate), context.loss(model))
    progress = EpochProgress(spec.word, spec.epochs, len(batches), context.progress)
    tell = tf_keras.callbacks.LambdaCallback(
        on_epoch_begin=progress.on_epoch_begin,
        on_epoch_end=progress.on_epoch_end,
        on_batch_end=progress.on_train_batch_end,
    )
    wrapped.fit(Epochs(), epochs=spec.epochs, shuffle=False, callbacks=[*helpers, tell], verbose=0)


def _take_weights(wrapped: Any, replayed: Any, *, pruned: bool) -> None:
    """Copy the trained weights of a quantize-aware model into the plain one that it was made from.

    `pruned`: what was zero there stays zero: TFMOT masks its weights when it uses them, not where it stores them.
    """
    trained: dict[str, Mapping[str, Any]] = {}
    for wrapper in wrapped.layers:
        inner = getattr(wrapper, "layer", wrapper)
        trained[inner.name] = {_last(weight.name): weight for weight in wrapper.weights}
    for layer in replayed.layers:
        wanted = [_last(weight.name) for weight in layer.weights]
        found = trained.get(layer.name, {})
        if any(name not in found for name in wanted):
            raise UnsupportedModelError(f"layer {layer.name}: TFMOT rebuilt it in another form", remedy=_REMEDY)
        values = [np.asarray(found[name]) for name in wanted]
        if pruned:
            kept = [before != 0 if n in _KERNELS else 1 for n, before in zip(wanted, layer.get_weights(), strict=True)]
            values = [value * mask for value, mask in zip(values, kept, strict=True)]
        layer.set_weights(values)


def _last(name: str) -> str:
    return name.rpartition("/")[2].partition(":")[0]
