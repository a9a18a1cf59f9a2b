"""The agent with one more engine: TensorFlow Lite Micro, whose wheels exist for Linux on x86-64 only.

Started as `edgeship_benchmarks.agent` is, and speaks as it does; never copied to a device.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import struct
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeship_benchmarks.agent.facts import version_of
from edgeship_benchmarks.agent.faults import Fault
from edgeship_benchmarks.agent.operations import RUNTIMES
from edgeship_benchmarks.agent.protocol import end_with_parent, main
from edgeship_benchmarks.agent.tensors import Tensor, lite_tensor

#: No microcontroller has more; a file that asks for it is broken or too large.
_MAX_ARENA_BYTES = 1 << 30
#: Of the processor, for one inference. Some kernels never end in some files.
_TRIAL_SECONDS = 20


class TFLM:
    """A .tflite file in the interpreter of TensorFlow Lite Micro, with its reference kernels, sample by sample.

    It runs in the smallest arena that it fits in, so that every run is one in `arena_bytes`. That is of this machine:
    pointers of 32 bits need less, kernels with scratch buffers (CMSIS-NN) more.
    """

    def __init__(self, file: str, threads: int) -> None:
        del threads  # it has one
        self.warnings = [
            "times are of TensorFlow Lite Micro's reference kernels on this machine; no microcontroller was measured"
        ]
        started = time.perf_counter()
        try:
            import tflite_micro
        except ImportError as error:
            message = f"TensorFlow Lite Micro cannot be imported: {error}"
            raise Fault("MissingPackageError", message, "Get it: pip install tflite-micro") from error
        self._runtime = tflite_micro.runtime
        self.versions = {"tflite-micro": version_of("tflite-micro", tflite_micro)}
        self.import_ms = (time.perf_counter() - started) * 1e3
        self._content = Path(file).read_bytes()
        if self._content[4:8] != b"TFL3":
            raise Fault(
                "ArtifactError", f"{file} is no TensorFlow Lite model: it has no TFL3 mark", "Convert it again."
            )
        try:
            model = self._runtime.schema_fb.Model.GetRootAs(self._content, 0)
            bound = _arena_bound(model)
            names = _tflite_names(model)
        except (struct.error, ValueError, IndexError, TypeError, AttributeError) as error:
            raise Fault("ArtifactError", f"{file} is no TensorFlow Lite model: {error}", "Convert it again.") from error
        self.arena_bytes = self._smallest_arena(file, bound)
        started = time.perf_counter()
        self._tflm = self._open(self.arena_bytes)
        self.load_ms = (time.perf_counter() - started) * 1e3
        get_in, get_out = self._tflm.get_input_details, self._tflm.get_output_details
        self.inputs = [self._tensor(*n, get_in(i)) for i, n in enumerate(names[0])]
        self.outputs = [self._tensor(*n, get_out(i)) for i, n in enumerate(names[1])]
        self.fixed_batch = self.inputs[0].shape[0] if self.inputs and self.inputs[0].shape else None

    @staticmethod
    def _tensor(name: str, alias: str, details: dict[str, Any]) -> Tensor:
        tensor = lite_tensor({**details, "name": name, "index": -1})
        tensor.alias = alias
        return tensor

    def _open(self, arena_bytes: int, content: bytes = b"") -> Any:
        return self._runtime.Interpreter.from_bytes(content or self._content, arena_size=arena_bytes)

    def _smallest_arena(self, file: str, bound: int) -> int:
        """By bisection, in steps of the 16 bytes that TFLM aligns to; raises Fault where no arena is large enough."""
        reason = self._trial(bound)
        # As TFLM says: Requested: 104, available 96, missing: 8
        while "missing:" in reason and bound < _MAX_ARENA_BYTES:
            bound = min(4 * bound, _MAX_ARENA_BYTES)
            reason = self._trial(bound)
        if reason:
            if "Node " not in reason and "missing:" not in reason:  # it did not come to say where
                reason = f"{reason} at {self._culprit(bound)}"
            remedy = "Choose another variant or replace the layer; the message is TensorFlow Lite Micro's own."
            raise Fault("ArtifactError", f"TensorFlow Lite Micro cannot run {file}: {reason}", remedy)
        low, high = 0, bound // 16
        while high - low > 1:
            middle = (low + high) // 2
            if self._trial(16 * middle):
                low = middle
            else:
                high = middle
        return 16 * high

    def _culprit(self, arena_bytes: int) -> str:
        """The first operator with which the file does not run, in the words of TFLM: `Node NAME (number N)`."""
        from ai_edge_litert import schema_py_generated as schema

        model = schema.ModelT.InitFromPackedBuf(self._content, 0)
        operators = list(model.subgraphs[0].operators)
        runs, fails = 0, len(operators)
        while fails - runs > 1:
            count = (runs + fails) // 2
            if self._trial(arena_bytes, _beginning(model, operators[:count])):
                fails = count
            else:
                runs = count
        code = model.operatorCodes[operators[fails - 1].opcodeIndex]
        named = {value: name for name, value in vars(schema.BuiltinOperator).items()}
        return f"Node {named.get(max(code.builtinCode, code.deprecatedBuiltinCode), 'CUSTOM')} (number {fails - 1})"

    def _trial(self, arena_bytes: int, content: bytes = b"") -> str:
        """Why the file (or `content`) does not run in an arena, or nothing: opened, run once in a copy of this process.

        In a copy, because TFLM crashes where memory lacks or a file is broken.
        """
        with tempfile.TemporaryFile() as said:
            pid = os.fork()
            if pid == 0:
                faulthandler.disable()
                end_with_parent()
                resource.setrlimit(resource.RLIMIT_CPU, (_TRIAL_SECONDS, _TRIAL_SECONDS + 1))
                os.dup2(said.fileno(), 2)
                status = 1
                try:
                    self._open(arena_bytes, content).invoke()
                    status = 0
                except Exception as error:  # noqa: BLE001 - the end of a child: it tells its parent
                    os.write(2, str(error).encode())
                finally:
                    os._exit(status)
            status = os.waitpid(pid, 0)[1]
            if status == 0:
                return ""
            said.seek(0)
            lines = said.read(1 << 16).decode("utf-8", "replace").split("\n")
            signalled = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            crash = [f"it crashed (signal {signalled})"] if signalled else []
            if signalled == signal.SIGXCPU:
                crash = [f"one inference did not end within {_TRIAL_SECONDS} s"]
            return "; ".join([line.strip() for line in lines if line.strip()][:4] + crash) or "it gave no reason"

    def batch(self, requested: int) -> int:
        """Samples per inference: what the file fixes; TFLM resizes nothing."""
        return self.fixed_batch or requested

    def prepare(self, feeds: Sequence[Any]) -> None:  # noqa: ARG002 - as of the other runtimes
        """Clear what an LSTM keeps between inferences."""
        self._tflm.reset()

    def infer(self, feeds: Sequence[Any]) -> list[Any]:
        """Set inputs, invoke, copy outputs."""
        for index, feed in enumerate(feeds):
            self._tflm.set_input(feed, index)
        self._tflm.invoke()
        return [np.array(self._tflm.get_output(index)) for index in range(len(self.outputs))]


def _beginning(model: Any, operators: Sequence[Any]) -> bytes:
    """A file with the first operators of a model (ModelT) alone, which gives what the last of them gives."""
    import flatbuffers  # type: ignore[import-untyped] # it ships no stubs

    model.subgraphs[0].operators = operators
    model.subgraphs[0].outputs = list(operators[-1].outputs)
    model.signatureDefs = []
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _arena_bound(model: Any) -> int:
    """Bytes in which a model of TensorFlow Lite fits: nothing shares memory, six times over for scratch buffers."""
    bound = 1 << 14
    for graph in map(model.Subgraphs, range(model.SubgraphsLength())):
        bound += 1024 * (graph.OperatorsLength() + graph.TensorsLength())
        for tensor in map(graph.Tensors, range(graph.TensorsLength())):
            if not model.Buffers(tensor.Buffer()).DataLength():
                values = 1
                for size in tensor.ShapeAsNumpy() if tensor.ShapeLength() else ():
                    values *= max(1, int(size))
                bound += 6 * 8 * values
    return min(-(-bound // 16) * 16, _MAX_ARENA_BYTES)


def _tflite_names(model: Any) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Of the first graph's inputs and outputs: names by signature and by tensor, in the file's order."""
    graph = model.Subgraphs(0)
    public = ({}, {})  # type: tuple[dict[int, str], dict[int, str]]
    for signature in map(model.SignatureDefs, range(model.SignatureDefsLength())):
        if signature.SubgraphIndex() == 0:
            for found, entry, count in (
                (public[0], signature.Inputs, signature.InputsLength()),
                (public[1], signature.Outputs, signature.OutputsLength()),
            ):
                found.update({entry(i).TensorIndex(): entry(i).Name().decode() for i in range(count)})

    def named(index: int, names: dict[int, str]) -> tuple[str, str]:
        alias = (graph.Tensors(index).Name() or b"").decode()
        return names.get(index, alias), alias

    inputs = [named(graph.Inputs(i), public[0]) for i in range(graph.InputsLength())]
    return inputs, [named(graph.Outputs(i), public[1]) for i in range(graph.OutputsLength())]


if __name__ == "__main__":
    RUNTIMES["tflm"] = TFLM
    main()
