"""`benchmark_model`, the command-line tool of TensorFlow Lite and LiteRT: what it is told, and what it says.

Flags and messages are those of `tflite/tools/benchmark/` and `tflite/tools/delegates/` (LiteRT) and of
`tensorflow/lite/tools/` before it (TensorFlow 2.4 to 2.20). The tool gives no single times: of the inferences of one
start it says how many, the least, the most, the mean and the standard deviation, and since 2025 the median.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgeship.errors import ArtifactError, ChildCrashed, EdgeshipError, TargetUnavailable

#: Where a user gets the tool.
PAGE = "https://ai.google.dev/edge/litert/models/measurement"
#: Longest time that one start may measure, in seconds.
MOST_SECONDS = 600
#: What the tool warms up for by default, seconds.
WARM_UP_SECONDS = 0.5

_N = r"(\d{1,15}(?:\.\d{1,12})?(?:e[+-]?\d{1,3})?)"
_TIMINGS = re.compile(
    rf"Inference timings in us: Init: {_N}, First inference: {_N}, Warmup \(avg\): \S{{1,40}}, Inference \(avg\): {_N}"
)
_COUNTED = re.compile(r"^(?:INFO: )?(?=.{0,300}\bcount=)((?:\w{1,10}=\S{1,40} ?)+)", re.MULTILINE)
_PEAK = re.compile(rf"Overall peak memory footprint \(MB\) via periodic monitoring: {_N}")
_UNCONSUMED = re.compile(r"Unconsumed cmdline flags: (.{1,4000})")
_REPLACING = re.compile(
    r"Replacing (\d{1,6}) (?:out of (\d{1,6}) )?node\(s\) with delegate \((\w{1,60})\) node, yielding (\d{1,6}) part"
)
_ON_GPU = re.compile(r"(\d{1,6}) operations will run on the GPU, and the remaining (\d{1,6}) operations")
_ACCELERATORS = re.compile(r"NNAPI accelerators available: \[([\w.,: -]{1,200})\]")
_LOST = "Restored original execution plan"
#: Lines that say why a start failed, the first that is found.
_REASONS = re.compile(r"^(?:ERROR|FATAL|.{0,60}not executable|.{0,200}(?:error|Error|cannot execute)).*$", re.MULTILINE)

#: What Android's shell and linker say of a file that they cannot run; the shell's status then is 1 or 126.
_NO_PROGRAM = re.compile(r"not executable: .{0,40}ELF|CANNOT LINK EXECUTABLE|Exec format error")

Kind = Literal["cpu", "gpu", "nnapi"]

#: e_machine of an ELF file (System V ABI) -> the ABI of Android that it is for.
_MACHINES = {183: "arm64-v8a", 40: "armeabi-v7a", 62: "x86_64", 3: "x86", 243: "riscv64"}


@dataclass(frozen=True)
class Delegate:
    """What runs the file.

    Attributes:
        runtime: as rows name it.
        name: as the tool does; empty where none has to be applied.
        node: as TensorFlow Lite names the delegate that it replaces operators with.
        flags: that ask for it.
    """

    kind: Kind
    runtime: str
    name: str
    node: str
    flags: tuple[str, ...]


def cpu(*, xnnpack: bool = True) -> Delegate:
    """The processor, with XNNPACK or with LiteRT's own kernels."""
    name = "litert" if xnnpack else "litert without XNNPACK"
    return Delegate("cpu", name, "XNNPACK", "TfLiteXNNPackDelegate", (f"--use_xnnpack={str(xnnpack).lower()}",))


def accelerators() -> tuple[Delegate, ...]:
    """GPU and NNAPI."""
    return (
        Delegate("gpu", "litert-gpu", "GPU", "TfLiteGpuDelegateV2", ("--use_gpu=true",)),
        # Without the second flag an NNAPI of Android 10 or newer may be its own reference on the CPU.
        Delegate(
            "nnapi", "litert-nnapi", "NNAPI", "TfLiteNnapiDelegate", ("--use_nnapi=true", "--disable_nnapi_cpu=true")
        ),
    )


@dataclass(frozen=True)
class Said:
    """What one start of the tool said.

    Attributes:
        init_ms: from the file to a model that is ready to run.
        first_ms: of the first inference.
        warm_up_runs, runs: inferences, before and while it measured.
        time_ms: of an inference: the median, or the mean where the tool has none.
        is_median: which of the two.
        least_ms, most_ms: of single inferences.
        peak_memory_mib: resident, of the process; None where it was not asked for.
        unconsumed: flags that the tool does not know.
        accelerators: of NNAPI.
    """

    init_ms: float
    first_ms: float
    warm_up_runs: int
    runs: int
    time_ms: float
    is_median: bool
    least_ms: float
    most_ms: float
    peak_memory_mib: float | None
    unconsumed: tuple[str, ...]
    accelerators: str = ""


def binary_abi(file: Path) -> str:
    """The ABI that a program is for; empty for what is no ELF file, such as a script that starts one.

    Raises TargetUnavailable for a file that is not there, or for another system.
    """
    try:
        with file.open("rb") as content:
            head = content.read(20)
    except OSError as error:
        raise TargetUnavailable(f"benchmark_model cannot be read: {error}", remedy=get_it("")) from error
    if head[:4] != b"\x7fELF" or len(head) < 20:
        return ""
    order = "<" if head[5] == 1 else ">"
    return _MACHINES.get(struct.unpack(f"{order}H", head[18:20])[0], "another processor")


def get_it(abis: str) -> str:
    """How a user gets the tool for a device with these ABIs."""
    word = {"arm64-v8a": "android_aarch64", "armeabi-v7a": "android_arm"}.get(abis.partition(",")[0], "android_aarch64")
    return (
        f"Download {word}_benchmark_model, the native binary for the Interpreter API, from {PAGE}, "
        "then: export EDGESHIP_BENCHMARK_MODEL=PATH"
    )


def check_abi(file: Path, abis: str) -> None:
    """Raises TargetUnavailable where a device with these ABIs (`ro.product.cpu.abilist`) does not run the tool."""
    abi = binary_abi(file)
    if abi and abis and abi not in abis.split(","):
        raise TargetUnavailable(f"{file.name} is for {abi}, and the device runs {abis}", remedy=get_it(abis))


def input_flags(shapes: Sequence[Sequence[int]], places: Sequence[str]) -> list[str]:
    """Flags that give each input, in the file's order, a shape and a file of raw values.

    The names are ours: the tool goes by the order, and those of the model may hold what separates its lists.
    """
    names = [f"i{number}" for number in range(len(shapes))]
    return [
        f"--input_layer={','.join(names)}",
        f"--input_layer_shape={':'.join(','.join(map(str, shape)) for shape in shapes)}",
        f"--input_layer_value_files={','.join(f'{name}:{place}' for name, place in zip(names, places, strict=True))}",
    ]


def run_flags(runs: int, seconds: float, warm_up_seconds: float) -> list[str]:
    """Flags for at least so many runs and seconds, after at least one run and so many seconds that do not count."""
    return [
        f"--num_runs={runs}",
        f"--min_secs={seconds:g}",
        f"--max_secs={max(MOST_SECONDS, math.ceil(seconds))}",
        "--warmup_runs=1",
        f"--warmup_min_secs={warm_up_seconds:g}",
    ]


def read(text: str) -> Said:
    """What a start said that ended well. Raises ChildCrashed for what is no measurement."""
    timings = _TIMINGS.search(text)
    counts = [_pairs(line) for line in _COUNTED.findall(text)]
    if timings is None or len(counts) < 2:
        raise ChildCrashed("benchmark_model ended without a measurement", remedy=f"It said:\n{_tail(text)}")
    init, first, mean = (_us(timings[number]) for number in (1, 2, 3))
    warm_up, regular = counts[-2], counts[-1]
    median = regular.get("median")
    one = regular.get("curr", "")  # all that it says where every run took the same time
    peak = _PEAK.search(text)
    unconsumed = _UNCONSUMED.search(text)
    accelerators = _ACCELERATORS.search(text)
    return Said(
        init_ms=init,
        first_ms=first,
        warm_up_runs=_count(warm_up, least=0),
        runs=_count(regular, least=1),
        time_ms=mean if median is None else _us(median),
        is_median=median is not None,
        least_ms=_us(regular.get("min", one)),
        most_ms=_us(regular.get("max", one)),
        peak_memory_mib=float(peak[1]) if peak else None,
        unconsumed=tuple(re.findall(r"--(\w{1,60})", unconsumed[1])) if unconsumed else (),
        accelerators=accelerators[1] if accelerators else "",
    )


def _pairs(line: str) -> dict[str, str]:
    """`count=50 curr=12`."""
    parts = (part.partition("=") for part in line.split())
    return {key: value for key, _, value in parts}


def _count(line: dict[str, str], *, least: int) -> int:
    match = re.match(r"\d{1,9}", line.get("count", ""))
    if match is None or int(match[0]) < least:
        raise ChildCrashed(f"benchmark_model counted {line.get('count', '')[:40]!r} inferences")
    return int(match[0])


def _us(text: str) -> float:
    """Milliseconds of a number of microseconds."""
    match = re.match(_N, text)
    value = float(match[0]) / 1e3 if match else math.nan
    if not 0 <= value < math.inf:
        raise ChildCrashed(f"benchmark_model gave {text[:40]!r} for a time")
    return value


def failure(status: int, text: str, delegate: Delegate) -> EdgeshipError:
    """Why a start ended with an error."""
    if f"Failed to apply {delegate.name} delegate" in text:
        return TargetUnavailable(
            f"the {delegate.name} delegate cannot be applied to this file: {_reason(text)}",
            remedy="What it needs of a file: edgeship inspect FILE.",
        )
    if status in (126, 127) or _NO_PROGRAM.search(text):
        return TargetUnavailable(
            f"benchmark_model cannot be run on the device: {_reason(text)}",
            remedy=f"Is it the binary for this device's processor? See {PAGE}",
        )
    if status > 128:
        return ChildCrashed(
            f"benchmark_model was ended by signal {status - 128}", remedy=f"It said last:\n{_tail(text)}"
        )
    return ArtifactError(f"benchmark_model ended with status {status}: {_reason(text)}", remedy=_tail(text))


def require_delegated(text: str, said: Said, delegate: Delegate, abis: str) -> str:
    """What the delegate runs, in words; empty for the CPU where all is as it should be.

    The tool goes on with the CPU alone where a delegate is missing or takes nothing, and its times are then those of
    the CPU. Raises TargetUnavailable for all of that.
    """
    name = delegate.name
    takes = _takes(text, delegate)
    if delegate.kind == "cpu":
        return "" if takes or "=false" in delegate.flags[0] else "XNNPACK runs none of its operators"
    missing = [flag for flag in said.unconsumed if flag in ("use_gpu", "use_nnapi")]
    if missing:
        raise TargetUnavailable(
            f"this benchmark_model was built without the {name} delegate: it does not know --{missing[0]}",
            remedy=get_it(abis),
        )
    if f"{name} acceleration is unsupported" in text:
        raise TargetUnavailable(f"{name} is not available on this device, says benchmark_model: no number is of it")
    if _LOST in text or not takes:
        why = _reason(text)
        raise TargetUnavailable(
            f"the {name} delegate runs no operator of this file, all would run on the CPU{f': {why}' if why else ''}",
            remedy="A GPU needs float or int8 files with operators that it has; see: edgeship inspect FILE.",
        )
    return takes


def _takes(text: str, delegate: Delegate) -> str:
    """What the tool says that the delegate runs; empty where it runs nothing."""
    name = re.escape(delegate.name)
    if re.search(rf"Explicitly applied {name} delegate, and the model graph will be completely executed", text):
        return f"the {delegate.name} delegate runs all operators"
    partly = re.search(
        rf"Explicitly applied {name} delegate, and the model graph will be partially executed by the delegate w/ (\d+)",
        text,
    )
    if partly is None or int(partly[1]) == 0:
        return ""
    parts = f"in {partly[1]} parts" if int(partly[1]) > 1 else "in 1 part"
    for taken, total, node, _ in _REPLACING.findall(text):
        if node in (delegate.node, delegate.node.removesuffix("V2")) and total and int(taken) <= int(total):
            return f"the {delegate.name} delegate runs {taken} of {total} operators, {parts}; the CPU runs the others"
    on_gpu = _ON_GPU.search(text)
    if delegate.kind == "gpu" and on_gpu is not None:
        total = str(int(on_gpu[1]) + int(on_gpu[2]))
        return f"the GPU delegate runs {on_gpu[1]} of {total} operators, {parts}; the CPU runs the others"
    return f"the {delegate.name} delegate runs some operators, {parts}; the CPU runs the others"


def _reason(text: str) -> str:
    found = _REASONS.search(text)
    return _printable(found[0])[:300] if found else ""


def _tail(text: str, lines: int = 8) -> str:
    return "\n".join(_printable(line)[:300] for line in text.splitlines()[-lines:])


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text.strip())
