"""The end of training-time compression: promises are checked, helpers go."""

from __future__ import annotations

import keras

from edgeship.compress.distill.distiller import Distiller
from edgeship.compress.helpers import helpers
from edgeship.compress.layers import fake_quantized
from edgeship.compress.quantize.aware import freeze
from edgeship.compress.weights.clustering import int8_limits, keep_clusters, keep_int8_clusters
from edgeship.compress.weights.pruning import clone, keep_zeros


def finalize(model: keras.Model) -> keras.Model:
    """The trained model, ready to be saved, converted or compressed further; the weights of `model` are not changed.

    A pruned model keeps its zeros and a clustered one its number of values in whatever training follows in this
    process. A quantization-aware model gets kernels on their int8 grid and frozen ranges; where its weights came
    to carry too many bits after its steps were chosen last, these are chosen anew, with a warning. Of a distiller it is
    the student.

    Raises:
        InputError: a pruning schedule did not reach its sparsity, zeros or shared values were lost, or a range was
            never set.
    """
    if isinstance(model, Distiller):
        model = model.student
    promised = helpers(model)
    for helper in promised:
        helper.check()
    final = freeze(model) if fake_quantized(model) else clone(model)
    if promised:
        keep_zeros(final)
        if fake_quantized(model):
            keep_int8_clusters(final, int8_limits(model))
        else:
            keep_clusters(final)
    for helper in helpers(final):
        helper.check()
    return final


def promises(model: keras.Model) -> bool:
    """Whether a finished model keeps zeros or shared values in what training follows."""
    return bool(helpers(model))


def promise_again(model: keras.Model) -> None:
    """Let a model keep what it promised when it was written to the file that it was read from; changes it in place."""
    keep_zeros(model)
    keep_clusters(model)
