"""A stand-in for benchmark_model: runs a .tflite file with the LiteRT of this environment, and speaks as the tool does.

What the "device" has of a GPU and of NNAPI is in the files `gpu` and `nnapi` of the folder $STATE, as the tool would
say it: `whole`, `part 57 64`, `nothing`, `unsupported`, `refused`,
`not built`, or `nonsense`: whole, with outputs that are wrong. It is the CPU that computes, whatever
they say. The file `tool` there changes the tool itself: `old` (no median, no outputs), `crash`, `hang`, `chatter`.
"""

from __future__ import annotations

import os
import resource
import signal
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

_KNOWN = [
    *("graph", "num_threads", "num_runs", "min_secs", "max_secs", "warmup_runs", "warmup_min_secs"),
    *("input_layer", "input_layer_shape", "input_layer_value_files", "output_filepath", "report_peak_memory_footprint"),
    *("use_xnnpack", "use_gpu", "use_nnapi", "disable_nnapi_cpu", "enable_op_profiling"),
]
_NAMES = {"gpu": ("GPU", "TfLiteGpuDelegateV2"), "nnapi": ("NNAPI", "TfLiteNnapiDelegate")}


def _state(name: str, default: str) -> str:
    file = Path(os.environ["STATE"]) / name
    return file.read_text().strip() if file.exists() else default


def _say(text: str) -> None:
    print(f"INFO: {text}", flush=True)


def _stop(text: str) -> None:
    print(f"ERROR: {text}", file=sys.stderr, flush=True)
    sys.exit(1)


def _options(old: bool) -> dict[str, str]:
    given = dict(part.removeprefix("--").partition("=")[::2] for part in sys.argv[1:])
    known = [name for name in _KNOWN if not (old and name == "output_filepath")]
    known = [name for name in known if _state(name.removeprefix("use_"), "") != "not built"]
    strange = [f"--{name}={value}" for name, value in given.items() if name not in known]
    if strange:
        print(f"WARN: Unconsumed cmdline flags: {' '.join(strange)}", flush=True)
    return {name: value for name, value in given.items() if name in known}


def _apply(kind: str, options: dict[str, str]) -> None:
    if options.get(f"use_{kind}") != "true":
        return
    name, node = _NAMES[kind]
    what, *numbers = _state(kind, "unsupported").split()
    if what == "unsupported":
        print(f"WARN: {name} acceleration is unsupported on this platform.", flush=True)
    elif what == "refused":
        print("ERROR: Following operations are not supported by GPU delegate:\nSOFTMAX: a reason", file=sys.stderr)
        _stop(f"Failed to apply {name} delegate.")
    elif what in ("whole", "nonsense"):
        print(f"INFO: Replacing 2 out of 2 node(s) with delegate ({node}) node, yielding 1 partitions.", flush=True)
        _say(f"Explicitly applied {name} delegate, and the model graph will be completely executed by the delegate.")
    elif what == "part":
        taken, total = numbers
        print(f"INFO: Replacing {taken} out of {total} node(s) with delegate ({node}) node, yielding 3 partitions.")
        _say(
            f"Explicitly applied {name} delegate, and the model graph will be partially executed by the delegate "
            "w/ 1 delegate kernels."
        )
    else:
        _say(f"Though {name} delegate is explicitly applied, the model graph will not be executed by the delegate.")


def _interpreter(options: dict[str, str]) -> Interpreter:
    plain = options.get("use_xnnpack") == "false"
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if plain else OpResolverType.AUTO
    try:
        made = Interpreter(
            model_path=options["graph"],
            num_threads=int(options["num_threads"]),
            experimental_op_resolver_type=kernels,
        )
        shapes = [list(map(int, shape.split(","))) for shape in options["input_layer_shape"].split(":")]
        for details, shape in zip(made.get_input_details(), shapes, strict=True):
            made.resize_tensor_input(details["index"], shape)
        made.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        _stop(f"Failed to initialize the interpreter: {error}")
    if options.get("use_xnnpack") == "true":
        _say("Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the delegate.")
    return made


def _fill(made: Interpreter, options: dict[str, str]) -> None:
    files = [part.split(":", 1)[1] for part in options["input_layer_value_files"].split(",")]
    for details, file in zip(made.get_input_details(), files, strict=True):
        content = Path(file).read_bytes()
        size = int(np.prod(details["shape"])) * np.dtype(details["dtype"]).itemsize
        if len(content) != size:
            _stop(f"The size of {file} is {len(content)} bytes. It should be {size} bytes.")
        shape = made.get_tensor(details["index"]).shape
        made.set_tensor(details["index"], np.frombuffer(content, details["dtype"]).reshape(shape))


def _timed(made: Interpreter, runs: int, seconds: float, old: bool) -> list[int]:
    limits = f"at least {runs} iterations and at least {seconds:g} seconds"
    _say(f"Running benchmark for {limits} but terminate if exceeding 600 seconds.")
    end, found = time.monotonic() + seconds, []
    while len(found) < runs or time.monotonic() < end:
        started = time.perf_counter_ns()
        made.invoke()
        found.append(max(1, (time.perf_counter_ns() - started) // 1000))
    if not found:
        _say("count=0\n")
    elif min(found) == max(found):
        _say(f"count={len(found)} curr={found[-1]}{'(all same)' if len(found) > 1 else ''}\n")
    else:
        ranked = sorted(found)
        more = f" p5={ranked[len(ranked) // 20]} median={int(statistics.median(ranked))} p95={ranked[-1]}"
        _say(
            f"count={len(found)} first={found[0]} curr={found[-1]} min={min(found)} max={max(found)} "
            f"avg={statistics.fmean(found):g} std={int(statistics.pstdev(found))}{'' if old else more}\n"
        )
    return found


def _print_operators(made: Interpreter, mean_us: float) -> None:
    """A table of operators, which share the time equally: LiteRT for Python times none of them."""
    operators = [details for details in made._get_ops_details() if details["op_name"] != "DELEGATE"]
    columns = ("[node type]", "[first]", "[avg ms]", "[%]", "[cdf%]", "[mem KB]", "[times called]", "[Name]")
    print("Profiling Info for Benchmark Initialization:\n")
    print("Operator-wise Profiling Info for Regular Benchmark Runs:")
    print(f"{'=' * 30} Run Order {'=' * 30}\n\t" + "\t".join(f"{column:>12}" for column in columns))
    for number, details in enumerate(operators):
        ms = f"{mean_us / 1e3 / len(operators):.3f}"
        cells = (details["op_name"], ms, ms, "50.000%", "50.000%", "0.000", "1", f"[operator {number}]:{number}")
        print("\t" + "\t".join(f"{cell:>12}" for cell in cells))
    print(f"\nNumber of nodes executed: {len(operators)}", flush=True)


def main() -> None:
    tool = _state("tool", "")
    old = tool == "old"
    options = _options(old)
    if tool == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if tool == "hang":
        time.sleep(600)
    if tool == "chatter":
        print("x" * (3 << 20), flush=True)
    started = time.perf_counter_ns()
    for kind in _NAMES:
        _apply(kind, options)
    made = _interpreter(options)
    init = max(1, (time.perf_counter_ns() - started) // 1000)
    _fill(made, options)
    warm = _timed(made, int(options["warmup_runs"]), float(options["warmup_min_secs"]), old)
    taken = _timed(made, int(options["num_runs"]), float(options["min_secs"]), old)
    mean_warm = statistics.fmean(warm) if warm else 0
    _say(
        f"Inference timings in us: Init: {init}, First inference: {warm[0] if warm else 0}, "
        f"Warmup (avg): {mean_warm:g}, Inference (avg): {statistics.fmean(taken):g}"
    )
    if options.get("report_peak_memory_footprint") == "true":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        _say(f"Overall peak memory footprint (MB) via periodic monitoring: {peak:g}")
    if options.get("enable_op_profiling") == "true":
        _print_operators(made, statistics.fmean(taken))
    if options.get("output_filepath"):
        parts = [made.get_tensor(details["index"]).tobytes() for details in made.get_output_details()]
        nonsense = any(options.get(f"use_{kind}") == "true" and _state(kind, "") == "nonsense" for kind in _NAMES)
        content = b"".join(parts)
        Path(options["output_filepath"]).write_bytes(bytes(len(content)) if nonsense else content)


if __name__ == "__main__":
    main()
