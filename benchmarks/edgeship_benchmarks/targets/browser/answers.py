"""What a page may answer. It runs elsewhere and anyone may send what it sends: everything is bounded and checked."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from edgeship.errors import ChildCrashed

#: Longest answer: a million timings of 20 digits.
MAX_ANSWER_BYTES = 24 << 20
MAX_TEXT = 2000
MAX_TIMES = 1_000_000
MAX_ITEMS = 256
#: A day, in milliseconds: no time of a page is longer. No rate is higher either.
MAX_MS = 86_400_000.0
MAX_SIZE = 1 << 31
MAX_OPERATORS = 10_000
MAX_MACS = 1e15

_ERRORS = ("ArtifactError", "DataError", "InputError", "EdgeshipError", "TargetUnavailable", "ChildCrashed")


def parse(body: bytes) -> tuple[str, int, Mapping[str, Any]]:
    """Page, number of the request and the rest of a posted answer. Raises ChildCrashed for anything else."""
    try:
        data = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ChildCrashed(f"the page sent no JSON: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("page"), str) or len(data["page"]) > MAX_ITEMS:
        _refuse("page")
    number = data.get("id")
    if not isinstance(number, int) or isinstance(number, bool):
        _refuse("id")
    kinds = data.keys() & {"result", "error", "progress"}
    if len(kinds) != 1 or data.keys() != {"page", "id", *kinds} or not isinstance(data[next(iter(kinds))], dict):
        _refuse("answer")
    answer = {kind: data[kind] for kind in kinds}
    if "error" in answer:
        answer["error"] = _error(answer["error"])
    if "progress" in answer:
        answer["progress"] = _progress(answer["progress"])
    return data["page"], number, answer


def check(operation: str, result: Mapping[str, Any]) -> Mapping[str, Any]:
    """The result of an operation with nothing in it but what belongs there. Raises ChildCrashed."""
    fields = _FIELDS.get(operation, {})
    if result.keys() != fields.keys():
        _refuse(f"result of {operation}")
    return {key: read(result[key]) for key, read in fields.items()}


def text(value: Any) -> str:
    """A short text, without what a terminal would obey."""
    if not isinstance(value, str):
        _refuse("text")
    return "".join(c if c.isprintable() else " " for c in value[:MAX_TEXT])


def _error(data: Mapping[str, Any]) -> Mapping[str, str]:
    kind = data.get("type")
    return {
        "type": kind if kind in _ERRORS else "EdgeshipError",
        "message": text(data.get("message", "")) or "the page gave no reason",
        "remedy": text(data.get("remedy", "")),
    }


def _progress(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "stage": text(data.get("stage", "")),
        "done": _count(data.get("done")),
        "total": _optional(_count)(data.get("total")),
    }


def _ms(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_MS:
        _refuse("time")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_SIZE:
        _refuse("number")
    return value


def _times(value: Any) -> list[float]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_TIMES:
        _refuse("list of times")
    return [_ms(item) for item in value]


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        _refuse("flag")
    return value


def _nothing(value: Any) -> None:
    if value is not None:
        _refuse("field")


def _optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        _refuse("list")
    return [text(item) for item in value]


def _facts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > MAX_ITEMS:
        _refuse("mapping")
    return {text(key): text(item) for key, item in value.items()}


def _specs(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_ITEMS:
        _refuse("list of tensors")
    return [_spec(item) for item in value]


def _spec(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or value.keys() != {"name", "shape", "dtype", "quantization"}:
        _refuse("tensor")
    shape = value["shape"]
    if not isinstance(shape, list) or len(shape) > MAX_ITEMS:
        _refuse("shape")
    sizes = [_optional(_count)(size) for size in shape]
    if math.prod(size or 1 for size in sizes) > MAX_SIZE:
        _refuse("shape")
    _nothing(value["quantization"])
    return {"name": text(value["name"]), "shape": sizes, "dtype": text(value["dtype"]), "quantization": None}


def _operators(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_OPERATORS:
        _refuse("list of operators")
    return [_operator(item) for item in value]


def _operator(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or value.keys() != {"name", "type", "macs", "ms"}:
        _refuse("operator")
    macs = value["macs"]
    if macs is not None and (isinstance(macs, bool) or not isinstance(macs, int | float) or not 0 <= macs <= MAX_MACS):
        _refuse("number of multiplications")
    return {"name": text(value["name"]), "type": text(value["type"]), "macs": macs, "ms": _times(value["ms"])}


def _refuse(what: str) -> NoReturn:
    raise ChildCrashed(f"the page sent no valid {what[:100]}")


_FIELDS: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "load": {
        "import_ms": _ms,
        "load_ms": _ms,
        "download_ms": _ms,
        "inputs": _specs,
        "outputs": _specs,
        "versions": _facts,
        "batch": _optional(_count),
        "warnings": _texts,
        "operations": _texts,
        "threads": _count,
    },
    "run": {"outputs": _facts},
    "warm_up": {"first_inference_ms": _ms, "runs": _count, "stable": _flag},
    "measure": {"latency_ms": _times, "inferences_per_time": _count},
    "throughput": {"batch": _count, "per_second": _ms},
    "trace": {"operators": _operators, "traced_ms": _times, "whole_ms": _times},
    "memory": {"peak_memory_mib": _nothing},
    "describe": {"facts": _facts},
}
