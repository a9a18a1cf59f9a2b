"""Starts and rounds in a real browser, as records."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

from edgeship_benchmarks.targets.browser import processes
from tests.acceptance.web_comparison.models import Model
from tests.acceptance.web_comparison.site import facts, site
from tests.driving import Page, driven, until

#: Subject -> its module, its folder of a model, and what else its module is told.
SUBJECTS: Mapping[str, tuple[str, str, Mapping[str, str | bool]]] = {
    "edgeship small": ("edgeship-{model}", "package", {"runtime": "tfjs-wasm"}),
    "edgeship fast": ("edgeship-{model}", "package", {"runtime": "litert-wasm"}),
    "edgeship fast, no worker": ("edgeship-{model}", "package", {"runtime": "litert-wasm", "worker": False}),
    "@tensorflow/tfjs": ("tfjs", "tfjs", {}),
    "onnxruntime-web": ("onnx", "onnx", {}),
    "LiteRT.js": ("litert", "litert", {}),
}
_DONE = "window.result !== undefined && typeof window.keep === 'function'"


def _address(model: Model, names: Sequence[str], **more: object) -> str:
    subjects = [
        {
            "name": name,
            "module": module.format(model=model.name),
            "folder": f"/models/{model.name}/{folder}",
            "shape": model.setup.shape,
            **told,
        }
        for name, (module, folder, told) in ((name, SUBJECTS[name]) for name in names)
    ]
    return "/?" + urlencode({"subjects": json.dumps(subjects), **more})


def _result(page: Page, url: str, seconds: float = 120) -> dict[str, Any]:
    page.goto(url)
    until(page, _DONE, seconds)
    found: dict[str, Any] = page.js("window.result")
    if "error" in found:
        raise RuntimeError(found["error"])
    return found


def start(page: Page, places: Mapping[str, Path], model: Model, subject: str, link: str) -> dict[str, Any]:
    """Milliseconds from navigation to first prediction: cold, warm, and without the server; bytes and long tasks."""
    path = _address(model, [subject])
    with site(places, slow=link != "loopback") as found:
        cold = _result(page, found.url + path)
        sent = found.link.sent
        warm = _result(page, found.url + path)
        record = {
            "cold_ms": cold["milliseconds"],
            "warm_ms": warm["milliseconds"],
            "wire_bytes": sent,
            "longest_task_ms": cold["longest"] if cold["observed"] else None,
        }
        if link == "loopback":
            page.js("window.keep()")
            _result(page, found.url + path)  # through the service worker, which keeps what it sees
            found.down()
            offline = None
            with suppress(Exception):  # a page that does not start is what is recorded
                offline = _result(page, found.url + path)["milliseconds"]
            record["offline_ms"] = offline
    page.goto("about:blank")
    return record


def steady(page: Page, places: Mapping[str, Path], model: Model, rounds: int) -> dict[str, Any]:
    """Means of rounds in which all subjects take turns in one page; how well their classes agree."""
    more = {"inputs": f"/models/{model.name}/inputs.bin", "rounds": rounds, "runs": model.setup.runs}
    with site(places) as found:
        result = _result(page, found.url + _address(model, list(SUBJECTS), **more), 600)
    page.goto("about:blank")
    classes = {name: np.asarray(outputs).argmax(axis=1) for name, outputs in result["outputs"].items()}
    return {
        "rounds_ms": result["rounds"],
        "longest_task_ms": result["longest"],
        "agreement": {name: float((found == model.expected).mean()) for name, found in classes.items()},
        "accuracy": {name: float((found == model.labels).mean()) for name, found in classes.items()},
    }


def prepare(page: Page, places: Mapping[str, Path], models: Mapping[str, Model]) -> None:
    """Start everything once, unrecorded: what is asked for is compressed then, which takes a minute for the largest."""
    for model in models.values():
        for subject in SUBJECTS:
            with site(places) as found:
                _result(page, found.url + _address(model, [subject]), 500)


def wanted(browsers: Sequence[str], models: Sequence[str], repeats: int) -> Iterator[dict[str, Any]]:
    """Keys of all records, in the order in which they are measured: subjects take turns within each repeat."""
    for browser in browsers:
        for repeat in range(repeats):
            for model in models:
                yield {"kind": "steady", "browser": browser, "model": model, "repeat": repeat}
                for link in ("loopback", "10 Mbit/s, 40 ms"):
                    names = list(SUBJECTS)
                    for k in range(len(names)):
                        subject = names[(k + repeat) % len(names)]
                        key = {"kind": "start", "browser": browser, "model": model, "repeat": repeat}
                        yield {**key, "link": link, "subject": subject}


def measure(
    keys: Sequence[Mapping[str, Any]], places: Mapping[str, Path], models: Mapping[str, Model], rounds: int
) -> Iterator[dict[str, Any]]:
    """A record for each key; one browser for all keys of it."""
    versions = facts()
    for browser in dict.fromkeys(key["browser"] for key in keys):
        about = {"browser_version": processes.version(browser), "versions": versions, "cpu": _cpu()}
        with driven(browser, "--disable-gpu") as page:
            prepare(page, places, models)
            for key in (key for key in keys if key["browser"] == browser):
                model = models[key["model"]]
                if key["kind"] == "steady":
                    found = steady(page, places, model, rounds)
                else:
                    found = start(page, places, model, key["subject"], key["link"])
                at = {"created": datetime.now(UTC).isoformat(timespec="seconds"), "load": round(os.getloadavg()[0], 1)}
                yield {**key, **found, **at, **about}


def _cpu() -> str:
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor()
