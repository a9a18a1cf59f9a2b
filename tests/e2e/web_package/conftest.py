"""Packages of the demo's build, made once for a run, and browsers that load them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeship.bundle.web import WebWishes, web_package
from edgeship.data import digits
from edgeship.errors import TargetUnavailable
from edgeship.pipeline import checks
from edgeship.plugins import runtimes_for
from edgeship.report import read
from edgeship_benchmarks import node
from edgeship_benchmarks.targets.browser import processes
from tests.e2e.conftest import Demo
from tests.e2e.web_package import releases
from tests.e2e.web_package.driven import Driven, driven
from tests.sharing import Shared

IMAGES = 100
#: Name of a package -> what it holds.
PACKAGES = {
    "digits": WebWishes("tfjs/uint8"),
    "floats": WebWishes("tfjs/float32", ("tfjs-wasm", "tfjs-webgl", "tfjs-webgpu"), "floats"),
    "both": WebWishes("tflite/float32", ("tfjs-wasm", "litert-wasm", "litert-webgpu"), "both"),
}


@pytest.fixture(scope="session")
def packages(demo: Demo, shared: Shared) -> Path:
    if node.missing():
        pytest.skip(f"needs Node and its packages: {node.REMEDY}")

    def make(folder: Path) -> None:
        for name, wishes in PACKAGES.items():
            web_package(demo.build, folder / name, wishes)

    return shared("web packages", make)


@pytest.fixture(scope="session")
def data(demo: Demo, shared: Shared) -> Path:
    """`inputs.bin`, 100 images as the model takes them, what Python's runtimes give for them, and pictures."""

    def make(folder: Path) -> None:
        from PIL import Image

        images = digits.arrays()["x"][-IMAGES:].astype(np.float32)
        report = read(demo.build)
        (name,) = (spec.name for spec in report.source.inputs)
        scale = report.artifacts[0].preprocessing.scale
        assert scale is not None
        prepared = images * np.float32(scale)
        prepared.tofile(folder / "inputs.bin")
        for artifact in report.artifacts:
            if artifact.format in ("tflite", "tfjs"):
                runtime = runtimes_for(artifact.format)[0]
                checks.require(runtime)
                (values,) = runtime.run(artifact, {name: prepared}).values()
                np.save(folder / f"{artifact.format}-{artifact.variant}.npy", values)
        for k, size in enumerate(((32, 32), (97, 61), (20, 45))):
            rng = np.random.default_rng(k)
            enlarged = Image.fromarray((images[k, :, :, 0] * 255).astype(np.uint8)).resize(
                size, Image.Resampling.BICUBIC
            )
            noise = rng.integers(0, 40, (size[1], size[0], 3))
            colors = np.clip(np.asarray(enlarged)[..., None].astype(int) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(colors).save(folder / f"{k}.png")
        ink = Image.fromarray((images[3, :, :, 0] * 255).astype(np.uint8)).resize((64, 64), Image.Resampling.BICUBIC)
        shades = np.linspace(0, 200, 64 * 64 * 3).astype(np.uint8).reshape(64, 64, 3)
        Image.fromarray(np.dstack([shades, np.asarray(ink)])).save(folder / "transparent.png")
        lying = Image.Exif()
        lying[0x0112] = 6  # the camera's left is up
        ink.convert("RGB").transpose(Image.Transpose.ROTATE_90).save(folder / "lying.jpg", quality=95, exif=lying)
        shutil.copytree(demo.build / "artifacts/tfjs/uint8", folder / "release")

    return shared("web data", make)


@pytest.fixture(scope="session")
def released(demo: Demo, packages: Path, shared: Shared) -> Path:
    """What `releases.publish` writes."""
    return shared("web releases", lambda folder: releases.publish(demo.build, packages / "digits", folder))


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def browser(request: pytest.FixtureRequest, packages: Path, data: Path) -> Iterator[Driven]:
    name = str(request.param)
    try:
        processes.executable(name)
    except TargetUnavailable:
        pytest.skip(f"needs {name.capitalize()}")
    with driven(name, packages, data) as found:
        found.name = name
        yield found
