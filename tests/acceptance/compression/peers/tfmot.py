"""TensorFlow Model Optimization as its guides show it: prune, cluster, QAT, and PQAT, CQAT, PCQAT.

Settings: `prune` (sparsity), `cluster` (values a kernel), `qat` (quantization-aware training comes last; without it the
file is quantized after training). The 30 epochs are shared among the stages; the learning rate is swept in short runs
of the same stages, on the validation part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster as sparse_clusters
from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.cluster_preserve import (
    cluster_utils,
)
from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.cluster_preserve import (
    default_8bit_cluster_preserve_quantize_scheme as clustered,
)
from tensorflow_model_optimization.python.core.quantization.keras.collab_opts.prune_preserve import (
    default_8bit_prune_preserve_quantize_scheme as pruned,
)

from tests.acceptance.compression.peers.common import Request, finish, litert_accuracy, request, sweep

_RATES = (1e-3, 3e-4, 1e-4)
#: Quantization-aware training takes a smaller step than what comes before it.
_QAT_SHARE = 0.3
#: Shares of the epochs by number of stages.
_SHARES = {1: (1.0,), 2: (0.6, 0.4), 3: (0.5, 0.2, 0.3)}
_SWEEP_EPOCHS = 3


def stages(asked: Request) -> list[str]:
    """Which stages the settings ask for, in order."""
    return [name for name in ("prune", "cluster", "qat") if asked.settings.get(name)]


def epochs_of(total: int, count: int) -> list[int]:
    """Epochs of each of `count` stages, `total` together."""
    shares = [max(1, int(share * total)) for share in _SHARES[count]]
    return [*shares[:-1], total - sum(shares[:-1])]


class Run:
    """One training of the stages."""

    def __init__(self, asked: Request, rate: float, total: int) -> None:
        tf_keras.utils.set_random_seed(asked.seed)
        self._asked, self._rate, self._done = asked, rate, 0
        self._plan = dict(zip(stages(asked), epochs_of(total, len(stages(asked))), strict=True))

    def file(self) -> bytes:
        """Train all stages; the int8 .tflite file, int8 in and out."""
        model = tf_keras.models.load_model(self._asked.base, compile=False)
        for name, epochs in self._plan.items():
            model = getattr(self, f"_{name}")(model, epochs)
        return self._convert(model)

    def _prune(self, model: Any, epochs: int) -> Any:
        end = int(0.6 * epochs * self._asked.steps)
        schedule = tfmot.sparsity.keras.PolynomialDecay(
            0.0, self._asked.settings["prune"], begin_step=0, end_step=end, frequency=max(1, end // 100)
        )
        wrapped = tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
        self._fit(wrapped, epochs, self._rate, [tfmot.sparsity.keras.UpdatePruningStep()])
        return tfmot.sparsity.keras.strip_pruning(wrapped)

    def _cluster(self, model: Any, epochs: int) -> Any:
        wrapped = sparse_clusters.cluster_weights(
            model,
            number_of_clusters=self._asked.settings["cluster"],
            cluster_centroids_init=tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS,
            preserve_sparsity=bool(self._asked.settings.get("prune")),
            cluster_per_channel=bool(self._asked.settings.get("per_channel")),
        )
        self._fit(wrapped, epochs, self._rate * _QAT_SHARE)
        return tfmot.clustering.keras.strip_clustering(wrapped)

    def _qat(self, model: Any, epochs: int) -> Any:
        zeros, shared = bool(self._asked.settings.get("prune")), bool(self._asked.settings.get("cluster"))
        annotated = tfmot.quantization.keras.quantize_annotate_model(model)
        if shared:
            scheme = clustered.Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=zeros)
        elif zeros:
            scheme = pruned.Default8BitPrunePreserveQuantizeScheme()
        else:
            scheme = tfmot.quantization.keras.default_8bit.Default8BitQuantizeScheme()
        wrapped = tfmot.quantization.keras.quantize_apply(annotated, scheme=scheme)
        self._fit(wrapped, epochs, self._rate * _QAT_SHARE)
        return cluster_utils.strip_clustering_cqat(wrapped) if shared else wrapped

    def _fit(self, model: Any, epochs: int, rate: float, callbacks: Sequence[Any] = ()) -> None:
        steps = self._asked.steps
        decay = tf_keras.optimizers.schedules.CosineDecay(rate, epochs * steps)
        model.compile(tf_keras.optimizers.Adam(decay), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(self._batches(), steps_per_epoch=steps, epochs=epochs, callbacks=list(callbacks), verbose=2)
        self._done += epochs

    def _batches(self) -> Iterator[Any]:
        epoch = self._done
        while True:
            yield from self._asked.batches(epoch)
            epoch += 1

    def _convert(self, model: Any) -> bytes:
        converter: Any = tf.lite.TFLiteConverter.from_keras_model(model)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if not self._asked.settings.get("qat"):
            samples = self._asked.calibration(500)
            converter.representative_dataset = lambda: ([sample[None]] for sample in samples)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        return bytes(converter.convert())


def main() -> None:
    """Choose the learning rate in short runs, then train in full; the best of all files is kept."""
    asked = request()
    x, y = (np.asarray(part) for part in asked.split("validation"))

    def score(made: bytes) -> float:
        return litert_accuracy(made, x, y)

    short, chosen, tried = sweep(
        [{"learning_rate": rate} for rate in _RATES],
        lambda learning_rate: Run(asked, learning_rate, _SWEEP_EPOCHS).file(),
        score,
    )
    rate = chosen["learning_rate"]
    content, length, last = sweep(
        [{"epochs": _SWEEP_EPOCHS}, {"epochs": asked.epochs}],
        lambda epochs: short if epochs == _SWEEP_EPOCHS else Run(asked, rate, epochs).file(),
        score,
    )
    tried = [*({**row, "epochs": _SWEEP_EPOCHS} for row in tried), {**chosen, **last[-1]}]
    packages = ["tensorflow-model-optimization", "tf-keras", "tensorflow"]
    settings = {**asked.settings, **chosen}
    finish(asked, content, "tflite", packages, epochs=length["epochs"], settings=settings, sweep=tried)


if __name__ == "__main__":
    main()
