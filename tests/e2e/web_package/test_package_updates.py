"""A package that follows a real repository, in real browsers: what it starts, takes, and never takes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.web_package.driven import Driven, Fault
from tests.e2e.web_package.releases import FILL

SIZE = 32 * 32
SHARD, PATCH = "group1-shard1of1", ".esd"
_BEGUN = "/site/begun"
#: A worker that says that it runs, and never comes to answer.
HANGS = Fault("worker.js", "prefix", f"void fetch('{_BEGUN}'); await new Promise(() => {{}});")


class Follower:
    """A page with the digits package that follows the repository, and what its releases give."""

    def __init__(self, browser: Driven, released: Path) -> None:
        self.browser = browser
        self._released = released
        self._root = (released / "root.json").read_text()
        self._answers: dict[str, list[float]] = json.loads((released / "answers.json").read_text())

    def offers(self, version: str, *faults: Fault) -> None:
        """The repository as it was with this release for all."""
        self.browser.site.folders["repo"] = self._released / version
        self.browser.site.faults = list(faults)
        self.browser.site.sent.clear()

    def start(self, **given: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.browser.do("follow", root=self._root, **given)
        return found

    def hang(self) -> None:
        """A start, in a page of its own, that does not end."""
        log = self.browser.site.log
        log.clear()
        self.browser.go()
        self.browser.do("begin", root=self._root)
        deadline = time.monotonic() + 60
        while _BEGUN not in log:  # a page that is left before its worker runs has stopped, which is no failure
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def look(self, **given: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.browser.do("look", **given)
        return found

    def again(self) -> dict[str, Any]:
        found: dict[str, Any] = self.browser.do("again")
        return found

    def gives(self, version: str) -> None:
        """The model that serves gives what this release gives in Python."""
        found = self.browser.do("predict", count=SIZE, fill=FILL)
        assert found == pytest.approx(self._answers[version], abs=1e-5)
        others = [answer for name, answer in self._answers.items() if name != version]
        assert all(found != pytest.approx(answer, abs=1e-5) for answer in others)

    def sent(self, word: str) -> int:
        """Bytes that the repository sent, of files whose address has a word."""
        found = self.browser.site.sent.items()
        return sum(size for path, size in found if path.startswith("/repo/") and word in path)


@pytest.fixture
def page(browser: Driven, released: Path) -> Follower:
    """A page under an origin of its own, and a repository with the package's own files."""
    found = Follower(browser, released)
    browser.fresh()
    found.offers("1.0.0")
    return found


def at(page: Follower, version: str) -> None:
    """Have a release active, and the model of it serving."""
    page.start()
    page.offers(version)
    assert page.look()["status"] == "ready"
    assert page.again()["info"]["release"] == {"version": version, "variant": "tfjs-uint8"}
    page.gives(version)


def test_from_the_packages_own_files_to_a_release_and_without_a_network(page: Follower) -> None:
    found = page.start()
    assert found["info"]["release"] is None
    assert found["state"]["status"] == "idle"
    assert found["state"]["persistent"]
    page.gives("1.0.0")
    # The release that the package was made of: nothing of the model is fetched, and nothing new is ready.
    assert page.look()["status"] == "current"
    assert page.sent(SHARD) == page.sent("model.json") == 0

    page.offers("1.1.0")
    state = page.look()
    assert (state["status"], state["next"]) == ("ready", {"version": "1.1.0", "variant": "tfjs-uint8"})
    assert state["statuses"] == ["checking", "downloading", "testing", "ready"]
    # Changed weights came as a patch, unchanged files not at all.
    assert 0 < page.sent(PATCH) < 3000
    assert page.sent(SHARD) == page.sent("model.json") == page.sent("golden/") == 0
    assert state["loaded"] == state["total"] == page.sent(PATCH)
    assert any(path.endswith("/decoder.js") for path in page.browser.site.log)  # not in the page's thread
    page.gives("1.0.0")  # the model that was loaded goes on
    assert page.again()["info"]["release"]["version"] == "1.1.0"
    page.gives("1.1.0")
    assert page.look()["status"] == "current"

    page.browser.do("offline", pkg="digits")
    page.browser.down()
    page.browser.go()
    assert page.start()["info"]["release"]["version"] == "1.1.0"
    page.gives("1.1.0")
    state = page.look()
    assert (state["status"], state["error"]["code"]) == ("failed", "unavailable")
    page.gives("1.1.0")


def test_an_update_appears_while_the_page_is_open(page: Follower) -> None:
    page.start(every=0.002)
    page.browser.do("reached", status="current")
    page.offers("1.1.0")
    assert page.browser.do("reached", status="ready")["next"]["version"] == "1.1.0"
    page.browser.do("close")
    assert page.look()["error"]["code"] == "input"
    page.gives("1.0.0")
    page.browser.go()
    assert page.start()["info"]["release"]["version"] == "1.1.0"
    page.gives("1.1.0")


#: What is done to the repository -> status, code, words. Metadata come first: good ones are not asked for twice.
TAMPERING: dict[str, tuple[tuple[Fault, ...], str, str | None, str]] = {
    "404 of the timestamp": ((Fault("timestamp.json", "404"),), "failed", "unavailable", "is not there"),
    "edited timestamp": ((Fault("timestamp.json", "flip"),), "failed", "refused", ""),
    "truncated snapshot": ((Fault(".snapshot.json", "cut"),), "failed", "refused", "not what was signed"),
    "edited targets": ((Fault(".targets.json", "flip"),), "failed", "refused", "is not what was signed"),
    "a bit of the manifest": ((Fault(".manifest.json", "flip"),), "kept", None, "is not the file"),
    "a bit of the weights": ((Fault(PATCH, "flip"), Fault(SHARD, "flip")), "kept", None, "is not the file"),
    "truncated weights": ((Fault(PATCH, "cut"), Fault(SHARD, "cut")), "failed", "unavailable", "ended after"),
    "404 of the weights": ((Fault(PATCH, "404"), Fault(SHARD, "404")), "failed", "unavailable", "answers 404"),
    "a web page": ((Fault("/repo/", "page"),), "failed", "unavailable", "web page"),
    "a wrong type": ((Fault("/repo/targets/", "type"),), "failed", "unavailable", "web page"),
}


def test_whatever_is_tampered_with_the_good_release_serves(page: Follower) -> None:
    at(page, "1.1.0")
    for name, (faults, status, code, words) in TAMPERING.items():
        page.offers("1.2.0", *faults)
        state = page.look()
        said = state["error"] or {"code": None, "message": " ".join(state["refused"])}
        assert (state["status"], said["code"]) == (status, code), name
        assert words in said["message"], name
        assert state["next"]["version"] == "1.1.0", name
        page.gives("1.1.0")
    page.offers("1.0.0")  # signed, and older than what was seen
    state = page.look()
    assert (state["status"], state["error"]["code"]) == ("failed", "refused")
    assert "was seen already" in state["error"]["message"]
    page.browser.go()
    assert page.start()["info"]["release"]["version"] == "1.1.0"
    page.gives("1.1.0")
    page.offers("1.2.0")  # nothing of it has poisoned anything
    assert page.look()["status"] == "ready"
    assert page.again()["info"]["release"]["version"] == "1.2.0"
    page.gives("1.2.0")


def test_patches_that_are_damaged_leave_the_whole_file(page: Follower) -> None:
    at(page, "1.1.0")
    page.offers("1.2.0", Fault(PATCH, "flip"))
    assert page.look()["status"] == "ready"
    assert page.sent(SHARD) > 20_000
    page.again()
    page.gives("1.2.0")


def test_a_release_that_fails_its_golden_samples_never_serves(page: Follower) -> None:
    at(page, "1.2.0")
    page.offers("1.3.0")
    state = page.look()
    assert state["status"] == "kept"
    assert "self-test" in state["refused"][0]
    assert page.again()["info"]["release"]["version"] == "1.2.0"
    page.gives("1.2.0")


def test_going_back(page: Follower) -> None:
    page.start()
    page.look()  # 1.0.0 is active
    page.offers("1.1.0")
    page.look()
    page.again()
    state = page.browser.do("back", reason="people complain")
    assert (state["status"], state["next"]["version"]) == ("ready", "1.0.0")
    page.gives("1.1.0")
    assert page.again()["info"]["release"]["version"] == "1.0.0"
    page.gives("1.0.0")
    state = page.look()
    assert (state["status"], state["next"]["version"]) == ("kept", "1.0.0")  # 1.1.0 is not tried again


def test_a_full_disk(page: Follower) -> None:
    at(page, "1.1.0")
    page.offers("1.2.0")
    page.browser.do("full", full=True)
    state = page.look()
    assert (state["status"], state["error"]["code"]) == ("failed", "storage")
    assert state["error"]["remedy"]
    page.gives("1.1.0")
    page.again()
    page.gives("1.1.0")
    page.browser.do("full", full=False)
    assert page.look()["status"] == "ready"


def test_storage_that_is_blocked_lasts_as_long_as_the_page(page: Follower) -> None:
    page.browser.do("blocked")
    found = page.start()
    assert found["info"]["release"] is None
    assert not found["state"]["persistent"]
    page.gives("1.0.0")
    page.offers("1.1.0")
    assert page.look()["status"] == "ready"
    assert page.again()["info"]["release"]["version"] == "1.1.0"
    page.gives("1.1.0")
    page.browser.go()
    page.browser.do("blocked")
    assert page.start()["info"]["release"] is None
    page.gives("1.0.0")


def test_a_release_for_litert(page: Follower) -> None:
    """A .tflite file of a package with both formats, which is the same release for devices."""
    found = page.start(pkg="both", options={"runtime": "litert-wasm"}, line="both/v1")
    assert found["info"]["release"] is None
    before = page.browser.do("predict", count=SIZE, fill=FILL)
    page.offers("litert")
    state = page.look()
    assert (state["status"], state["next"]) == ("current", {"version": "1.0.0", "variant": "tflite-float32"})
    assert page.again()["info"]["release"]["variant"] == "tflite-float32"
    assert page.browser.do("predict", count=SIZE, fill=FILL) == before


def test_blocked_workers(page: Follower) -> None:
    page.browser.go("no-worker")
    assert page.start()["info"]["thread"] == "page"
    page.offers("1.1.0")
    assert page.look()["status"] == "ready"
    page.gives("1.0.0")  # the self-test ran beside it
    assert page.again()["info"]["thread"] == "page"
    page.gives("1.1.0")


def test_a_worker_that_is_not_there_says_nothing_about_a_release(page: Follower) -> None:
    page.start()
    page.offers("1.1.0", Fault("worker.js", "404"))
    state = page.look()
    assert (state["status"], state["error"]["code"]) == ("failed", "unavailable")
    page.offers("1.1.0")
    assert page.look()["status"] == "ready"


def test_a_release_whose_starts_do_not_end_is_given_up(page: Follower) -> None:
    page.start()
    page.offers("1.1.0")
    assert page.look()["status"] == "ready"
    page.offers("1.1.0", HANGS)
    for _ in range(3):
        page.hang()
    page.offers("1.1.0")
    page.browser.go()
    found = page.start()
    assert found["info"]["release"] is None
    page.gives("1.0.0")
    state = page.look()
    assert (state["status"], state["next"]) == ("failed", None)
    assert state["error"]["code"] == "refused"  # all that is offered failed here
    page.gives("1.0.0")


def test_a_start_that_ended_settles_a_release(page: Follower) -> None:
    at(page, "1.1.0")
    page.offers("1.1.0", HANGS)
    for _ in range(3):
        page.hang()
    page.offers("1.1.0")
    page.browser.go()
    assert page.start()["info"]["release"]["version"] == "1.1.0"


def test_a_look_that_is_aborted_throws_its_reason(page: Follower) -> None:
    page.start()
    assert page.look(abort=True)["thrown"] == "AbortError"
    assert page.look()["status"] == "current"
