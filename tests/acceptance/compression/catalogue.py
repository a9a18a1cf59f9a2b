"""All methods by name."""

from __future__ import annotations

from tests.acceptance.compression.methods import Method, Ours, Peer
from tests.acceptance.compression.tasks import FRONT_TASK, TASKS

#: Recipes for people; `auto` chooses among what these make, and is tested on its own.
_RECIPES = ("float16", "int8", "mixed", "int8-qat", "small", "fast", "tiny")
YARDSTICK = "yardstick"

_TF = ("tensorflow", "keras")
_AEQ = ("ai-edge-quantizer", *_TF)
_ORT = ("onnxruntime", "tf2onnx", "onnx", *_TF)
#: What ai-edge-quantizer offers for the ranges; a recipe that does not take one says so in its sweep.
_ALGORITHMS = ("MIN_MAX_UNIFORM_QUANT", "OCTAV", "MSE", "GPTQ")
_AEQ_RECIPES = {
    "aeq-static-int8": "static_wi8_ai8",
    "aeq-static-int16x8": "static_wi8_ai16",
    "aeq-dynamic-int8": "dynamic_wi8_afp32",
    "aeq-dynamic-int4": "dynamic_wi4_afp32",
    "aeq-dynamic-int4-block32": "dynamic_wi4b32_afp32",
    "aeq-dynamic-int2": "dynamic_wi2c_afp32",
    "aeq-weight-only-int8": "weight_only_wi8_afp32",
    "aeq-weight-only-int4": "weight_only_wi4_afp32",
}


#: Each documented way once, at the sparsity and clusters that come near our recipes' bytes; all together twice.
_TFMOT = {
    "tfmot-qat": {"qat": True},
    "tfmot-prune-75": {"prune": 0.75},
    "tfmot-cluster-16": {"cluster": 16},
    "tfmot-pqat-75": {"prune": 0.75, "qat": True},
    "tfmot-cqat-16": {"cluster": 16, "per_channel": True, "qat": True},
    "tfmot-pcqat-50-16": {"prune": 0.5, "cluster": 16, "qat": True},
    "tfmot-pcqat-75-16": {"prune": 0.75, "cluster": 16, "qat": True},
}


def _all() -> list[Method]:
    return [
        Peer(YARDSTICK, "plain", {"variant": "int8"}, packages=_TF, tasks=tuple(TASKS)),
        Peer("tf-float16", "plain", {"variant": "float16"}, packages=_TF),
        Peer("tf-dynamic", "plain", {"variant": "dynamic"}, packages=_TF),
        *(Ours(name) for name in _RECIPES),
        Ours("safe", seeds=(0,), tasks=(FRONT_TASK,)),  # trains what the others train
        *(
            Peer(name, "aeq", {"recipe": recipe, "algorithms": _ALGORITHMS}, also=("plain",), packages=_AEQ)
            for name, recipe in _AEQ_RECIPES.items()
        ),
        Peer("ort-static", "ort", {"kind": "static"}, packages=_ORT),
        *(Peer(name, "tfmot", settings, environment="peer-tfmot", form="keras2") for name, settings in _TFMOT.items()),
        Peer("nncf-ptq", "nncf", also=("ort",), environment="peer-nncf", form="onnx"),  # which has the float file
        Peer("mct-ptq", "mct", environment="peer-mct", form="keras2"),
        Peer("ort-dynamic", "ort", {"kind": "dynamic"}, packages=_ORT),
    ]


METHODS: dict[str, Method] = {method.name: method for method in _all()}


def seeds(method: Method, task: str) -> tuple[int, ...]:
    """With which seeds a method runs on a task: all of its own on the front's task, one on the others."""
    if task not in method.tasks:
        return ()
    return method.seeds if task == FRONT_TASK else method.seeds[:1]
