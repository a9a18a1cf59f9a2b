"""Plug-ins are found by their entry points, checked against their contract, and named when they fail."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from edgeship import plugins
from edgeship.errors import EdgeshipError, InputError, MissingPackageError
from edgeship.types import ConvertOptions, Source

_MODULE = """
class Fine:
    name, formats, sample_limit, remedy = "fine", ("toy",), None, "pip install fine"
    def missing(self): return []
    def versions(self): return {}
    def specs(self, artifact): return (), ()
    def run(self, artifact, inputs, progress=None): return inputs

class Limited(Fine):
    name, sample_limit = "a-limited", 5

class NotARuntime:
    name = "x"

class Raises:
    def __init__(self): raise RuntimeError("no licence")

class NeedsMore:
    format, variants, equivalents, remedy = "toy", ("float32",), {}, "pip install more"
    def missing(self): return ["more", "most"]
    def convert(self, source, variant, options, out_dir): raise AssertionError
"""


@pytest.fixture
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[EntryPoint]]]:
    """Plug-ins of an imaginary package; the test fills in which."""
    (tmp_path / "imaginary_plugins.py").write_text(_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    groups: dict[str, list[EntryPoint]] = {}
    monkeypatch.setattr(plugins, "entry_points", lambda group: groups.get(group, []))
    cached = (plugins._entries, plugins.converter, plugins.runtime, plugins.target)
    for function in cached:
        function.cache_clear()
    yield groups
    for function in cached:
        function.cache_clear()
    sys.modules.pop("imaginary_plugins", None)


def entry(name: str, cls: str, kind: str = "runtimes") -> EntryPoint:
    return EntryPoint(name, f"imaginary_plugins:{cls}", f"edgeship.{kind}")


def test_ours_are_declared() -> None:
    assert set(plugins.names("converters")) >= {"tflite", "tfjs", "onnx", "micro"}
    assert set(plugins.names("runtimes")) >= {"litert", "onnxruntime", "tfjs-wasm", "tfjs-cpu"}
    assert "local" in plugins.names("targets")
    assert plugins.origin("runtimes", "litert") == "edgeship_benchmarks.runtimes.litert:LiteRTRuntime"


def test_an_unknown_name_lists_the_installed(entries: dict[str, list[EntryPoint]]) -> None:
    entries["edgeship.runtimes"] = [entry("fine", "Fine")]
    with pytest.raises(InputError, match="no runtime is called 'litter'") as caught:
        plugins.runtime("litter")
    assert caught.value.remedy == "Installed: fine."
    with pytest.raises(InputError, match="no target is called") as caught:
        plugins.target("moon")
    assert caught.value.remedy == "Installed: none."


def test_runtimes_without_a_sample_limit_come_first(entries: dict[str, list[EntryPoint]]) -> None:
    entries["edgeship.runtimes"] = [entry("a-limited", "Limited"), entry("fine", "Fine")]
    assert [r.name for r in plugins.runtimes_for("toy")] == ["fine", "a-limited"]
    assert plugins.runtimes_for("other") == ()
    assert plugins.runtime("fine") is plugins.runtime("fine")


def test_two_plugins_of_one_name(entries: dict[str, list[EntryPoint]]) -> None:
    entries["edgeship.runtimes"] = [entry("fine", "Fine"), entry("fine", "Limited")]
    with pytest.raises(EdgeshipError, match="two plug-ins are called 'fine'"):
        plugins.names("runtimes")


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        ("NotARuntime", "does not fulfil edgeship.contracts.Runtime"),
        ("Raises", "cannot be loaded: RuntimeError: no licence"),
        ("Absent", "cannot be loaded: AttributeError"),
    ],
)
def test_a_bad_plugin_is_named(entries: dict[str, list[EntryPoint]], cls: str, message: str) -> None:
    entries["edgeship.runtimes"] = [entry("bad", cls)]
    with pytest.raises(EdgeshipError) as caught:
        plugins.runtime("bad")
    assert f"imaginary_plugins:{cls}" in caught.value.message
    assert message in caught.value.message


def test_a_converter_whose_packages_are_missing(entries: dict[str, list[EntryPoint]], tmp_path: Path) -> None:
    entries["edgeship.converters"] = [entry("toy", "NeedsMore", "converters")]
    source = Source(tmp_path, "keras", "keras", "", (), (), 0, True)
    with pytest.raises(MissingPackageError, match="toy needs more, most"):
        plugins.convert("toy", source, "float32", ConvertOptions(), tmp_path)
