"""ONNX Runtime."""

# ruff: noqa: B905 - zip(strict=) needs Python 3.10
from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeship_benchmarks.agent.facts import version_of
from edgeship_benchmarks.agent.faults import Fault
from edgeship_benchmarks.agent.tensors import Tensor

_ORT_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    **{f"tensor({kind}{bits})": f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
}


class ONNX:
    """An .onnx file in ONNX Runtime on the CPU, deterministic."""

    #: It writes a trace by itself.
    profiled_by = "trace"

    def __init__(self, file: str, threads: int, trace: str = "") -> None:
        """`trace`: where it writes the times of its operators, as the beginning of a file's name; empty: nowhere."""
        self._file, self._threads = file, threads
        self.warnings: list[str] = []
        started = time.perf_counter()
        try:
            import onnxruntime
        except ImportError as error:
            message = f"ONNX Runtime cannot be imported: {error}"
            raise Fault("MissingPackageError", message, "Get it: pip install onnxruntime") from error
        self.import_ms = (time.perf_counter() - started) * 1e3
        self.versions = {"onnxruntime": version_of("onnxruntime", onnxruntime)}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        if trace:
            options.enable_profiling = True
            options.profile_file_prefix = trace
        started = time.perf_counter()
        try:
            self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exception classes are private, derived from Exception
            remedy = "The file is broken or no ONNX model that this version runs; convert it again."
            raise Fault("ArtifactError", f"ONNX Runtime cannot open {file}: {error}", remedy) from error
        self.load_ms = (time.perf_counter() - started) * 1e3
        self.inputs = [self._tensor(node) for node in self._session.get_inputs()]
        self.outputs = [self._tensor(node) for node in self._session.get_outputs()]
        self._names = [t.name for t in self.outputs]
        batches = [t.shape[0] for t in self.inputs if t.shape]
        self.fixed_batch = batches[0] if batches else None
        if self.fixed_batch is None and b"DynamicQuantizeLinear" in Path(file).read_bytes():
            # Its range is taken over the whole batch: a sample's result would depend on its neighbours.
            self.fixed_batch = 1

    @staticmethod
    def _tensor(node: Any) -> Tensor:
        if node.type not in _ORT_DTYPES:
            raise Fault("ArtifactError", f"{node.name!r} is a {node.type}; only tensors of numbers can be run")
        return Tensor(node.name, [d if isinstance(d, int) else None for d in node.shape], _ORT_DTYPES[node.type])

    def batch(self, requested: int) -> int:
        """Samples per inference: what the file fixes, else as requested."""
        return self.fixed_batch or requested

    def prepare(self, feeds: Sequence[Any]) -> None:
        """Nothing to adapt and no state to clear."""

    def infer(self, feeds: Sequence[Any]) -> list[Any]:
        """One session run, feeding and fetching included."""
        return list(self._session.run(self._names, {t.name: feed for t, feed in zip(self.inputs, feeds)}))

    def traced(self, trace: str) -> ONNX:
        """The same file once more, opened so that it is traced."""
        return ONNX(self._file, self._threads, trace)

    def end_trace(self) -> str:
        """Name of the file that the trace is in."""
        return str(self._session.end_profiling())
