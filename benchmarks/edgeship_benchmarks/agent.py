"""The measuring agent: the only code that feeds LiteRT and ONNX Runtime, on this machine and on a device.

One file without an edgeship import, so that it can be copied to a Raspberry Pi and started there (`python agent.py`,
Python 3.9 or newer, NumPy and one runtime). It never imports TensorFlow. It reads one JSON request a line from standard
input and answers on standard output, `{"result": ...}` or
`{"error": {"type", "message", "remedy"}}`, after any number of `{"progress": ...}` lines; what libraries print goes to
standard error. Operations: the methods of `Agent`.

Callers speak the original model's units: real numbers go in and come out; a quantized tensor is quantized and
dequantized here (arXiv 1712.05877, eq. 1). Timings are wall time of `time.perf_counter_ns`.
"""

# ruff: noqa: B905 - zip(strict=) needs Python 3.10
from __future__ import annotations

import ctypes
import faulthandler
import gc
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_HERE = str(Path(__file__).resolve().parent)
# Python puts the script's folder first on the path; the modules beside this file must not shadow anyone's.
sys.path = [entry for entry in sys.path if entry != _HERE]

_started = time.perf_counter()
np: Any = None
try:
    import numpy as np
except ImportError as _error:  # a bare board can still say what it is
    _NO_NUMPY = (str(_error).strip().splitlines() or ["?"])[-1]  # NumPy explains itself at length

_NUMPY_MS = (time.perf_counter() - _started) * 1e3

#: Warm-up is over when the medians of two successive windows of this many runs differ by less than the tolerance.
WINDOW_RUNS = 10
WINDOW_TOLERANCE = 0.05
#: Batch for runtimes with a dynamic batch axis, where the caller names none.
DEFAULT_BATCH = 64

_ORT_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    **{f"tensor({kind}{bits})": f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
}


class Fault(Exception):
    """An error for the caller: the class name in edgeship's tree, what was given, what to try."""

    def __init__(self, kind: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.kind, self.message, self.remedy = kind, message, remedy


class Tensor:
    """One input or output: public name, shape (None = dynamic, batch first), NumPy dtype, affine quantization."""

    def __init__(self, name: str, shape: Sequence[int | None], dtype: str) -> None:
        self.name, self.shape, self.dtype = name, list(shape), dtype
        self.alias = name
        self.index = -1
        self.scale, self.zero_point = 0.0, 0

    def spec(self) -> dict[str, Any]:
        """As the caller's TensorSpec."""
        quantization = {"scale": self.scale, "zero_point": self.zero_point} if self.scale else None
        return {"name": self.name, "shape": self.shape, "dtype": self.dtype, "quantization": quantization}

    def accepts(self, shape: Sequence[int]) -> bool:
        """Whether samples of this shape (batch axis first) fit."""
        pairs = list(zip(self.shape[1:], shape[1:]))
        return len(self.shape) == len(shape) and all(have is None or have == given for have, given in pairs)

    def store(self, real: Any) -> Any:
        """Real values as the tensor stores them; refuses what would change silently."""
        if self.scale:
            if not np.isfinite(real).all():
                raise Fault("DataError", f"input {self.name!r} has NaN or infinite values, which have no int8 code")
            limits = np.iinfo(self.dtype)
            # float32 like the kernels that devices use; np.round takes halves to even
            code = np.round(real.astype(np.float32) / np.float32(self.scale)) + self.zero_point
            return np.clip(code, limits.min, limits.max).astype(self.dtype)
        if real.dtype == np.dtype(self.dtype):
            return np.ascontiguousarray(real)
        with np.errstate(over="ignore", invalid="ignore"):
            stored = real.astype(self.dtype)
        both_float = real.dtype.kind == "f" and stored.dtype.kind == "f"
        # Rounding to a narrower float is what the model's own input does; overflow is not.
        if both_float:
            same = np.isfinite(stored) == np.isfinite(real)
        else:
            # Both ways: -1 as uint8 comes back as -1, and 2**60 + 1 equals its own float.
            same = (stored == real) & (stored.astype(real.dtype) == real)
        if not same.all():
            raise Fault("DataError", f"input {self.name!r}: {real.dtype} values do not fit {self.dtype}")
        return stored

    def real(self, stored: Any) -> Any:
        """Stored values as real ones (float32 where the tensor is quantized)."""
        if not self.scale:
            return stored
        return (stored.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)


def lite_tensor(details: dict[str, Any]) -> Tensor:
    """A tensor from the details that an interpreter of TensorFlow Lite gives."""
    signature = details.get("shape_signature")
    shape = details["shape"] if signature is None or not len(signature) else signature
    tensor = Tensor(details["name"], [None if d < 0 else int(d) for d in shape], np.dtype(details["dtype"]).name)
    tensor.index = int(details["index"])
    scales = details["quantization_parameters"]["scales"]
    if len(scales) > 1:
        raise Fault("ArtifactError", f"tensor {tensor.name!r} is quantized per channel at the model's edge")
    if len(scales) == 1 and np.dtype(tensor.dtype).kind in "iu":
        tensor.scale = float(scales[0])
        tensor.zero_point = int(details["quantization_parameters"]["zero_points"][0])
    return tensor


def _lite_runtime() -> tuple[Any, dict[str, str], list[str]]:
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


#: The library of the Edge TPU on each system, as its own installer puts it.
_EDGETPU = {"Linux": "libedgetpu.so.1", "Darwin": "libedgetpu.1.dylib", "Windows": "edgetpu.dll"}


def _edgetpu(lite: Any, delegate: str) -> tuple[Any, dict[str, str]]:
    """The delegate `edgetpu` or `edgetpu:DEVICE`, and the version of its library.

    The library is asked before LiteRT loads it: LiteRT says the same for a library without a device and for one that is
    damaged (edgetpu_c.h of libedgetpu has the functions).
    """
    kind, _, device = delegate.partition(":")
    if kind != "edgetpu":
        raise Fault("InputError", f"LiteRT has no delegate {kind!r} here", "Allowed: edgetpu.")
    name = _EDGETPU.get(platform.system(), _EDGETPU["Linux"])
    try:
        library = ctypes.CDLL(name)
        library.edgetpu_version.restype = ctypes.c_char_p
        library.edgetpu_list_devices.restype = ctypes.c_void_p
        library.edgetpu_list_devices.argtypes = [ctypes.POINTER(ctypes.c_size_t)]
        library.edgetpu_free_devices.argtypes = [ctypes.c_void_p]
    except (OSError, AttributeError) as error:
        message = f"the library of the Edge TPU cannot be loaded: {error}"
        remedy = "Install it on the machine that has the Coral: sudo apt install libedgetpu1-std (coral.ai/software)."
        raise Fault("TargetUnavailable", message, remedy) from error
    count = ctypes.c_size_t(0)
    library.edgetpu_free_devices(library.edgetpu_list_devices(ctypes.byref(count)))
    version = (library.edgetpu_version() or b"").decode(errors="replace")
    if not count.value:
        raise Fault(
            "TargetUnavailable",
            f"{name} finds no Edge TPU",
            "Plug the Coral in (again); lsusb shows 1a6e:089a or 18d1:9302. Your user must be in the group plugdev, "
            "and the library be installed before the device is plugged in.",
        )
    try:
        opened = lite.load_delegate(name, {"device": device} if device else {})
    except (ValueError, OSError) as error:
        where = f"as device {device!r} " if device else ""
        message = f"the Edge TPU cannot be opened {where}({count.value} found): {error}"
        remedy = "Only one process at a time can have it: end the other one. Devices are called usb, usb:0, pci:0."
        raise Fault("TargetUnavailable", message, remedy) from error
    return opened, {"libedgetpu": version}


class LiteRT:
    """A .tflite file in the LiteRT interpreter (XNNPACK by default), sample by sample, as devices run it.

    `delegate` is `edgetpu`, or `edgetpu:DEVICE` with a name that libedgetpu gives a device (`usb:0`), or `none`:
    LiteRT's own kernels, without XNNPACK.
    """

    def __init__(self, file: str, threads: int, delegate: str = "") -> None:
        started = time.perf_counter()
        lite, self.versions, self.warnings = _lite_runtime()
        self.import_ms = (time.perf_counter() - started) * 1e3
        started = time.perf_counter()
        delegates = None
        kernels = lite.OpResolverType.AUTO
        if delegate == "none":
            kernels = lite.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        elif delegate:
            opened, version = _edgetpu(lite, delegate)
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
            out_names = {d["index"]: name for name, d in runner.get_output_details().items()}
            if {t.index for t in self.inputs} != set(names) or {t.index for t in self.outputs} != set(out_names):
                continue  # a signature of another subgraph, or two outputs that are one tensor
            for tensor in self.inputs:
                tensor.name = names[tensor.index]
            for tensor in self.outputs:
                tensor.name = out_names[tensor.index]
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


class ONNX:
    """An .onnx file in ONNX Runtime on the CPU, deterministic."""

    def __init__(self, file: str, threads: int) -> None:
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
        # Its range is taken over the whole batch: a sample's result would depend on its neighbours.
        self._one_by_one = b"DynamicQuantizeLinear" in Path(file).read_bytes()

    @staticmethod
    def _tensor(node: Any) -> Tensor:
        if node.type not in _ORT_DTYPES:
            raise Fault("ArtifactError", f"{node.name!r} is a {node.type}; only tensors of numbers can be run")
        return Tensor(node.name, [d if isinstance(d, int) else None for d in node.shape], _ORT_DTYPES[node.type])

    def batch(self, requested: int) -> int:
        """Samples per inference: what the file fixes, else as requested."""
        return self.fixed_batch or (1 if self._one_by_one else requested)

    def prepare(self, feeds: Sequence[Any]) -> None:
        """Nothing to adapt and no state to clear."""

    def infer(self, feeds: Sequence[Any]) -> list[Any]:
        """One session run, feeding and fetching included."""
        return list(self._session.run(self._names, {t.name: feed for t, feed in zip(self.inputs, feeds)}))


RUNTIMES: dict[str, Any] = {"litert": LiteRT, "onnxruntime": ONNX}


class Agent:
    """The operations, one method each; keys of a request are its keyword arguments."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._loaded: Any = None
        self._file = ""
        self._fed: tuple[dict[str, str], list[list[Any]]] | None = None

    @property
    def _engine(self) -> Any:
        if self._loaded is None:
            raise Fault("EdgeshipError", "the agent has no model: send load first")
        return self._loaded

    def load(self, runtime: str, file: str, threads: int = 1, delegate: str = "") -> dict[str, Any]:
        """Open a file. `import_ms`: NumPy and the runtime; `load_ms`: read the file and make it ready to run.

        `delegate`: of LiteRT; empty: XNNPACK, its default.
        """
        if runtime not in RUNTIMES:
            raise Fault("InputError", f"unknown runtime {runtime!r}", f"Allowed: {', '.join(RUNTIMES)}.")
        if delegate and RUNTIMES[runtime] is not LiteRT:
            raise Fault("InputError", f"{runtime} has no delegates", "An Edge TPU runs .tflite files in LiteRT.")
        if np is None:
            raise Fault("MissingPackageError", f"NumPy cannot be imported: {_NO_NUMPY}", "Get it: pip install numpy")
        if not Path(file).is_file():
            raise Fault("ArtifactError", f"no such file: {file}")
        self._loaded, self._file, self._fed = None, file, None
        extra = {"delegate": delegate} if delegate else {}
        engine = self._loaded = RUNTIMES[runtime](file, threads, **extra)
        if not engine.inputs:
            raise Fault("ArtifactError", f"{file} has no inputs")
        return {
            "import_ms": _NUMPY_MS + engine.import_ms,
            "load_ms": engine.load_ms,
            "inputs": [tensor.spec() for tensor in engine.inputs],
            "outputs": [tensor.spec() for tensor in engine.outputs],
            "versions": {"numpy": np.__version__, **engine.versions},
            "batch": engine.fixed_batch,
            "warnings": engine.warnings,
            "arena_bytes": getattr(engine, "arena_bytes", None),
            "operations": ["processing", "throughput"],
        }

    def run(self, inputs: dict[str, str], outputs: str, batch: int = DEFAULT_BATCH) -> dict[str, Any]:
        """Run every sample; writes `<outputs>/<k>.npy` for output k and names the files by output."""
        arrays = self._match(inputs)
        count = len(arrays[0])
        size = self._engine.batch(batch)
        gathered: list[Any] = []
        told = time.monotonic()
        for start in range(0, count, size):
            for k, part in enumerate(self._outputs_of(arrays, start, size)):
                if not start:
                    gathered.append(np.empty((count, *part.shape[1:]), part.dtype))
                if gathered[k].shape[1:] != part.shape[1:]:
                    shapes = f"{gathered[k].shape[1:]} and {part.shape[1:]}"
                    raise Fault("ArtifactError", f"output {self._name(k)!r} has samples of shapes {shapes}")
                gathered[k][start : start + size] = part
            if time.monotonic() - told > 0.2:
                told = time.monotonic()
                self._send({"progress": {"stage": "run", "done": min(start + size, count), "total": count}})
        files = {}
        for k, array in enumerate(gathered):
            files[self._name(k)] = str(Path(outputs) / f"{k}.npy")
            np.save(files[self._name(k)], array, allow_pickle=False)
        return {"outputs": files}

    def warm_up(self, inputs: dict[str, str], max_runs: int = 200) -> dict[str, Any]:
        """Infer until the medians of the last two windows of 10 runs are within 5 %, or `max_runs` are done.

        `first_inference_ms` is the very first inference of this call.
        """
        feeds = self._feeds(inputs)
        times = [self._timed(feeds[0])]
        stable = False
        while len(times) < max_runs and not stable:
            times.append(self._timed(feeds[len(times) % len(feeds)]))
            if len(times) % WINDOW_RUNS == 0 and len(times) >= 2 * WINDOW_RUNS:
                before = float(np.median(times[-2 * WINDOW_RUNS : -WINDOW_RUNS]))
                stable = abs(float(np.median(times[-WINDOW_RUNS:])) / before - 1) <= WINDOW_TOLERANCE
        return {"first_inference_ms": times[0], "runs": len(times), "stable": stable}

    def measure(self, inputs: dict[str, str], min_runs: int = 20, min_seconds: float = 0.2) -> dict[str, Any]:
        """Time single inferences, cycling through the samples, until both minima are reached.

        One time covers: setting the inputs, the inference, copying the outputs. It does not cover quantizing the
        input and dequantizing the output. A file with a fixed batch of B runs B samples at once; its time is divided
        by B.
        """
        feeds = self._feeds(inputs)
        times: list[float] = []
        meters = _energy_meters()
        before = _microjoules(meters)
        end = time.perf_counter() + min_seconds
        gc.disable()  # Python's collector is not part of the model's latency
        try:
            while len(times) < min_runs or time.perf_counter() < end:
                times.append(self._timed(feeds[len(times) % len(feeds)]))
        finally:
            gc.enable()
        energy = _energy_since(meters, before)
        per_sample = None if energy is None else energy / len(times) / len(feeds[0][0])
        return {"latency_ms": times, "microjoules": per_sample, "meter": ", ".join(sorted(meters))}

    def processing(self, inputs: dict[str, str], runs: int = 20) -> dict[str, Any]:
        """Median milliseconds for one sample to be quantized (or cast), and for its outputs to be dequantized."""
        arrays, size = self._match(inputs), self._engine.batch(1)
        feeds = self._chunk(arrays, 0, size)
        self._prepare(feeds)
        results = [np.asarray(result) for result in self._infer(feeds)]
        before, after = [], []
        for run in range(runs):
            started = time.perf_counter_ns()
            self._chunk(arrays, run * size % len(arrays[0]), size)
            between = time.perf_counter_ns()
            for tensor, result in zip(self._engine.outputs, results):
                tensor.real(result)
            before.append(between - started)
            after.append(time.perf_counter_ns() - between)
        return {
            "preprocessing_ms": float(np.median(before)) / 1e6 / size,
            "postprocessing_ms": float(np.median(after)) / 1e6 / size,
        }

    def throughput(self, inputs: dict[str, str], batch: int = 1, min_seconds: float = 0.5) -> dict[str, Any]:
        """Samples a second, from real values to real values, with `batch` samples in an inference.

        A file with a fixed batch has its own; `batch` in the answer is what it was. One that takes a dynamic batch only
        by name raises ArtifactError.
        """
        if batch < 1:
            raise Fault("InputError", f"no inference has {batch} samples")
        arrays = self._match(inputs)
        size = self._engine.fixed_batch or batch
        rows = np.arange(size) % len(arrays[0])
        arrays = [np.ascontiguousarray(array[rows]) for array in arrays]
        self._outputs_of(arrays, 0, size)  # adapts dynamic axes
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < min_seconds:
            self._outputs_of(arrays, 0, size)
            count += size
        return {"batch": size, "per_second": count / (time.perf_counter() - started)}

    def delegate(self, name: str) -> dict[str, Any]:
        """Open the device of a delegate of LiteRT (see `LiteRT`) without a model, and let it go."""
        lite, versions, _ = _lite_runtime()
        return {"versions": {**versions, **_edgetpu(lite, name)[1]}}

    def memory(self) -> dict[str, Any]:
        """Peak resident memory of this process since its start, in MiB."""
        return {"peak_memory_mib": _peak_memory_mib()}

    def describe(self) -> dict[str, Any]:
        """What this machine is, and how it is at this moment."""
        versions = self._loaded.versions if self._loaded is not None else {}
        return {"facts": {**_facts(), **versions}}

    def _name(self, k: int) -> str:
        return str(self._engine.outputs[k].name)

    def _match(self, files: dict[str, str]) -> list[Any]:
        """The arrays in the model's input order: by name, by tensor name, or by order where only that order fits."""
        arrays = {name: _read_array(name, file) for name, file in files.items()}
        tensors = self._engine.inputs
        wanted = ", ".join(f"{t.name} {t.shape} {t.dtype}" for t in tensors)
        for names in ([t.name for t in tensors], [t.alias for t in tensors]):
            if set(names) == set(arrays):
                matched = [arrays[name] for name in names]
                break
        else:
            matched = list(arrays.values())
            fits = [[t.accepts(a.shape) for t in tensors] for a in matched]
            if len(matched) != len(tensors) or (len(tensors) > 1 and any(sum(row) != 1 for row in fits)):
                raise Fault("DataError", f"inputs are called {', '.join(arrays)}", f"The model has: {wanted}.")
        for tensor, array in zip(tensors, matched):
            if not tensor.accepts(array.shape):
                message = f"input {tensor.name!r} has shape {tuple(array.shape)}"
                raise Fault("DataError", message, f"The model has: {wanted}.")
        lengths = {len(array) for array in matched}
        if len(lengths) != 1 or not min(lengths):
            raise Fault("DataError", f"inputs have {sorted(lengths)} samples", "Give equally many, at least one.")
        return matched

    def _chunk(self, arrays: Sequence[Any], start: int, size: int) -> list[Any]:
        """`size` samples as stored values; the last chunk of a fixed batch is filled up with its last sample."""
        chunk = []
        for tensor, array in zip(self._engine.inputs, arrays):
            part = tensor.store(np.asarray(array[start : start + size]))
            if self._engine.fixed_batch and len(part) < size:
                part = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
            chunk.append(part)
        return chunk

    def _outputs_of(self, arrays: Sequence[Any], start: int, size: int) -> list[Any]:
        """Real outputs of the samples from `start`, padding removed."""
        feeds = self._chunk(arrays, start, size)
        self._prepare(feeds)
        results = self._infer(feeds)
        real = []
        for tensor, result in zip(self._engine.outputs, map(np.asarray, results)):
            if result.ndim == 0 or len(result) != len(feeds[0]):
                message = f"output {tensor.name!r} has shape {result.shape} for {len(feeds[0])} samples"
                raise Fault("ArtifactError", message, "The first axis of every output must be the batch.")
            real.append(tensor.real(result[: len(arrays[0]) - start]))
        return real

    def _prepare(self, feeds: Sequence[Any]) -> None:
        self._attempt(self._engine.prepare, feeds)

    def _infer(self, feeds: Sequence[Any]) -> Any:
        return self._attempt(self._engine.infer, feeds)

    def _attempt(self, step: Any, feeds: Sequence[Any]) -> Any:
        try:
            return step(feeds)
        except Exception as error:  # the runtimes raise classes of their own
            raise self._fault(error) from error

    def _fault(self, error: Exception) -> Fault:
        return Fault("ArtifactError", f"{self._file} cannot be run: {type(error).__name__}: {error}")

    def _feeds(self, inputs: dict[str, str]) -> list[list[Any]]:
        """Stored values for single inferences, one after another; the files of one name do not change."""
        if self._fed is None or self._fed[0] != inputs:
            arrays = self._match(inputs)
            size = self._engine.batch(1)
            self._fed = inputs, [self._chunk(arrays, start, size) for start in range(0, len(arrays[0]), size)]
        return self._fed[1]

    def _timed(self, feeds: Sequence[Any]) -> float:
        self._prepare(feeds)
        infer = self._engine.infer  # found before the clock starts: a small model takes as long as some calls
        started = time.perf_counter_ns()
        try:
            infer(feeds)
        except Exception as error:  # the runtimes raise classes of their own
            raise self._fault(error) from error
        return (time.perf_counter_ns() - started) / 1e6 / len(feeds[0])


def _read_array(name: str, file: str) -> Any:
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise Fault("DataError", f"input {name!r} is no .npy file of numbers: {error}") from error
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise Fault("DataError", f"input {name!r} is {array.dtype} of shape {array.shape}")
    return array


def version_of(package: str, module: Any) -> str:
    """Version of a package that has been imported."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:  # a copied wheel without its metadata
        return str(getattr(module, "__version__", "unknown"))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""


def _field(path: str, key: str) -> str:
    """The value of the first `key: value` line of a file under /proc."""
    for line in _read(path).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _peak_memory_mib() -> float | None:
    # Not ru_maxrss on Linux: it survives exec, so a child of a large parent would report the parent's peak.
    peak = _field("/proc/self/status", "VmHWM")
    if peak:
        return int(peak.split()[0]) / 1024
    if sys.platform == "win32":
        return None
    import resource

    kilo = 1024 if sys.platform == "darwin" else 1  # macOS counts bytes, others KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / kilo / 1024


#: Where Linux shows the energy counters of processors (RAPL: Intel, and AMD since Zen), readable by root only at most.
_POWERCAP = "/sys/class/powercap"


def _energy_meters() -> dict[str, str]:
    """Name -> folder of the counters of whole processors and boards; cores and memory of one are part of it."""
    found = {}
    for folder in sorted(Path(_POWERCAP).glob("intel-rapl:*")):
        whole = folder.name.count(":") == 1
        if whole and _read(str(folder / "energy_uj")).isdecimal():
            found[_read(str(folder / "name")) or folder.name] = str(folder)
    # psys is the whole board, which the processors are part of.
    return {"psys": found["psys"]} if "psys" in found else found


def _microjoules(meters: dict[str, str]) -> dict[str, int]:
    readings = {name: _read(folder + "/energy_uj") for name, folder in meters.items()}
    return {name: int(reading) for name, reading in readings.items() if reading.isdecimal()}


def _energy_since(meters: dict[str, str], before: dict[str, int]) -> float | None:
    """Microjoules counted since `before`; None without a meter. A counter starts anew at its range."""
    now = _microjoules(meters)
    if not before or set(now) != set(before):
        return None
    total = 0
    for name, reading in now.items():
        span = _read(meters[name] + "/max_energy_range_uj")
        total += reading - before[name] + (int(span) if reading < before[name] and span.isdecimal() else 0)
    return float(total) if total > 0 else None


def _output_of(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _release() -> str:
    """The name that a Linux system gives itself, such as `Debian GNU/Linux 12 (bookworm)`."""
    lines = _read("/etc/os-release").splitlines()
    return next((line.partition("=")[2].strip('"') for line in lines if line.startswith("PRETTY_NAME=")), "")


def _facts() -> dict[str, str]:
    """Readable facts; what cannot be read here is left out."""
    cpufreq = "/sys/devices/system/cpu/cpu0/cpufreq/"
    frequency = _read(cpufreq + "scaling_cur_freq")
    temperature = _read("/sys/class/thermal/thermal_zone0/temp")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cpu = _field("/proc/cpuinfo", "model name") or _output_of("sysctl", "-n", "machdep.cpu.brand_string")
    facts = {
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "os": _release(),
        "board": _read("/proc/device-tree/model") or _read("/sys/firmware/devicetree/base/model"),
        "cpu": cpu or _field("/proc/cpuinfo", "Hardware") or platform.processor(),
        "cores": str(cores),
        "memory_mib": str(int((_field("/proc/meminfo", "MemTotal") or "0").split()[0]) // 1024 or ""),
        "libc": " ".join(platform.libc_ver()).strip(),
        "python": platform.python_version(),
        "numpy": np.__version__ if np is not None else "",
        "governor": _read(cpufreq + "scaling_governor"),
        "frequency_mhz": str(int(frequency) // 1000) if frequency.isdigit() else "",
        "temperature_c": f"{int(temperature) / 1000:.1f}" if temperature.lstrip("-").isdigit() else "",
        "throttled": _output_of("vcgencmd", "get_throttled").partition("=")[2],  # Raspberry Pi; 0x0 = never
        "load_average": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "",
        "tensorflow_loaded": "yes" if "tensorflow" in sys.modules else "no",
    }
    return {key: value for key, value in facts.items() if value}


def end_with_parent() -> None:
    """Let no measurement outlive the process that asked for it (Linux; elsewhere it ends with standard input)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def main() -> None:
    """Answer requests until standard input ends."""
    end_with_parent()
    faulthandler.enable()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr

    def send(message: dict[str, Any]) -> None:
        channel.write(json.dumps(message, allow_nan=False) + "\n")
        channel.flush()

    agent = Agent(send)
    operations: dict[str, Callable[..., dict[str, Any]]] = {
        "load": agent.load,
        "run": agent.run,
        "warm_up": agent.warm_up,
        "measure": agent.measure,
        "processing": agent.processing,
        "throughput": agent.throughput,
        "delegate": agent.delegate,
        "memory": agent.memory,
        "describe": agent.describe,
    }
    for line in sys.stdin:
        try:
            request = json.loads(line)
            operation = operations[request.pop("op")]
            send({"result": operation(**request)})
        except Fault as fault:
            send({"error": {"type": fault.kind, "message": fault.message, "remedy": fault.remedy}})
        except MemoryError:
            send({"error": {"type": "ChildOutOfMemory", "message": "the agent ran out of memory", "remedy": ""}})
        except Exception as error:  # noqa: BLE001 - the boundary: every failure becomes an answer
            traceback.print_exc()
            message = f"{type(error).__name__}: {error}"
            send({"error": {"type": "EdgeshipError", "message": message, "remedy": ""}})


if __name__ == "__main__":
    main()
