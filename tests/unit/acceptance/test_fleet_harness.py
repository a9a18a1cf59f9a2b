"""The parts of the fleet that judge and count; the fleet itself is in tests/e2e/test_fleet.py."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import pytest
from tests.acceptance.fleet import costs, counts, page, plot, story, web
from tests.acceptance.fleet.__main__ import RECORD
from tests.acceptance.fleet.breaking import Network
from tests.acceptance.fleet.costs import Prices
from tests.acceptance.fleet.run import Announced
from tests.acceptance.fleet.story import Act

HASH = "ab" * 32


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("metadata/2.root.json", "root probe"),
        ("metadata/timestamp.json", "timestamp"),
        ("metadata/12.rollout.json", "rollout"),
        (f"targets/rollout/digits/{HASH}.v1.json", "rollout"),
        (f"targets/models/digits/v1/{HASH}.policy.json", "policy"),
        (f"targets/models/digits/v1/1.1.0/tflite-float32/{HASH}.manifest.json", "manifest"),
        (f"targets/models/digits/v1/patches/{HASH}.0123456789ab-0123456789ac.esd", "patch"),
        (f"targets/models/digits/v1/1.1.0/tflite-float32/{HASH}.model.tflite.br", "whole model"),
        (f"targets/models/digits/v1/1.1.0/tflite-float32/golden/{HASH}.input_0.npy", "golden samples"),
    ],
)
def test_requests_are_told_apart_by_their_path(path: str, kind: str) -> None:
    assert web.kind(path) == kind


def test_devices_are_drawn_the_same_each_time_and_recover_before_the_end() -> None:
    plans = [story.plan(index, 7) for index in range(1000)]
    assert plans == [story.plan(index, 7) for index in range(1000)]
    assert len({plan.install_id for plan in plans}) == 1000
    for plan in plans:
        if plan.ends:
            assert 4 <= plan.begins < plan.ends < 7 * 24 - 8
    assert {plan.trouble for plan in plans} == {"none", *story.TROUBLES}


def test_devices_check_as_the_systemd_timer_says() -> None:
    assert story.timer() == story.Timer(boot=5 / 60, every=4, jitter=1)


def test_a_halt_takes_all_back_and_resuming_gives_the_same_share() -> None:
    said = Announced()
    for act in (Act(0, "publish", "1.0.0"), Act(1, "publish", "1.1.0"), Act(2, "start", "1.1.0", 10)):
        said = said.after(act)
    assert (said.stable, said.version, said.percent, said.since) == ("1.0.0", "1.1.0", 10, 2)
    halted = said.after(Act(3, "halt"))
    assert halted.percent == 0
    assert halted.after(Act(4, "resume")).percent == 10
    assert said.after(Act(3, "finish")).stable == "1.1.0"


def _row(**changes: Any) -> dict[str, Any]:
    own = {"requests": {"timestamp": 1}, "bytes": {"timestamp": 469}, "outcomes": {"current": 1}}
    return {"index": 3, "trouble": "none", "counted": {"current": 1}, **own, **changes}


def test_a_device_that_counted_otherwise_than_nginx_is_found() -> None:
    log = counts.Log([web.Line(3, "timestamp", 200, 469, 800, 120, resumed=False)])
    assert log.disagreements([_row()]) == []
    assert len(log.disagreements([_row(bytes={"timestamp": 470})])) == 1
    assert len(log.disagreements([_row(requests={})])) == 1
    assert len(log.disagreements([_row(counted={"current": 2})])) == 1
    assert log.disagreements([_row(trouble="breaks", bytes={"timestamp": 10})]) == []
    assert len(log.disagreements([_row(trouble="breaks", bytes={"timestamp": 470})])) == 1


def test_a_network_ends_connections_after_its_budget() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer, args=(server, 3))
        thread.start()
        with Network(server.getsockname()[1]) as network:
            for budget, got in ((1 << 30, 5000), (1234, 1234)):
                network.budget = budget
                with socket.create_connection(("127.0.0.1", network.port)) as client:
                    client.sendall(b"?")
                    assert len(_all(client)) == got
            network.budget = 0
            with socket.create_connection(("127.0.0.1", network.port)) as client:
                assert _all(client) == b""
            assert network.broken == 2
        with socket.create_connection(server.getsockname()) as client:
            client.sendall(b"?")
            _all(client)
        thread.join()


def _answer(server: socket.socket, times: int) -> None:
    for _ in range(times):
        client, _ = server.accept()
        with client:
            client.recv(1)
            try:
                client.sendall(b"x" * 5000)
            except OSError:
                pass


def _all(client: socket.socket) -> bytes:
    found = b""
    try:
        while chunk := client.recv(4096):
            found += chunk
    except ConnectionResetError:
        pass
    return found


def record() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORD.read_text(encoding="utf-8"))
    return found


def test_in_the_week_of_the_record_no_device_was_without_a_model_and_none_ran_the_bad_one() -> None:
    found = record()
    assert (found["devices"], found["days"]) == (1000, 7)
    assert found["violations"] == []
    assert [day["without"] for day in found["daily"]] == [0] * 7
    assert not any("1.2.0" in running for _, running in found["samples"])


def test_the_page_is_what_the_record_says() -> None:
    assert page.PAGE.read_text(encoding="utf-8") == page.text(record())
    assert page.PAGE.with_suffix(".svg").read_text(encoding="utf-8") == plot.shares(record())


def test_costs_are_counts_times_prices() -> None:
    month = costs.Month("", checks=100, requests=200, sent_bytes=50_000)
    requests, sent = month.cost(Prices(gigabyte=0.1, requests=0.01, tls_bytes=500))
    assert requests == pytest.approx(10_000_000 * 200 / 10_000 * 0.01)
    assert sent == pytest.approx(10_000_000 * 100_000 / 1e9 * 0.1)


def test_without_patches_a_month_takes_more_bytes_and_as_many_requests() -> None:
    found = record()
    with_patches, without = costs.measured(found), costs.measured(found, deltas=False)
    assert without.sent_bytes > with_patches.sent_bytes
    assert without.requests == with_patches.requests
    assert 0 < costs.patch_share(found) < 1
