"""What runs models in a page, by format. The words are those of `web/browser/agent.mjs`."""

from __future__ import annotations

#: Format -> runtimes, those that run in every browser first.
RUNTIMES: dict[str, tuple[str, ...]] = {
    "tfjs": ("tfjs-wasm-simd", "tfjs-wasm-nosimd", "tfjs-wasm-threads", "tfjs-webgl", "tfjs-webgpu"),
    "tflite": ("litert-web-wasm", "litert-web-wasm-threads", "litert-web-webgpu"),
    "onnx": ("ort-web-wasm", "ort-web-wasm-threads", "ort-web-webgpu"),
}
#: Most threads that are asked for unless the plan says more: what TF.js takes by itself.
MOST_THREADS = 4


def threads(runtime: str, wanted: int, cores: int) -> int:
    """How many threads a runtime is asked for: one; with `-threads` what the plan wants, else what the device has."""
    if not runtime.endswith("-threads"):
        return 1
    return wanted if wanted > 1 else max(2, min(MOST_THREADS, cores))
