"""Records of compression cells as tests want them."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.acceptance.compression import records
from tests.acceptance.compression.catalogue import METHODS
from tests.acceptance.compression.records import Latency, Record

N = 1000


def right(wrong: int, first: int = 0) -> np.ndarray:
    """1,000 samples, of which `wrong` are wrong, beginning at `first`."""
    found = np.ones(N)
    found[first : first + wrong] = 0
    return found


def record(method: str, seed: int = 0, wrong: int = 150, brotli: int = 50_000, ratio: float = 1.0, **more) -> Record:
    samples = right(wrong)
    found = Record(
        task="cifar10",
        method=method,
        seed=seed,
        key="k",
        commit="c",
        created="2026-01-01T00:00:00+00:00",
        versions={},
        machine={},
        seconds=1.0,
        format="tflite",
        sizes={"raw": 2 * brotli, "gzip": brotli + 100, "brotli": brotli},
        n=N,
        base_accuracy=0.85,
        accuracy=float(samples.mean()),
        drop=records.drop_between(right(150), samples).value,
        right=records.pack(samples),
        latency=Latency(0.1, None, 0.1, ratio, (ratio * 0.9, ratio * 1.1), "litert", 20, "0.1"),
        settings={"parameters": 1000},
    )
    return dataclasses.replace(found, **more)


def all_seeds(method: str, **facts) -> list[Record]:
    return [record(method, seed, **facts) for seed in METHODS[method].seeds]
