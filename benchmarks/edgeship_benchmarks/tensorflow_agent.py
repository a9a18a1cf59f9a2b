"""The agent with one more engine: TensorFlow, for SavedModels.

Started as `edgeship_benchmarks.agent` is, and speaks as it does; never copied to a device.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeship.errors import SourceError
from edgeship_benchmarks.agent.facts import version_of
from edgeship_benchmarks.agent.faults import Fault
from edgeship_benchmarks.agent.operations import RUNTIMES
from edgeship_benchmarks.agent.protocol import main
from edgeship_benchmarks.agent.tensors import Tensor


class SavedModel:
    """The signature `serving_default` of a SavedModel, or its only one.

    Nothing is loaded that may do more than compute.
    """

    def __init__(self, file: str, threads: int) -> None:
        self.warnings: list[str] = []
        started = time.perf_counter()
        try:
            import tensorflow as tf
        except ImportError as error:
            message = f"TensorFlow cannot be imported: {error}"
            raise Fault("MissingPackageError", message, "Get it: pip install 'edgeship[tensorflow]'") from error
        from edgeship.source import saved

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self._tf = tf
        self.versions = {"tensorflow": version_of("tensorflow", tf)}
        self.import_ms = (time.perf_counter() - started) * 1e3
        started = time.perf_counter()
        folder = Path(file).parent
        try:
            self._model = saved.load_saved_model(folder, allow_unsafe=False)
            key = saved.choose(list(self._model.signatures), None, folder.name)
        except SourceError as error:
            kind = "ArtifactError" if type(error) is SourceError else type(error).__name__
            raise Fault(kind, f"TensorFlow cannot open {file}: {error.message}", error.remedy) from error
        signature = saved.saved_model_signature(self._model, key)
        self._call = signature.call
        self.load_ms = (time.perf_counter() - started) * 1e3
        self.inputs, self.outputs = (
            [Tensor(spec.name, spec.shape, spec.dtype) for spec in specs]
            for specs in (signature.inputs, signature.outputs)
        )
        batches = [tensor.shape[0] for tensor in self.inputs if tensor.shape]
        self.fixed_batch = batches[0] if batches else None

    def batch(self, requested: int) -> int:
        """Samples per inference: what the file fixes, else as requested."""
        return self.fixed_batch or requested

    def prepare(self, feeds: Sequence[Any]) -> None:
        """Nothing to adapt and no state to clear."""

    def infer(self, feeds: Sequence[Any]) -> list[Any]:
        """One call of the signature, with the copies into and out of TensorFlow."""
        return [result.numpy() for result in self._call(*(self._tf.constant(feed) for feed in feeds))]


if __name__ == "__main__":
    RUNTIMES["tensorflow"] = SavedModel
    main()
