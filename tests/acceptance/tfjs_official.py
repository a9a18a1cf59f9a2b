"""Runs inside the reference environment: converts models with the official TF.js converter, and times it.

One JSON request a line, `{"model": KERAS_FILE, "saved_model": FOLDER, "out": FOLDER}`; the answer is
`{"load_s", "export_s", "convert_s"}`: reading the Keras file, writing the SavedModel that the converter asks for
(to `saved_model`), and the conversion itself.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def convert(request: dict[str, str]) -> dict[str, float]:
    """From a Keras file to a graph model, the official way (tensorflowjs' README: export, then convert)."""
    import keras
    from tensorflowjs.converters import tf_saved_model_conversion_v2 as official  # noqa: TID251 - this is that environment

    started = time.perf_counter()
    keras.backend.clear_session()
    model: Any = keras.models.load_model(request["model"], compile=False)
    loaded = time.perf_counter()
    model.export(request["saved_model"], verbose=False)
    exported = time.perf_counter()
    official.convert_tf_saved_model(request["saved_model"], request["out"])
    done = time.perf_counter()
    return {"load_s": loaded - started, "export_s": exported - loaded, "convert_s": done - exported}


def main() -> None:
    """Answer requests until standard input ends; what libraries print goes to standard error."""
    channel, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        print(json.dumps({"result": convert(json.loads(line))}), file=channel, flush=True)


if __name__ == "__main__":
    main()
