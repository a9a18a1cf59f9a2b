"""LiteRT, and the older runtime of 32-bit boards."""

# ruff: noqa: B905 - zip(strict=) needs Python 3.10
from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from edgeship_benchmarks.agent import edgetpu
from edgeship_benchmarks.agent.facts import version_of
from edgeship_benchmarks.agent.faults import Fault
from edgeship_benchmarks.agent.tensors import lite_tensor


def runtime() -> tuple[Any, dict[str, str], list[str]]:
    """The module with the interpreter and what loads its delegates, its version, and what there is to warn of."""
    try:
        import ai_edge_litert
        from ai_edge_litert import interpreter
    except ImportError as error:
        if sys.maxsize > 2**32:
            message = f"the LiteRT runtime cannot be imported: {error}"
            raise Fault("MissingPackageError", message, "Get it: pip install ai-edge-litert") from error
    else:
        return interpreter, {"ai-edge-litert": version_of("ai-edge-litert", ai_edge_litert)}, []
    try:
        import tflite_runtime  # type: ignore[import-not-found] # 32-bit boards only, not in our environment
        from tflite_runtime import interpreter as old
    except ImportError as error:
        message = f"no LiteRT runtime can be imported: {error}"
        raise Fault("MissingPackageError", message, "Get it: pip install tflite-runtime 'numpy<2'") from error
    warning = (
        "tflite-runtime, the old name of LiteRT, runs this file because no LiteRT wheel exists for 32-bit systems: "
        "int8 can be many times slower, and newer operations are missing. Use a 64-bit system for real numbers."
    )
    return old, {"tflite-runtime": version_of("tflite-runtime", tflite_runtime)}, [warning]


class LiteRT:
    """A .tflite file in the LiteRT interpreter (XNNPACK by default), sample by sample, as devices run it.

    `delegate` is `edgetpu`, or `edgetpu:DEVICE` with a name that libedgetpu gives a device (`usb:0`), or `none`:
    LiteRT's own kernels, without XNNPACK.
    """

    #: What `profile` of the agent needs for this runtime: files cut after each operator.
    profiled_by = "prefixes"

    def __init__(self, file: str, threads: int, delegate: str = "") -> None:
        self._settings = threads, delegate
        started = time.perf_counter()
        lite, self.versions, self.warnings = runtime()
        self.import_ms = (time.perf_counter() - started) * 1e3
        started = time.perf_counter()
        delegates = None
        kernels = lite.OpResolverType.AUTO
        if delegate == "none":
            kernels = lite.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        elif delegate:
            opened, version = edgetpu.open_delegate(lite, delegate)
            delegates = [opened]
            self.versions.update(version)
        try:
            self._lite = lite.Interpreter(
                model_path=file,
                num_threads=threads,
                experimental_delegates=delegates,
                experimental_op_resolver_type=kernels,
            )
            self._lite.allocate_tensors()
            self.load_ms = (time.perf_counter() - started) * 1e3
            self.inputs = [lite_tensor(d) for d in self._lite.get_input_details()]
            self.outputs = [lite_tensor(d) for d in self._lite.get_output_details()]
            self._name_by_signature()
        except (ValueError, RuntimeError) as error:
            remedy = "The file is broken or no TensorFlow Lite model; convert it again."
            if "edgetpu-custom-op" in str(error):
                remedy = "It was compiled for an Edge TPU, without which it cannot run: --target coral."
            elif "op" in str(error).lower().split():
                remedy = "It needs operations that LiteRT does not have; convert without SELECT_TF_OPS and custom ops."
            raise Fault("ArtifactError", f"LiteRT cannot open {file}: {error}", remedy) from error
        self._shapes = [tuple(d["shape"]) for d in self._lite.get_input_details()]
        self.fixed_batch = self.inputs[0].shape[0] if self.inputs and self.inputs[0].shape else None

    def _name_by_signature(self) -> None:
        """Signature names are the converter's own; tensor names are an accident of the graph, kept as alias."""
        for key in self._lite.get_signature_list():
            runner = self._lite.get_signature_runner(key)
            names = {d["index"]: name for name, d in runner.get_input_details().items()}
            out_names = [(d["index"], name) for name, d in runner.get_output_details().items()]
            if {t.index for t in self.inputs} != set(names) or sorted(t.index for t in self.outputs) != sorted(
                index for index, _ in out_names
            ):
                continue  # a signature of another subgraph
            for tensor in self.inputs:
                tensor.name = names[tensor.index]
            for tensor in self.outputs:  # one tensor may be two outputs: each takes one of its names
                tensor.name = out_names.pop([index for index, _ in out_names].index(tensor.index))[1]
            return

    def batch(self, requested: int) -> int:  # noqa: ARG002 - same call as for ONNX
        """Samples per inference: what the file fixes, else one."""
        return self.fixed_batch or 1

    def prepare(self, feeds: Sequence[Any]) -> None:
        """Adapt dynamic axes to these arrays; not part of a timed inference."""
        shapes = [feed.shape for feed in feeds]
        if shapes != self._shapes:
            for tensor, shape in zip(self.inputs, shapes):
                self._lite.resize_tensor_input(tensor.index, shape, strict=True)
            self._lite.allocate_tensors()
            self._shapes = shapes
        # A fused LSTM keeps its state between invocations: without this the second sample is wrong.
        self._lite.reset_all_variables()

    def infer(self, feeds: Sequence[Any]) -> list[Any]:
        """Set inputs, invoke, copy outputs."""
        for tensor, feed in zip(self.inputs, feeds):
            self._lite.set_tensor(tensor.index, feed)
        self._lite.invoke()
        return [self._lite.get_tensor(tensor.index) for tensor in self.outputs]

    def steps(self, files: Sequence[str], feeds: Sequence[Any]) -> list[Callable[[], None]]:
        """Inferences of other files with the same inputs, without setting them and without copying outputs."""
        found = []
        for file in files:
            part = LiteRT(file, *self._settings)
            part.prepare(feeds)
            part.infer(feeds)
            found.append(part.invoke)
        return found

    def invoke(self) -> None:
        """Infer with the inputs that are set."""
        self._lite.invoke()
