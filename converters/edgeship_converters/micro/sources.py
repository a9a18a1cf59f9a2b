"""The C++ sources of a model for TensorFlow Lite Micro (C++11, nothing but the standard library and TFLM's headers)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeship.names import safe_names
from edgeship.preprocessing import in_words
from edgeship.types import ConvertOptions, TensorSpec

#: Bytes of the model in a line of the array.
_ROW = 16
_BANNER = "// Written by edgeship; convert the model again instead of editing.\n"


@dataclass(frozen=True)
class Facts:
    """What the sources say.

    Attributes:
        options: labels and preprocessing are delivered with the model.
        content: the .tflite file.
        additions: methods of the resolver that add the operators.
        arena_bytes: the smallest arena in which the file ran.
        ends: inputs and outputs in the order of `MicroInterpreter::input(i)` and `output(i)`.
        tflm: version of the package that ran it.
    """

    options: ConvertOptions
    variant: str
    content: bytes
    additions: tuple[str, ...]
    arena_bytes: int
    ends: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]
    tflm: str


def identifier(name: str) -> str:
    """A model's name as a C++ namespace, in lower case: `Wake word (v2)` -> `wake_word_v2_model`.

    The ending keeps it from being a keyword; [a-z0-9_] without `__`, which C++ reserves.
    """
    (safe,) = safe_names([name.lower()], "unnamed")
    return safe if safe.endswith("_model") else f"{safe}_model"


def literal(text: str) -> str:
    """A C string literal of the UTF-8 bytes; three octal digits, after which any character may follow."""
    plain = set(range(0x20, 0x7F)) - set(b'"\\?')  # ??x is a trigraph
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode()) + '"'


def write(folder: Path, name: str, facts: Facts) -> tuple[str, ...]:
    """Write the sources of a model; returns their names."""
    space = identifier(name)
    files = {
        "model_data.h": _guarded(space, "model_data", _data_header(space)),
        "model_data.cc": _data(space, facts.content),
        "model_resolver.h": _guarded(space, "model_resolver", _resolver(space, facts.additions)),
        "model_settings.h": _guarded(space, "model_settings", _settings(space, facts)),
        "README.txt": _readme(space, facts),
    }
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8", newline="\n")
    return tuple(files)


def _guarded(space: str, file: str, body: str) -> str:
    guard = f"{space}_{file}_h_".upper()
    return f"{_BANNER}#ifndef {guard}\n#define {guard}\n\n{body}\n#endif\n"


def _data_header(space: str) -> str:
    return f"""#include <cstddef>

namespace {space} {{

// The .tflite file, aligned to 16 bytes as TensorFlow Lite Micro needs it.
extern const unsigned char kModelData[];
extern const std::size_t kModelDataBytes;

}}  // namespace {space}
"""


def _data(space: str, content: bytes) -> str:
    rows = (content[i : i + _ROW] for i in range(0, len(content), _ROW))
    array = "\n".join("    " + " ".join(f"0x{byte:02x}," for byte in row) for row in rows)
    return f"""{_BANNER}#include "model_data.h"

namespace {space} {{

alignas(16) const unsigned char kModelData[] = {{
{array}
}};
const std::size_t kModelDataBytes = sizeof(kModelData);

}}  // namespace {space}
"""


def _resolver(space: str, additions: Sequence[str]) -> str:
    steps = "".join(f"  if (resolver.{method}() != kTfLiteOk) return kTfLiteError;\n" for method in additions)
    return f"""#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"

namespace {space} {{

constexpr unsigned int kOpCount = {len(additions)};
using OpResolver = tflite::MicroMutableOpResolver<kOpCount>;

// Adds the operators that the model uses, and no others; call it once.
inline TfLiteStatus AddOps(OpResolver& resolver) {{
{steps}  return kTfLiteOk;
}}

}}  // namespace {space}
"""


def _settings(space: str, facts: Facts) -> str:
    labels = facts.options.labels
    named = ""
    if labels:
        listed = "".join(f"    {literal(label)},\n" for label in labels)
        named = f"\n// Classes by index of the output.\nconstexpr const char* kLabels[] = {{\n{listed}}};\n"
    return f"""#include <cstddef>
#include <cstdint>

namespace {space} {{

// Measured: the smallest arena in which this file ran in TensorFlow Lite Micro {facts.tflm}
// on x86-64 with the reference kernels. Pointers of 32 bits need less; kernels with scratch buffers of
// their own (CMSIS-NN, Xtensa, Ethos-U) need more: see MicroInterpreter::arena_used_bytes() on the device.
constexpr std::size_t kTensorArenaBytes = {facts.arena_bytes};

// An input or output. Quantized ones hold stored = round(real / scale) + zero_point; others have scale 0.
struct Tensor {{
  const char* name;
  const char* dtype;
  int rank;
  std::int32_t shape[{max(1, *(len(spec.shape) for side in facts.ends for spec in side))}];  // batch first
  float scale;
  std::int32_t zero_point;
}};

constexpr int kInputCount = {len(facts.ends[0])};
constexpr int kOutputCount = {len(facts.ends[1])};
// In the order of MicroInterpreter::input(i) and output(i).
constexpr Tensor kInputs[] = {{
{_tensors(facts.ends[0])}}};
constexpr Tensor kOutputs[] = {{
{_tensors(facts.ends[1])}}};

constexpr int kLabelCount = {len(labels)};
{named}
}}  // namespace {space}
"""


def _tensors(specs: Sequence[TensorSpec]) -> str:
    rows = []
    for spec in specs:
        scale, zero = (spec.quantization.scale, spec.quantization.zero_point) if spec.quantization else (0.0, 0)
        # Nine digits give the same float32 back.
        number = f"{np.float32(scale):.9g}"
        number = number if {".", "e"} & set(number) else f"{number}.0"
        shape = ", ".join(str(size) for size in spec.shape)
        rows.append(
            f"    {{{literal(spec.name)}, {literal(spec.dtype)}, {len(spec.shape)}, {{{shape}}}, {number}f, {zero}}},\n"
        )
    return "".join(rows)


def _readme(space: str, facts: Facts) -> str:
    lines = [f"  {step}" for step in in_words(facts.options.preprocessing)]
    before = "\nWhat was done to samples before the model saw them:\n" + "\n".join(lines) + "\n" if lines else ""
    sizes = f"{len(facts.content)} bytes of flash, arena {facts.arena_bytes} bytes"
    return f"""Model for TensorFlow Lite Micro, variant {facts.variant}: {sizes}.

Compile model_data.cc with TensorFlow Lite Micro (https://github.com/tensorflow/tflite-micro), and call:

  #include "model_data.h"
  #include "model_resolver.h"
  #include "model_settings.h"
  #include "tensorflow/lite/micro/micro_interpreter.h"

  alignas(16) static uint8_t arena[{space}::kTensorArenaBytes];
  static {space}::OpResolver resolver;
  if ({space}::AddOps(resolver) != kTfLiteOk) {{ /* stop */ }}
  static tflite::MicroInterpreter interpreter(
      tflite::GetModel({space}::kModelData), resolver, arena, sizeof(arena));
  if (interpreter.AllocateTensors() != kTfLiteOk) {{ /* the arena is too small for these kernels */ }}
  // fill interpreter.input(0)->data
  if (interpreter.Invoke() != kTfLiteOk) {{ /* stop */ }}
  // read interpreter.output(0)->data

The arena was measured on x86-64 with the reference kernels. Other kernels may need more:
interpreter.arena_used_bytes() says how much, after AllocateTensors().
An LSTM keeps its state from one Invoke() to the next; interpreter.Reset() clears it.
{before}"""
