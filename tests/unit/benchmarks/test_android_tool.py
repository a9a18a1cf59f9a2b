"""What benchmark_model says, in the forms of several versions; written after its sources, no log of a device."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from edgeship.errors import ArtifactError, ChildCrashed, EdgeshipError, TargetUnavailable
from edgeship_benchmarks.android import tool

CPU, (GPU, NNAPI) = tool.cpu(), tool.accelerators()

#: TensorFlow 2.5: no prefixes of severity, no percentiles.
OLD = """\
STARTING!
Log parameter values verbosely: [0]
Min num runs: [50]
Graph: [/data/local/tmp/edgeship-run.1.x/1]
Loaded model /data/local/tmp/edgeship-run.1.x/1
INFO: Initialized TensorFlow Lite runtime.
The input model file size (MB): 3.57776
Initialized session in 61.32ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=39 first=15201 curr=12611 min=12402 max=15201 avg=12840.5 std=442

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=79 first=12671 curr=12580 min=12390 max=13127 avg=1.26132e+04 std=118

Inference timings in us: Init: 61320, First inference: 15201, Warmup (avg): 12840.5, Inference (avg): 1.26132e+04
Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual memory.
Memory footprint delta from the start of the tool (MB): init=2.3 overall=9.1
Overall peak memory footprint (MB) via periodic monitoring: 14.1523
Memory status at the end of exeution:
- VmRSS              : 14 MB
"""

#: LiteRT 2: severities, percentiles.
NEW = """\
INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: #threads used for CPU inference: [4]
INFO: Loaded model /data/local/tmp/edgeship-run.1.x/1
INFO: Initialized TensorFlow Lite runtime.
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
VERBOSE: Replacing 64 out of 64 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 1 partitions.
INFO: Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the delegate.
INFO: The input model file size (MB): 3.57776
INFO: Initialized session in 12.5ms.
INFO: count=1 curr=5030

INFO: count=200 first=4990 curr=5001 min=4800 max=9001 avg=5050.25 std=300 p5=4850 median=5000 p95=5400

INFO: Inference timings in us: Init: 12500, First inference: 5030, Warmup (avg): 5030, Inference (avg): 5050.25
"""


def test_an_old_tool_gives_a_mean() -> None:
    said = tool.read(OLD)
    assert (said.init_ms, said.first_ms) == (61.32, 15.201)
    assert (said.warm_up_runs, said.runs) == (39, 79)
    assert (said.time_ms, said.is_median) == (12.6132, False)
    assert (said.least_ms, said.most_ms) == (12.39, 13.127)
    assert said.peak_memory_mib == 14.1523
    assert said.unconsumed == ()


def test_a_new_tool_gives_a_median() -> None:
    said = tool.read(NEW)
    assert (said.warm_up_runs, said.runs) == (1, 200)
    assert (said.time_ms, said.is_median) == (5.0, True)
    assert said.peak_memory_mib is None
    assert tool.require_delegated(NEW, said, CPU, "") == ""


def test_times_that_are_all_the_same() -> None:
    text = "count=0\ncount=50 curr=7(all same)\n"
    said = tool.read(
        f"{text}Inference timings in us: Init: 10, First inference: 0, Warmup (avg): nan, Inference (avg): 7"
    )
    assert (said.warm_up_runs, said.runs, said.time_ms, said.least_ms, said.most_ms) == (0, 50, 0.007, 0.007, 0.007)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Inference timings in us", "Inference timings in hours"),
        ("count=79", "count=0"),
        ("count=79", "count=-3"),
        ("min=12390", "min=nan"),
        ("max=13127", "max=1e999"),
        ("Init: 61320", "Init: inf"),
        ("Inference (avg): 1.26132e+04", "Inference (avg): 1e400"),
        ("count=39", "number=39"),
    ],
)
def test_what_is_no_measurement(old: str, new: str) -> None:
    assert old in OLD
    with pytest.raises(ChildCrashed):
        tool.read(OLD.replace(old, new))


@pytest.mark.parametrize("text", ["", "x" * 1_000_000, "count=" * 100_000, "a=1 " * 250_000, "\x00\x1b[2J" * 1000])
def test_hostile_output_is_a_short_error_at_once(text: str) -> None:
    with pytest.raises(ChildCrashed) as raised:
        tool.read(text)
    assert len(str(raised.value)) < 4_000
    assert "\x1b" not in str(raised.value)


_APPLIED = "INFO: Explicitly applied GPU delegate, and the model graph will be"


def _delegated(text: str, delegate: tool.Delegate) -> str:
    return tool.require_delegated(text + NEW, tool.read(text + NEW), delegate, "arm64-v8a")


def test_what_a_delegate_runs() -> None:
    assert (
        _delegated(f"{_APPLIED} completely executed by the delegate.\n", GPU) == "the GPU delegate runs all operators"
    )
    partly = f"{_APPLIED} partially executed by the delegate w/ 3 delegate kernels.\n"
    assert _delegated(partly, GPU) == "the GPU delegate runs some operators, in 3 parts; the CPU runs the others"
    nodes = "Replacing 57 out of 64 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 7 partitions.\n"
    assert _delegated(nodes + partly, GPU).startswith("the GPU delegate runs 57 of 64 operators, in 3 parts")
    older = "59 operations will run on the GPU, and the remaining 5 operations will run on the CPU.\n"
    assert _delegated(older + partly, GPU).startswith("the GPU delegate runs 59 of 64 operators")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "runs no operator"),
        (
            "INFO: Though GPU delegate is explicitly applied, the model graph will not be executed by",
            "runs no operator",
        ),
        ("WARN: GPU acceleration is unsupported on this platform.", "not available on this device"),
        ("WARN: Unconsumed cmdline flags: --use_gpu=true", "built without the GPU delegate"),
        ("Created 0 GPU delegate kernels.", "runs no operator"),
        (
            "INFO: Explicitly applied NNAPI delegate, and the model graph will be completely executed",
            "runs no operator",
        ),
        (f"{_APPLIED} partially executed by the delegate w/ 0 delegate kernels.", "runs no operator"),
        (
            f"{_APPLIED} completely executed by the delegate.\nERROR: Restored original execution plan",
            "runs no operator",
        ),
    ],
)
def test_a_delegate_that_falls_back_is_no_gpu(text: str, words: str) -> None:
    with pytest.raises(TargetUnavailable, match=words):
        _delegated(text + "\n", GPU)


def test_the_cpu_without_xnnpack_is_what_was_asked_for() -> None:
    plain = tool.cpu(xnnpack=False)
    assert (plain.runtime, plain.flags) == ("litert without XNNPACK", ("--use_xnnpack=false",))
    assert tool.require_delegated(OLD, tool.read(OLD), plain, "") == ""
    assert tool.require_delegated(OLD, tool.read(OLD), CPU, "") == "XNNPACK runs none of its operators"


@pytest.mark.parametrize(
    ("status", "text", "kind", "words"),
    [
        (
            1,
            "ERROR: Failed to apply GPU delegate.\nERROR: Benchmarking failed.",
            TargetUnavailable,
            "cannot be applied",
        ),
        (1, "sh[7]: ./3: not executable: 64-bit ELF file", TargetUnavailable, "not executable"),
        (126, "sh: 7: ./3: Exec format error", TargetUnavailable, "Exec format error"),
        (1, 'CANNOT LINK EXECUTABLE "./3": library "x.so" not found', TargetUnavailable, "cannot be run"),
        (139, "INFO: STARTING!", ChildCrashed, "signal 11"),
        (1, "ERROR: Failed to initialize the interpreter", ArtifactError, "Failed to initialize"),
    ],
)
def test_why_a_start_failed(status: int, text: str, kind: type[EdgeshipError], words: str) -> None:
    error = tool.failure(status, text, GPU)
    assert type(error) is kind
    assert words in error.message


def test_which_device_a_binary_is_for(tmp_path: Path) -> None:
    file = tmp_path / "benchmark_model"
    for machine, order, abi in ((183, "<", "arm64-v8a"), (40, "<", "armeabi-v7a"), (21, ">", "another processor")):
        file.write_bytes(
            b"\x7fELF\x02" + (b"\x01" if order == "<" else b"\x02") + bytes(10) + struct.pack(f"{order}HH", 3, machine)
        )
        assert tool.binary_abi(file) == abi
    with pytest.raises(TargetUnavailable, match="is for another processor"):
        tool.check_abi(file, "arm64-v8a")
    file.write_text("#!/system/bin/sh\nexec taskset f0 ./real\n")
    tool.check_abi(file, "arm64-v8a")


def test_flags_of_inputs_go_by_order() -> None:
    assert tool.input_flags([(1, 8, 8, 1), (1, 3)], ["/t/1", "/t/2"]) == [
        "--input_layer=i0,i1",
        "--input_layer_shape=1,8,8,1:1,3",
        "--input_layer_value_files=i0:/t/1,i1:/t/2",
    ]
