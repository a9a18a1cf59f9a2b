"""What runs models in a page, by format. The words are those of `web/browser/agent.mjs`."""

from __future__ import annotations

from collections.abc import Sequence

#: Format -> runtimes, those that run in every browser first.
RUNTIMES: dict[str, tuple[str, ...]] = {
    "tfjs": ("tfjs-wasm-simd", "tfjs-wasm-nosimd", "tfjs-wasm-threads", "tfjs-webgl", "tfjs-webgpu"),
    "tflite": ("litert-web-wasm", "litert-web-wasm-threads", "litert-web-webgpu"),
    "onnx": ("ort-web-wasm", "ort-web-wasm-threads", "ort-web-webgpu"),
}
#: Most threads that are asked for unless the plan says more: what TF.js takes by itself.
MOST_THREADS = 4


#: For `threads`: as many as the device has.
ALL = 0


def counts(runtime: str, wanted: Sequence[int]) -> list[int]:
    """The numbers of threads to measure a runtime on: one; with `-threads` those that the plan wants, else `ALL`."""
    if not runtime.endswith("-threads"):
        return [1]
    return [count for count in wanted if count > 1] or [ALL]


def threads(count: int, cores: int) -> int:
    """How many threads a runtime is asked for on a device with so many cores."""
    return max(2, min(MOST_THREADS, cores)) if count == ALL else count
