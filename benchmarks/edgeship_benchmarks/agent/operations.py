"""What an agent can be asked for. Timings are wall time of `time.perf_counter_ns`."""

# ruff: noqa: B905 - zip(strict=) needs Python 3.10
from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgeship_benchmarks.agent import edgetpu, energy, facts, litert, profiles
from edgeship_benchmarks.agent.arrays import NUMPY_MISSING, NUMPY_MS, np, read_array
from edgeship_benchmarks.agent.faults import Fault
from edgeship_benchmarks.agent.litert import LiteRT
from edgeship_benchmarks.agent.onnx import ONNX

#: Warm-up is over when the medians of two successive windows of this many runs differ by less than the tolerance.
WINDOW_RUNS = 10
WINDOW_TOLERANCE = 0.05
#: Batch for runtimes with a dynamic batch axis, where the caller names none.
DEFAULT_BATCH = 64

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
            raise Fault(
                "MissingPackageError", f"NumPy cannot be imported: {NUMPY_MISSING}", "Get it: pip install numpy"
            )
        if not Path(file).is_file():
            raise Fault("ArtifactError", f"no such file: {file}")
        self._loaded, self._file, self._fed = None, file, None
        extra = {"delegate": delegate} if delegate else {}
        engine = self._loaded = RUNTIMES[runtime](file, threads, **extra)
        if not engine.inputs:
            raise Fault("ArtifactError", f"{file} has no inputs")
        return {
            "import_ms": NUMPY_MS + engine.import_ms,
            "load_ms": engine.load_ms,
            "inputs": [tensor.spec() for tensor in engine.inputs],
            "outputs": [tensor.spec() for tensor in engine.outputs],
            "versions": {"numpy": np.__version__, **engine.versions},
            "batch": engine.fixed_batch,
            "warnings": engine.warnings,
            "arena_bytes": getattr(engine, "arena_bytes", None),
            "operations": ["processing", "throughput", *self._profiled_by(delegate)],
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

        `first_inference_ms` is the very first inference of this call, whole: with a fixed batch of B, of B samples.
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
        meters = energy.meters()
        before = energy.microjoules(meters)
        size = len(feeds[0][0])
        end = time.perf_counter() + min_seconds
        gc.disable()  # Python's collector is not part of the model's latency
        try:
            while len(times) < min_runs or time.perf_counter() < end:
                times.append(self._timed(feeds[len(times) % len(feeds)]))
        finally:
            gc.enable()
        spent = energy.since(meters, before)
        per_sample = None if spent is None else spent / len(times) / size
        latencies = [ms / size for ms in times]
        return {"latency_ms": latencies, "microjoules": per_sample, "meter": ", ".join(sorted(meters))}

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

        A file with a fixed batch has its own, and one that must be run sample by sample has 1; `batch` in the answer is
        what it was. One that takes a dynamic batch only by name raises ArtifactError.
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

    def _profiled_by(self, delegate: str) -> list[str]:
        """Files cut into pieces are not those that an Edge TPU's compiler made."""
        word = getattr(self._loaded, "profiled_by", "")
        return [word] if word and delegate in ("", "none") else []

    def prefixes(
        self, inputs: dict[str, str], files: list[str], rounds: int = 21, seconds: float = 10.0
    ) -> dict[str, Any]:
        """Milliseconds of `files` in each round, which do parts of the loaded file's work with its inputs.

        The files are timed without setting inputs and copying outputs; `whole_ms` is the loaded file with both.
        """
        feeds = self._feeds(inputs)[0]
        self._prepare(feeds)
        self._infer(feeds)
        steps = [*self._attempt(lambda fed: self._engine.steps(files, fed), feeds), lambda: self._engine.infer(feeds)]
        *parts, whole = profiles.alternating(steps, rounds, seconds, self._tell)
        size = len(feeds[0])
        return {"prefix_ms": [[ms / size for ms in part] for part in parts], "whole_ms": [ms / size for ms in whole]}

    def trace(self, inputs: dict[str, str], rounds: int = 21, seconds: float = 10.0) -> dict[str, Any]:
        """What the runtime says of its operators: mean milliseconds in each round, in the order in which they ran.

        `traced_ms`: of an inference while it is traced. `whole_ms`: of the loaded file, which is not, in the same
        rounds.
        """
        feeds = self._feeds(inputs)[0]
        self._infer(feeds)
        with tempfile.TemporaryDirectory() as folder:
            traced = self._engine.traced(str(Path(folder) / "trace"))
            steps = [lambda: traced.infer(feeds), lambda: self._engine.infer(feeds)]
            while_traced, whole = profiles.alternating(steps, rounds, seconds, self._tell)
            runs = profiles.read_trace(traced.end_trace())
        usual = [run for run in runs if [row[:2] for row in run] == [row[:2] for row in runs[-1]]]
        size = len(feeds[0])
        chunks = [usual[k * len(usual) // rounds : (k + 1) * len(usual) // rounds] for k in range(rounds)]
        operators = [
            {
                "name": name,
                "type": kind,
                "ms": [_middle([run[k][2] for run in chunk]) / size for chunk in chunks if chunk],
            }
            for k, (name, kind, _) in enumerate(usual[-1])
        ]
        return {
            "operators": operators,
            "traced_ms": [ms / size for ms in while_traced],
            "whole_ms": [ms / size for ms in whole],
        }

    def _tell(self, done: int, total: int) -> None:
        self._send({"progress": {"stage": "profile", "done": done, "total": total}})

    def delegate(self, name: str) -> dict[str, Any]:
        """Open the device of a delegate of LiteRT (see `LiteRT`) without a model, and let it go."""
        lite, versions, _ = litert.runtime()
        return {"versions": {**versions, **edgetpu.open_delegate(lite, name)[1]}}

    def memory(self) -> dict[str, Any]:
        """Peak resident memory of this process since its start, in MiB."""
        return {"peak_memory_mib": facts.peak_memory_mib()}

    def describe(self) -> dict[str, Any]:
        """What this machine is, and how it is at this moment."""
        versions = self._loaded.versions if self._loaded is not None else {}
        return {"facts": {**facts.facts(), **versions}}

    def _name(self, k: int) -> str:
        return str(self._engine.outputs[k].name)

    def _match(self, files: dict[str, str]) -> list[Any]:
        """The arrays in the model's input order: by name, by tensor name, or by order where only that order fits."""
        arrays = {name: read_array(name, file) for name, file in files.items()}
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
        """Milliseconds of one inference, of as many samples as it takes."""
        self._prepare(feeds)
        infer = self._engine.infer  # found before the clock starts: a small model takes as long as some calls
        started = time.perf_counter_ns()
        try:
            infer(feeds)
        except Exception as error:  # the runtimes raise classes of their own
            raise self._fault(error) from error
        return (time.perf_counter_ns() - started) / 1e6


def _middle(values: list[float]) -> float:
    """Mean of the middle three fifths: a median of whole microseconds would know no parts of them."""
    ordered = sorted(values)
    cut = len(ordered) // 5
    return float(np.mean(ordered[cut : len(ordered) - cut]))
