"""Real browsers measure real files, and whatever happens to a page costs only its own rows."""

from __future__ import annotations

import hashlib
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from edgeship import plugins
from edgeship.errors import InputError, TargetUnavailable
from edgeship.types import OPEN_PAGE, Artifact, FileEntry, Measurement, NotMeasured, Plan, Progress
from edgeship_benchmarks import node
from edgeship_benchmarks.targets.browser import BrowserTarget, pages, processes, runtimes, starts
from tests import tiny_tflite
from tests.browser import executable as chromium
from tests.browser import missing as missing_browser

PLAN = Plan(min_runs=30, min_seconds=0.0, rounds=3, warmup_max_runs=30)
X = {"x": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)}


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    if node.missing():
        pytest.skip(f"needs Node and the packages: {node.REMEDY}")


@pytest.fixture(params=["chromium", "firefox"])
def browser(request: pytest.FixtureRequest) -> str:
    try:
        processes.executable(request.param)
    except TargetUnavailable as error:
        pytest.skip(f"needs {request.param.capitalize()}: {error.remedy}")
    return str(request.param)


@pytest.fixture(autouse=True)
def one_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """The contract suite runs all of them."""
    monkeypatch.setattr(runtimes, "RUNTIMES", {"tflite": ("litert-web-wasm",)})
    monkeypatch.setattr("edgeship_benchmarks.targets.browser.course.RUNTIMES", runtimes.RUNTIMES)


@pytest.fixture(autouse=True)
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A word in the command or the environment of every process that a browser of this test consists of."""
    place = tmp_path / "started-here"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield str(place)
    assert processes.processes_with(str(place)) == []


def artifact(folder: Path, variant: str, content: bytes, name: str = "model.tflite") -> Artifact:
    place = folder / variant
    place.mkdir()
    (place / name).write_bytes(content)
    entry = FileEntry(name, hashlib.sha256(content).hexdigest(), len(content))
    return Artifact(place, "tflite", variant, (entry,), (), (), "0" * 64)


@pytest.fixture
def three(tmp_path: Path) -> list[Artifact]:
    good = tiny_tflite.model_bytes()
    files = {"a": "model.tflite", "b": "it's @ñ #1?.tflite", "c": "100%25.tflite"}
    return [artifact(tmp_path, variant, good, name) for variant, name in files.items()]


def kinds(rows: object) -> list[str]:
    assert isinstance(rows, list)
    return [f"{row.artifact} {type(row).__name__}" for row in rows]


def test_rows_say_what_a_page_pays(browser: str, three: list[Artifact]) -> None:
    rows = BrowserTarget(browser).measure(three[:2], X, PLAN)
    assert kinds(rows) == ["tflite/a Measurement", "tflite/b Measurement"]
    for row in rows:
        assert isinstance(row, Measurement)
        assert (row.target, row.runtime, row.group) == (f"browser:{browser}", "litert-web-wasm", "litert-web-wasm")
        assert row.parity is not None
        assert row.parity.largest_difference is not None
        assert row.parity.largest_difference < 1e-6
        assert row.page is not None
        assert row.page.encoding == "br"
        assert 2_000_000 < row.page.runtime_bytes < 3_000_000
        assert row.page.model_bytes in range(300, three[0].size_bytes + 1)
        total = row.import_ms + row.page.download_ms + row.load_ms + row.first_inference_ms
        assert row.page.cold_ms == pytest.approx(total)
        assert row.page.warm_ms is not None
        assert row.page.offline_ms is not None
        facts = row.device.facts
        assert (facts["cross_origin_isolated"], facts["secure_context"]) == ("yes", "yes")
        assert 0 < float(facts["clock_step_ms"]) <= 0.1
        # How many it takes depends on how busy this machine is; `test_tfjs_times` says by which rule.
        means = int(facts["inferences_per_time"]) > 1
        assert any("each time is the mean of" in note for note in row.notes) == means
        assert browser in facts["user_agent"].lower() or browser == "chromium"


def test_check_gives_the_outputs(browser: str, three: list[Artifact], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeship_benchmarks.targets.browser.course._BATCH_BYTES", 32)  # in pieces of two
    x = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    (found,) = BrowserTarget(browser).check(three[0], {"x": x}).values()
    np.testing.assert_allclose(found, tiny_tflite.expected(x), atol=1e-6)


def test_a_broken_model_costs_its_own_row(browser: str, tmp_path: Path, three: list[Artifact]) -> None:
    broken = artifact(tmp_path, "broken", tiny_tflite.model_bytes()[:200])
    changed = artifact(tmp_path, "changed", tiny_tflite.model_bytes())
    (changed.path / "model.tflite").write_bytes(b"other")
    rows = BrowserTarget(browser).measure([broken, three[0], changed], X, PLAN)
    assert kinds(rows) == ["tflite/broken NotMeasured", "tflite/a Measurement", "tflite/changed NotMeasured"]
    first, _, last = rows
    assert isinstance(first, NotMeasured)
    assert isinstance(last, NotMeasured)
    assert "LiteRT.js cannot open model.tflite" in first.reason
    assert "has changed since it was made" in last.reason


def test_int8_inputs_are_refused_by_name(browser: str, tmp_path: Path) -> None:
    integers = artifact(tmp_path, "int8", tiny_tflite.image_model_bytes(tiny_tflite.tfl.TensorType.INT8))
    (row,) = BrowserTarget(browser).measure([integers], {"image": np.zeros((1, 2, 2, 3), np.int8)}, PLAN)
    assert isinstance(row, NotMeasured)
    assert "int8-floatio" in row.remedy


def test_a_page_that_dies_while_starting_costs_one_row(
    browser: str, started: str, three: list[Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The content process is killed, as by a crash or by the kernel, before the first inference of the second file."""
    load = starts.Starter.open

    def dies(self: starts.Starter) -> object:
        session = load(self)
        if self.artifact.variant == "b":
            _kill_renderers(browser, started)
        return session

    monkeypatch.setattr(starts.Starter, "open", dies)
    rows = BrowserTarget(browser).measure(three, X, PLAN)
    assert [row.artifact for row in rows] == ["tflite/a", "tflite/b", "tflite/c"]
    first, second, third = rows
    assert isinstance(second, NotMeasured)
    assert "closed or crashed" in second.reason
    assert isinstance(first, Measurement)
    assert isinstance(third, Measurement)
    assert first.group == third.group  # interleaved all the same


def test_a_page_that_dies_of_all_files_together_measures_each_alone(
    browser: str, started: str, three: list[Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[bool] = []

    def progress(event: Progress) -> None:
        if event.stage == "measure" and event.message.startswith("round 1") and not killed:
            killed.append(True)
            _kill_renderers(browser, started)

    rows = BrowserTarget(browser).measure(three[:2], X, PLAN, progress)
    assert killed
    first, second = rows
    assert isinstance(first, Measurement)
    assert isinstance(second, Measurement)
    assert first.group != second.group
    assert any("not comparable" in note for note in first.notes)


def _kill_renderers(browser: str, started: str) -> None:
    """The processes that run pages, not the browser itself."""
    word = b"--type=renderer" if browser == "chromium" else b"-isForBrowser"
    for pid in processes.processes_with(started):
        with suppress(FileNotFoundError, ProcessLookupError):  # browsers end processes of their own all the time
            if word in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)


def test_nothing_but_words_with_meaning() -> None:
    for word in ("", "safari", "chromium:1", "any/x"):
        with pytest.raises(InputError, match="no target is called"):
            BrowserTarget(word)
    assert plugins.target("browser:any").name == "browser:any"


def test_preparing_installs_the_runtimes() -> None:
    (sentence,) = BrowserTarget("any").prepare()
    assert str(node.packages_folder()) in sentence


class TestAny:
    """`browser:any`, with a second browser on the same machine for a phone."""

    @pytest.fixture(autouse=True)
    def loopback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pages, "lan_address", lambda: "127.0.0.1")

    def test_whoever_opens_the_address_measures(self, browser: str, three: list[Artifact]) -> None:
        opened: list[processes.Browser] = []

        def progress(event: Progress) -> None:
            if event.stage == OPEN_PAGE and event.message:
                assert event.message.startswith("http://127.0.0.1:")
                opened.append(processes.Browser(browser, event.message))

        try:
            rows = BrowserTarget("any").measure(three[:1], X, PLAN, progress)
        finally:
            for one in opened:
                one.close()
        assert len(opened) == 1
        assert kinds(rows) == ["tflite/a Measurement"]
        assert rows[0].target == "browser:any"

    def test_a_person_sees_what_is_going_on(self, three: list[Artifact]) -> None:
        """On a screen of the size of a phone: the result, that it is done, and nothing wider than the screen."""
        if missing_browser():
            pytest.skip(f"needs {missing_browser()}")
        seen: dict[str, object] = {}

        def phone(address: str) -> None:
            from playwright.sync_api import sync_playwright

            with sync_playwright() as driver:
                one = driver.chromium.launch(executable_path=chromium())
                page = one.new_page(viewport={"width": 390, "height": 844})
                page.goto(address)
                page.wait_for_function("document.body.className === 'done'", timeout=120_000)
                seen["title"] = page.inner_text("#title")
                seen["rows"] = page.inner_text("#rows")
                seen["overflow"] = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                one.close()

        threads: list[threading.Thread] = []

        def progress(event: Progress) -> None:
            if event.stage == OPEN_PAGE and event.message:
                threads.append(threading.Thread(target=phone, args=(event.message,)))
                threads[0].start()

        rows = BrowserTarget("any").measure(three[:1], X, PLAN, progress)
        threads[0].join(60)
        assert kinds(rows) == ["tflite/a Measurement"]
        assert (seen["title"], seen["overflow"]) == ("Done", 0)
        assert "tflite/a\nlitert-web-wasm" in str(seen["rows"])
        assert " ms" in str(seen["rows"])

    def test_nobody_comes(self, three: list[Artifact], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pages, "OPEN_SECONDS", 0.2)
        with pytest.raises(TargetUnavailable, match=r"nobody opened the page within 0\.2 s"):
            BrowserTarget("any").measure(three[:1], X, PLAN)

    def test_who_never_came_is_not_waited_for_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pages, "OPEN_SECONDS", 0.1)
        asked: list[Progress] = []
        with pages.Pages("any", asked.append) as page:
            for _ in range(3):
                with pytest.raises(TargetUnavailable, match="nobody opened"):
                    page.fresh()
        assert [event.stage for event in asked] == [OPEN_PAGE]

    def test_a_page_that_is_closed_midway(self, three: list[Artifact], monkeypatch: pytest.MonkeyPatch) -> None:
        """The first is closed while it measures; who opens the page again goes on with the rest."""
        opened: list[processes.Browser] = []
        cold = starts.Starter.cold

        def closes(self: starts.Starter, expected: object) -> starts.Cold:
            if self.artifact.variant == "a":
                opened[0].close()
            return cold(self, expected)  # type: ignore[arg-type] # passed on

        def progress(event: Progress) -> None:
            if event.stage == OPEN_PAGE and event.message:
                opened.append(processes.Browser("chromium", event.message))

        if chromium() is None:
            pytest.skip("needs Chromium: apt-get install chromium")
        monkeypatch.setattr(starts.Starter, "cold", closes)
        monkeypatch.setitem(pages.GRACE_SECONDS, False, 1.0)
        try:
            rows = BrowserTarget("any").measure(three[:2], X, PLAN, progress)
        finally:
            for one in opened:
                one.close()
        assert len(opened) == 2
        assert kinds(rows) == ["tflite/a NotMeasured", "tflite/b Measurement"]
