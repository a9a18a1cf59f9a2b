"""What goes wrong between a package and its page is a typed error or does not matter; never a wrong prediction."""

from __future__ import annotations

import pytest

from tests.e2e.web_package.driven import Driven, Fault

SIZE = 32 * 32
WEIGHTS = "group1-shard1of1"
GRAPH = "/model-"
WASM = "tfjs-simd"


def error(browser: Driven, *faults: Fault, policy: str = "strict", pkg: str = "digits", **options: object) -> dict:
    browser.fresh(policy, *faults)
    found = browser.do("error", pkg=pkg, options=options)
    assert "none" not in found, found
    assert found["name"] == "ModelError"
    assert found["message"]
    assert found["remedy"]
    return found


@pytest.mark.parametrize("word", [WEIGHTS, GRAPH, WASM])
@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("404", "not-found"),
        ("page", "wrong-type"),
        ("flip", "wrong-hash"),
        ("cut", "truncated"),
        ("reset", "truncated"),
    ],
)
def test_a_damaged_file_is_named(browser: Driven, word: str, kind: str, code: str) -> None:
    if (kind, browser.name) == ("reset", "firefox"):
        code = "network|truncated"  # Firefox tries again by itself, and may fail before the first byte
    found = error(browser, Fault(word, kind))
    assert found["code"] in code.split("|")
    assert word.strip("/-") in found["message"]


def test_a_file_that_is_longer_is_refused(browser: Driven) -> None:
    assert error(browser, Fault(WEIGHTS, "prefix", "x"))["code"] == "wrong-hash"


def test_a_wrong_type_of_right_bytes_does_not_matter(browser: Driven) -> None:
    browser.fresh("strict", Fault(WEIGHTS, "type"))
    assert browser.do("load", pkg="digits")["info"]["runtime"] == "tfjs-wasm"


def test_a_runtime_that_is_served_as_no_script(browser: Driven) -> None:
    found = error(browser, Fault("assets/litert-", "type"), pkg="both", runtime="litert-wasm")
    assert found["code"] == "wrong-type"


@pytest.mark.parametrize("kind", ["404", "page", "type"])
def test_a_worker_that_is_not_there(browser: Driven, kind: str) -> None:
    assert error(browser, Fault("worker.js", kind))["code"] == "worker-blocked"


def test_blocked_workers_leave_the_page(browser: Driven) -> None:
    browser.fresh("no-worker")
    found = browser.do("outputs", pkg="digits", inputs="inputs.bin", size=SIZE)
    assert found["info"]["thread"] == "page"
    browser.fresh()
    again = browser.do("outputs", pkg="digits", inputs="inputs.bin", size=SIZE)
    assert again["info"]["thread"] == "worker"
    assert found["values"] == again["values"]


def test_litert_starts_again_in_the_page(browser: Driven) -> None:
    """Of its library there is one in a thread: models beside each other and one after another share it."""
    browser.fresh()
    options = {"runtime": "litert-wasm", "worker": False}
    for _ in range(2):
        assert browser.do("load", pkg="both", options=options)["info"]["thread"] == "page"
    first = browser.do("predict", count=SIZE)
    browser.do("dispose")
    browser.do("load", pkg="both", options=options)
    assert browser.do("predict", count=SIZE) == first


def test_blocked_workers_are_an_error_where_one_is_demanded(browser: Driven) -> None:
    assert error(browser, policy="no-worker", worker=True)["code"] == "worker-blocked"


def test_forbidden_webassembly(browser: Driven) -> None:
    found = error(browser, policy="no-wasm")
    assert found["code"] == "unsupported-runtime"
    assert "wasm-unsafe-eval" in found["remedy"]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("caches.open = () => Promise.reject(new DOMException('no', 'SecurityError'));", "cache-blocked"),
        ("Cache.prototype.put = () => Promise.reject(new DOMException('no', 'QuotaExceededError'));", "quota-exceeded"),
        ("Object.defineProperty(self, 'caches', { value: undefined });", None),
    ],
)
def test_a_store_that_fails_is_a_notice(browser: Driven, script: str, code: str | None) -> None:
    browser.fresh("strict", Fault("worker.js", "prefix", script))
    info = browser.do("load", pkg="digits")["info"]
    assert {notice["code"] for notice in info["notices"]} == ({code} if code else set())
    assert browser.do("predict", count=SIZE)


def test_progress_counts_bytes(browser: Driven) -> None:
    browser.fresh()
    events = browser.do("load", pkg="digits")["events"]
    assert events[-1]["status"] == "ready"
    assert events[-1]["allLoaded"] == events[-1]["allTotal"] > 400_000
    files = {event["file"] for event in events if event["status"] == "initiate"}
    done = {event["file"]: event for event in events if event["status"] == "done"}
    assert set(done) == files
    assert len(files) == 3
    assert all(event["loaded"] == event["total"] and not event["cached"] for event in done.values())
    assert all(event["allLoaded"] <= event["allTotal"] for event in events)


def test_an_abort_ends_the_load(browser: Driven) -> None:
    browser.fresh()
    found = browser.do("error", pkg="digits", abortAt="initiate")
    assert found["name"] == "AbortError"


def test_an_abort_ends_a_prediction_and_no_more(browser: Driven) -> None:
    browser.fresh()
    browser.do("load", pkg="digits")
    assert browser.do("stopped") == ["AbortError", "AbortError"]
    assert browser.do("predict", count=SIZE)


def test_warm_starts_ask_for_nothing_but_scripts(browser: Driven) -> None:
    browser.fresh()
    browser.do("load", pkg="digits")
    browser.go()
    browser.site.log.clear()
    events = browser.do("load", pkg="digits")["events"]
    assert all(event["cached"] for event in events if event["status"] == "done")
    assert not [path for path in browser.site.log if "/assets/" in path]


def test_a_damaged_server_does_not_touch_a_kept_model(browser: Driven) -> None:
    browser.fresh()
    browser.do("load", pkg="digits")
    expected = browser.do("predict", count=SIZE)
    browser.site.faults = [Fault("/assets/", "flip")]
    browser.go()
    browser.do("load", pkg="digits")
    assert browser.do("predict", count=SIZE) == expected


def test_a_start_without_a_network(browser: Driven) -> None:
    browser.fresh()
    browser.do("load", pkg="digits")
    expected = browser.do("predict", count=SIZE)
    assert browser.do("offline", pkg="digits") == {}
    browser.down()
    browser.go()
    info = browser.do("load", pkg="digits")["info"]
    assert info["thread"] == "worker"
    assert browser.do("predict", count=SIZE) == expected


def test_a_start_of_a_further_runtime_without_a_network(browser: Driven) -> None:
    """Its module is loaded by the worker: the page does not see it."""
    browser.fresh()
    browser.do("load", pkg="both", options={"runtime": "litert-wasm"})
    expected = browser.do("predict", count=SIZE)
    assert browser.do("offline", pkg="both") == {}
    browser.down()
    browser.go()
    assert browser.do("load", pkg="both", options={"runtime": "litert-wasm"})["info"]["thread"] == "worker"
    assert browser.do("predict", count=SIZE) == expected


def test_pages_are_kept_and_what_they_ask_for_is_not(browser: Driven) -> None:
    browser.fresh("strict", Fault("floats/decoder.js", "no-store"))
    browser.do("load", pkg="digits")
    assert browser.do("offline", pkg="digits", more=["../data/0.png"]) == {}
    kept = set(browser.do("kept"))
    assert kept >= {"/site/page.html", "/site/page.js", "/packages/digits/worker.js", "/data/0.png"}
    assert not [path for path in kept if "/assets/" in path]
    # Now the worker sees what is asked for: a script is kept, not a script that says no, nor data.
    browser.go()
    assert browser.do("ask", paths=["/data/1.png", "/packages/digits/manifest.json"]) == [200, 200]
    browser.do("script", path="/packages/floats/decoder.js")
    browser.do("script", path="/packages/digits/updates.js")
    found = set(browser.do("kept", path="/packages/digits/updates.js"))
    assert found == kept | {"/packages/digits/updates.js"}
    # What a page is no longer made of goes.
    assert browser.do("offline", pkg="digits") == {}
    assert "/data/0.png" not in browser.do("kept")


def test_a_service_worker_that_cannot_serve_the_page(browser: Driven) -> None:
    browser.fresh()
    for script in ("/packages/digits/sw.js", "/nothing.js"):
        found = browser.do("offline", pkg="digits", script=script)
        assert (found["name"], found["code"]) == ("ModelError", "worker-blocked")
        assert found["remedy"]


def test_files_of_another_release(browser: Driven) -> None:
    browser.fresh()
    browser.site.folders["release"] = browser.site.folders["data"] / "release"
    found = browser.do("supplied", pkg="digits", **{"from": "/release"})
    assert found["asked"] == ["model.json", "group1-shard1of1.bin"]
    browser.do("load", pkg="digits")
    assert found["values"] == browser.do("predict", count=SIZE)
