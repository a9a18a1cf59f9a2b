"""The web demo as a person uses it, in real Chromium and Firefox; what is asked of every site is asked of it too."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeship.data import digits
from edgeship.publish import keys, release, rollout
from edgeship.publish.repository import Repository
from edgeship.publish.stores import open_store
from tests import npm
from tests.driving import Page, driven, until
from tests.e2e.conftest import Demo
from tests.e2e.web_package import releases
from tests.sharing import Shared
from tests.web_demo_site import APP, served

_MOST_BYTES = 100_000
READY = "document.querySelector('#running-says').textContent.includes('ready')"
UPDATES = "document.querySelector('#updates-say').textContent"
SAYS = "document.querySelector('#says').textContent"


#: Put a file before the page as if it was chosen, or dropped: its bytes in base64, its name, how.
_GIVE = """(async () => {
  const bytes = Uint8Array.from(atob('%s'), (c) => c.charCodeAt(0));
  const given = new DataTransfer();
  given.items.add(new File([bytes], '%s', { type: 'image/png' }));
  %s;
  return 0;
})()"""
_CHOOSE = """const file = document.querySelector('#file');
  file.files = given.files;
  file.dispatchEvent(new Event('change'))"""
_DROP = """const drop = new DragEvent('drop', { dataTransfer: given, cancelable: true });
  document.querySelector('#drop').dispatchEvent(drop)"""
#: An inline script, which the policy forbids.
_INLINE = """new Promise((done) => {
  addEventListener('securitypolicyviolation', () => done(0));
  document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.own = 1' }));
})"""
_AXE = """axe.run({ resultTypes: ['violations'] }).then(({ violations, passes }) => (
  { passes: passes.length, violations: violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]) }))"""
#: A camera that a person allows late, which is when a test says so.
_LATE = """navigator.mediaDevices.getUserMedia = () => new Promise((allow) => {
  window.stream = document.createElement('canvas').captureStream();
  window.allow = () => allow(window.stream);
})"""
#: What a finger misses.
_SMALL = """[...document.querySelectorAll('button, label')]
  .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 40).map((e) => e.outerHTML)"""
#: How many predictions of a runtime the page has counted.
_COUNT = "document.querySelector('input[value={}]').closest('tr').cells[1].textContent"
#: Where the pad is, once it is in the window.
_PAD = """(() => {
  const pad = document.querySelector('#pad');
  pad.scrollIntoView({ block: 'center' });
  const { left, top, width } = pad.getBoundingClientRect();
  return [left, top, width];
})()"""


@pytest.fixture(scope="module")
def app(shared: Shared) -> Path:
    """The app with the packages of its lock, in a folder of its own."""
    found = npm.modules(APP)

    def make(folder: Path) -> None:
        shutil.copytree(APP, folder / "app", ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
        npm.linked(found, folder / "app")

    return shared("web demo app", make) / "app"


@pytest.fixture(scope="module")
def made(app: Path, demo: Demo, shared: Shared) -> Path:
    """What `make web-demo` makes, which has printed its address and was ended."""

    def make(folder: Path) -> None:
        command = [
            sys.executable,
            str(app / "make.py"),
            "--build",
            str(demo.build),
            "--out",
            str(folder),
            "--port",
            "0",
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
            assert running.stdout is not None
            lines = []
            for line in running.stdout:
                lines.append(line)
                if line.startswith("open http://127.0.0.1:"):
                    break
            running.terminate()
        assert lines[-1].startswith("open "), "".join(lines)

    return shared("web demo", make)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """A picture of each digit as a camera sees it, dark on grey paper, (10, 240, 320) uint8."""
    from PIL import Image

    data = digits.arrays()
    rng = np.random.default_rng(0)
    found = []
    for digit in range(10):
        image = data["x"][-200:][data["y"][-200:] == digit][0, :, :, 0]
        ink = np.asarray(Image.fromarray((image * 255).astype(np.uint8)).resize((130, 130), Image.Resampling.BICUBIC))
        sheet = np.full((240, 320), 200.0)
        sheet[50:180, 90:220] -= ink * 0.6
        found.append(np.clip(sheet + rng.normal(0, 4, sheet.shape), 0, 255).astype(np.uint8))
    return np.stack(found)


@pytest.fixture(scope="module", params=["chromium", "firefox"])
def browser(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def page(browser: str, images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One browser for all tests: each test's server is another origin, of which nothing is stored. Chromium has a
    camera, which sees a 3; Firefox has what this machine has."""
    video = tmp_path_factory.mktemp("camera") / "three.y4m"
    grey = np.full(240 * 320 // 2, 128, np.uint8).tobytes()
    video.write_bytes(b"YUV4MPEG2 W320 H240 F10:1 Ip C420jpeg\nFRAME\n" + images[3].tobytes() + grey)
    camera = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    with driven(browser, *camera, f"--use-file-for-fake-video-capture={video}") as found:
        yield found


def opened(page: Page, url: str) -> None:
    page.goto(url)
    until(page, READY)


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(40):
        page.press("Tab")
        if page.js(f"document.activeElement.matches({selector!r})"):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def draw(page: Page, *points: tuple[float, float]) -> None:
    """One stroke of the mouse, through places of the pad from 0 to 1."""
    left, top, size = page.js(_PAD)
    page.drag([(left + x * size, top + y * size) for x, y in points])


SEVEN = ((0.3, 0.25), (0.68, 0.25), (0.45, 0.8))


def test_keys_alone_reach_a_prediction(page: Page, made: Path) -> None:
    with served(made) as site:
        opened(page, site.url)
        tab_to(page, "#pad")
        assert page.js("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.press("ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowUp", "Space", *["ArrowRight"] * 6)
        for _ in range(3):
            page.press("ArrowDown", "ArrowLeft", "ArrowDown", "ArrowDown")
        page.press("Space")
        until(page, f"{SAYS}.includes(' 7 (')")
        assert page.js("document.querySelector('#digit').textContent") == "7"
        assert page.js("document.querySelector('#scores .best b').textContent") == "7"
        assert page.js("document.querySelector('#pad-says').textContent").startswith("Pen up, column")
        page.press("Delete")
        until(page, f"{SAYS} === 'Nothing is written yet.'")
        tab_to(page, "input[name=runtime]")
        page.press("ArrowDown")
        until(page, "document.querySelector('#running-says').textContent.startsWith('LiteRT.js on WebAssembly, in a')")
        tab_to(page, "#measure")
        page.press("Enter")
        until(page, f"{_COUNT.format('litert-wasm')} === '100'")
        told = page.js("document.querySelector('#histogram svg').getAttribute('aria-label')")
        assert told.startswith("Histogram of latencies of LiteRT.js on WebAssembly: 100 predictions, median")
        assert site.violations == []


def test_the_policy_is_in_force_and_nothing_else_is_refused(page: Page, made: Path) -> None:
    with served(made) as site:
        opened(page, site.url)
        draw(page, *SEVEN)
        until(page, f"{SAYS}.includes(' 7 (')")
        page.js(_INLINE)
        assert page.js("window.own") is None
        page.goto("about:blank")  # what is to be reported is on its way before the page ends
        assert [found["effective-directive"] for found in site.violations] == ["script-src-elem"]


def test_a_reload_without_the_server(page: Page, made: Path) -> None:
    with served(made) as site:
        opened(page, site.url)
        until(page, "document.querySelector('#offline-says').textContent.startsWith('Page and model are kept')")
    page.goto(site.url)
    until(page, READY)
    draw(page, *SEVEN)
    until(page, f"{SAYS}.includes(' 7 (')")


def test_pictures_are_read(page: Page, made: Path, images: np.ndarray) -> None:
    from PIL import Image

    with served(made) as site:
        opened(page, site.url)
        page.js("document.querySelector('input[value=picture]').click()")
        read = []
        for digit, image in enumerate(images):
            content = io.BytesIO()
            Image.fromarray(image if digit % 2 else 255 - image).save(content, "png")
            encoded = base64.b64encode(content.getvalue()).decode()
            page.js(_GIVE % (encoded, f"{digit}.png", _DROP if digit % 3 else _CHOOSE))
            until(page, f"document.querySelector('#picture-says').textContent === '{digit}.png was read.'")
            until(page, f"{_COUNT.format('tfjs-wasm')} === '{digit + 1}'")
            read.append(page.js("document.querySelector('#digit').textContent"))
        page.js(_GIVE % (base64.b64encode(b"no picture").decode(), "words.png", _DROP))
        until(page, "document.querySelector('#picture-says').textContent.startsWith('words.png is no picture')")
        assert site.violations == []
    assert sum(str(digit) == found for digit, found in enumerate(read)) >= 9, read


def test_a_camera_or_none(page: Page, browser: str, made: Path) -> None:
    with served(made) as site:
        opened(page, site.url)
        page.js("document.querySelector('input[value=camera]').click()")
        tab_to(page, "#camera-toggle")
        page.press("Enter")
        if browser == "chromium":
            until(page, f"{SAYS}.includes(' 3 (')")
            page.press("Enter")
            until(page, "document.querySelector('#camera-toggle').textContent === 'Start the camera'")
            assert page.js("document.querySelector('#video').srcObject") is None
        else:
            until(page, "document.querySelector('#camera-says').textContent.startsWith('No camera is there.')")
        assert site.violations == []


def test_a_camera_that_is_allowed_too_late_ends(page: Page, made: Path) -> None:
    with served(made) as site:
        opened(page, site.url)
        page.js(f"{_LATE}, 0")
        page.js("document.querySelector('input[value=camera]').click()")
        page.js("document.querySelector('#camera-toggle').click()")
        page.js("document.querySelector('input[value=draw]').click()")
        page.js("window.allow()")
        until(page, "window.stream.getTracks().every((track) => track.readyState === 'ended')")
        assert page.js("document.querySelector('#video').srcObject") is None
        assert page.js("document.querySelector('#camera-toggle').textContent") == "Start the camera"
        draw(page, *SEVEN)
        until(page, f"{SAYS}.includes(' 7 (')")


def test_a_missing_file_is_said_and_tried_again(page: Page, made: Path) -> None:
    with served(made) as site:
        weights = next(name for name in site.files if name.endswith(".bin"))
        kept = site.files.pop(weights)
        page.goto(site.url)
        until(page, "!document.querySelector('#trouble').hidden")
        assert page.js("document.querySelector('#trouble').innerText").startswith(
            "A file of the model is not on the server."
        )
        site.files[weights] = kept
        tab_to(page, "#trouble-again")
        page.press("Enter")
        until(page, READY)
        assert page.js("document.querySelector('#trouble').hidden")


def test_blocked_storage_is_said(page: Page, made: Path) -> None:
    with served(made) as site:
        for name in [name for name in site.files if Path(name).name.startswith("worker-")]:
            blocked = b"caches.open = () => Promise.reject(new DOMException('no', 'SecurityError'));"
            site.files[name].content = blocked + site.files[name].content
        opened(page, site.url)
        until(page, "document.querySelector('#offline-says').textContent.startsWith('Not kept: ')")
        draw(page, *SEVEN)
        until(page, f"{SAYS}.includes(' 7 (')")


def test_a_runtime_that_is_not_there_leaves_the_one_that_is(page: Page, made: Path) -> None:
    with served(made) as site:
        for name in [name for name in site.files if "litert" in name]:
            del site.files[name]
        opened(page, site.url)
        page.js("document.querySelector('input[value=litert-wasm]').click()")
        until(page, "!document.querySelector('#trouble').hidden")
        assert page.js("document.querySelector('#running-says').textContent") == "TF.js on WebAssembly goes on."
        assert page.js("document.querySelector('input[name=runtime]:checked').value") == "tfjs-wasm"
        draw(page, *SEVEN)
        until(page, f"{SAYS}.includes(' 7 (')")


def published(made: Path, build: Path, folder: Path) -> Repository:
    """The repository, for changes."""
    shutil.copytree(made / "updates", folder / "updates")
    return Repository(open_store(str(folder / "updates")), keys.load([made / "keys"], []))


def test_an_update_arrives_while_the_page_is_open(page: Page, made: Path, demo: Demo, tmp_path: Path) -> None:
    repository = published(made, demo.build, tmp_path)
    with served(made, tmp_path / "updates") as site:
        opened(page, site.url)
        until(page, f"{UPDATES} === '1.0.0 is what the repository has for this browser.'")
        release.publish(repository, [releases.retrained(demo.build, made / "digits", tmp_path, 1)])
        rollout.start(repository, releases.LINE, rollout.Shares({"1.1.0": 100.0}, {}), rollout.Constraints((), None))
        tab_to(page, "#updates-do")
        page.press("Enter")
        until(page, f"{UPDATES} === '1.1.0 is here and passed its test.'")
        draw(page, *SEVEN)
        until(page, f"{SAYS}.includes(' 7 (')")
        assert page.js("document.querySelector('#version').textContent") == "digits 1.0.0, as it came with the page"
        tab_to(page, "#updates-do")
        page.press("Enter")
        until(
            page, "document.querySelector('#version').textContent === 'digits 1.1.0 (tfjs-uint8), from the repository'"
        )
        until(page, f"{SAYS}.includes(' 7 (')")
        assert site.violations == []
    page.goto(site.url)  # without a server
    until(page, "document.querySelector('#version').textContent === 'digits 1.1.0 (tfjs-uint8), from the repository'")


def test_a_repository_of_others_is_refused(page: Page, made: Path, demo: Demo, tmp_path: Path) -> None:
    published(made, demo.build, tmp_path)
    metadata = tmp_path / "updates/metadata/timestamp.json"
    content = json.loads(metadata.read_bytes())
    content["signed"]["version"] += 1
    metadata.write_text(json.dumps(content))
    with served(made, tmp_path / "updates") as site:
        opened(page, site.url)
        until(page, f"{UPDATES}.startsWith('What the repository gave was refused')")
        assert page.js(UPDATES).endswith("1.0.0 goes on.")


def test_axe_finds_nothing(page: Page, browser: str, made: Path, app: Path) -> None:
    axe = (app / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")
    looks = [(1280, 900, False), (360, 740, False)]
    looks += [(1280, 900, True)] if browser == "chromium" else []  # Firefox is not told of dark by its driver
    for width, height, dark in looks:
        page.look(width, height, dark=dark)
        with served(made) as site:
            opened(page, site.url)
            draw(page, *SEVEN)
            until(page, f"{SAYS}.includes(' 7 (')")
            page.js(f"(() => {{ {axe} \n return 0 }})()")
            for mode in ("draw", "picture", "camera"):
                page.js(f"document.querySelector('input[value={mode}]').click()")
                found = page.js(_AXE)
                assert found["violations"] == []
                assert found["passes"] > 20
            assert page.js("document.documentElement.scrollWidth <= innerWidth")
            assert page.js(_SMALL) == []
    page.look(1280, 900)


def test_its_own_code_is_small(made: Path) -> None:
    site = made / "site"
    own = [site / "index.html", *(site / "assets").glob("index-*")]
    assert {path.suffix for path in own} == {".html", ".js", ".css"}
    assert sum(path.stat().st_size for path in own) < _MOST_BYTES


@pytest.mark.parametrize("script", ["lint", "types", "test"])
def test_its_sources_are_in_order(app: Path, made: Path, script: str) -> None:
    command = [shutil.which("npm") or "npm", "run", "--silent", script]
    done = subprocess.run(command, cwd=app, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
