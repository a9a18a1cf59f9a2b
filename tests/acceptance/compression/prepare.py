"""The base in a form that a peer's environment can read: `python -m ... FOLDER keras2|onnx`, run in our environment."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.acceptance.compression.peers.ort import float_model


def main() -> None:
    """Write `base.h5`, a Keras 2 model, or `float.onnx` into the folder, and say so in the request."""
    folder, form = Path(sys.argv[1]), sys.argv[2]
    asked = json.loads((folder / "request.json").read_text())
    if form == "onnx":  # without ONNX Runtime's preparation, which takes names away that others look for
        with tempfile.TemporaryDirectory() as scratch:
            (folder / "float.onnx").write_bytes(float_model(asked["base"], Path(scratch)).read_bytes())
        asked["base"] = str(folder / "float.onnx")
    else:
        import keras

        from edgeship.compress.tfmot.replay import to_tf_keras

        to_tf_keras(keras.models.load_model(asked["base"], compile=False)).save(folder / "base.h5")
        _readable_by_old_ones(folder / "base.h5")
        asked["base"] = str(folder / "base.h5")
    (folder / "request.json").write_text(json.dumps(asked))


def _readable_by_old_ones(file: Path) -> None:
    """Take out the setting of inputs that Keras 2.15 does not know."""
    import h5py

    with h5py.File(file, "r+") as opened:
        config = json.loads(opened.attrs["model_config"])
        for layer in config["config"]["layers"]:
            layer["config"].pop("optional", None)
        opened.attrs["model_config"] = json.dumps(config)


if __name__ == "__main__":
    main()
