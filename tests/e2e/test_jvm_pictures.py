"""Pictures become inputs in Java as they do in Python, bit by bit."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgeship import preprocessing
from edgeship.data.readers import _on_white
from edgeship.types import Preprocessing
from tests.sharing import Shared
from tests.standins.android_app import classpath

#: Height and width of the picture, height and width of the input, channels, scale, mean, std, dtype, quantization.
_CASES: tuple[tuple[Any, ...], ...] = (
    ((97, 61), (32, 32), "grey", 1 / 255, (), (), "float32", None),
    ((20, 30), (32, 48), "RGB", 1 / 127.5, (1.0,), (), "float32", None),
    ((200, 50), (24, 24), "RGB", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "float32", None),
    ((31, 77), (16, 24), "BGR", 1.0, (103.939, 116.779, 123.68), (), "float32", None),
    ((64, 64), (32, 32), "grey", 1 / 255, (), (), "int8", (1 / 255, -128)),
    ((48, 48), (48, 48), "RGB", 1 / 127.5, (1.0,), (), "uint8", (2 / 255, 128)),
    ((40, 90), (12, 12), "RGB", None, (), (), "uint8", None),
    ((52, 39), (40, 31), "RGB", None, (), (), "uint8", None),
    ((55, 25), (17, 7), "grey", None, (), (), "uint8", None),
)


def _picture(number: int, height: int, width: int) -> np.ndarray:
    """Colors and alpha; every other picture is opaque."""
    made = np.random.default_rng(number).integers(0, 256, (height, width, 4), np.uint8)
    if number % 2:
        made[..., 3] = 255
    return made


def _python(number: int, case: tuple[Any, ...]) -> bytes:
    (height, width), (to_height, to_width), channels, scale, mean, std, dtype, steps = case
    image = _on_white(Image.fromarray(_picture(number, height, width))).convert("L" if channels == "grey" else "RGB")
    raw = np.asarray(image.resize((to_width, to_height), Image.Resampling.BILINEAR)).reshape(1, to_height, to_width, -1)
    if dtype == "uint8" and steps is None:
        return raw.tobytes()
    done = Preprocessing(scale, channels=channels, mean=mean, std=std)
    values = preprocessing.prepare(raw.astype(np.float32), done)
    if steps is None:
        return bytes(values.tobytes())
    info = np.iinfo(dtype)
    stored = np.clip(np.rint(values.astype(np.float64) / steps[0]) + steps[1], info.min, info.max)
    return bytes(stored.astype(dtype).tobytes())


def _told(number: int, case: tuple[Any, ...]) -> dict[str, Any]:
    (height, width), (to_height, to_width), channels, scale, mean, std, dtype, steps = case
    pixels = np.zeros((height, width), np.uint32)
    for shift, channel in zip((16, 8, 0, 24), np.moveaxis(_picture(number, height, width), -1, 0), strict=True):
        pixels |= channel.astype(np.uint32) << shift
    prepared = {"resize": "bilinear", "channels": channels, "scale": scale, "mean": mean, "std": std}
    return {
        "pixels": base64.b64encode(pixels.astype(">u4").tobytes()).decode(),
        "width": width,
        "shape": [1, to_height, to_width, 1 if channels == "grey" else 3],
        "dtype": dtype,
        "quantization": None if steps is None else {"scale": steps[0], "zero_point": steps[1]},
        "preprocessing": {**prepared, "value_range": None, "given_dtype": "float32", "steps": []},
    }


def test_pictures_are_those_of_python(tmp_path: Path, shared: Shared) -> None:
    classes = classpath(shared)
    (tmp_path / "pictures.json").write_text(json.dumps([_told(*each) for each in enumerate(_CASES)]))
    command = ["java", "-cp", classes, "dev.edgeship.client.Pictures", str(tmp_path / "pictures.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    for number, (case, line) in enumerate(zip(_CASES, done.stdout.splitlines(), strict=True)):
        assert base64.b64decode(line) == _python(number, case), (number, case)
