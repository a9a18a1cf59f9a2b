"""MLPerf Tiny's autoencoder ad01 by kind of input: one real recording, and the same with planted disturbances.

The repository has one recording of one machine, so AUC by machine cannot be computed here. What can be: how well files
tell the windows of that recording from the same windows with a disturbance of a known kind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "mlperf_tiny" / "anomaly_detection"
MODEL = FOLDER / "ad01.h5"
#: Frames of a window, mel bands of a frame.
FRAMES, BANDS = 5, 128


def windows() -> Any:
    """(40, 640): windows of the recording that share no frame, as log-mel energies in dB."""
    frames = np.fromfile(FOLDER / "normal_id_01_00000000_hist_librosa.bin", np.float32).reshape(-1, BANDS)
    return frames.reshape(-1, FRAMES * BANDS)


def every() -> dict[str, Any]:
    """All 196 windows, one frame apart, to calibrate with; the 40 of `windows` to test."""
    frames = np.fromfile(FOLDER / "normal_id_01_00000000_hist_librosa.bin", np.float32).reshape(-1, BANDS)
    moving = np.stack([frames[k : k + FRAMES].ravel() for k in range(len(frames) - FRAMES + 1)])
    return {"x_train": moving, "x_test": windows()}


def disturbed(plain: Any) -> dict[str, Any]:
    """Kind -> windows with a disturbance, of a strength at which the original is neither blind nor perfect."""
    band = np.tile(np.arange(BANDS), FRAMES)
    rng = np.random.default_rng(0)
    return {
        "hum": plain + 4.0 * (band < 8),
        "tone": plain + 6.0 * ((band >= 60) & (band < 64)),
        "hiss": plain + 2.5 * (band >= 96),
        "louder": plain + 2.0,
        "noise": plain + rng.normal(0, 1.5, plain.shape),
    }


def errors(outputs: Any, inputs: Any) -> Any:
    """(N,): the anomaly score, mean squared error of the reconstruction."""
    return ((np.asarray(outputs, np.float64) - inputs) ** 2).mean(axis=1)
