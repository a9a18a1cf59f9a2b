"""What is counted, who gets it, and that nothing else leaves the device."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.device_repository import Published, Server, X
from tests.enrolled_device import Device, try_release

from edgeship.codec import to_json
from edgeship.device import durable, roll_back, telemetry
from edgeship.device.config import Probation, Telemetry
from edgeship.device.telemetry import Histogram
from edgeship.errors import InputError


class Receiver(HTTPServer):
    """Takes what an OTLP/HTTP receiver takes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.got: list[tuple[str, dict[str, str], Any]] = []
        self.status = 200


class Taking(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    thread = threading.Thread(target=found.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


def use(device: Device, published: Published) -> None:
    """An update, predictions, a release that fails, a check without news."""
    device.set(probation=Probation(starts=0, minutes=0))
    device.update()
    with device.model() as model:
        model.predict(X)
        far = np.zeros((2, 4), np.float32)
        far[0, 0] = 1e6
        model.predict(far)
    published.release("1.1.0", 2, golden=X[:, :3])
    published.rollout("1.1.0")
    device.update()
    device.update()


def test_who_did_not_ask_for_counters_has_none(device: Device, published: Published, server: Server) -> None:
    use(device, published)
    assert not device.place.metrics.exists()
    assert all(path.startswith(("/metadata/", "/targets/")) for path, _ in server.requests)


def test_the_text_file_is_what_prometheus_reads(device: Device, published: Published, tmp_path: Path) -> None:
    textfile = tmp_path / "collector" / "points.prom"
    device.set(telemetry=Telemetry(textfile))
    use(device, published)
    text = textfile.read_text()
    assert 'edgeship_updates_total{model="points",outcome="updated"} 1' in text
    assert 'edgeship_updates_total{model="points",outcome="failed"} 1' in text
    assert 'edgeship_active_release{model="points",version="1.0.0"} 1' in text
    assert 'edgeship_prediction_seconds_count{model="points",version="1.0.0"} 10' in text
    assert 'edgeship_prediction_confidence_count{model="points",version="1.0.0"} 10' in text
    assert 'edgeship_input_outside_share_bucket{model="points",version="1.0.0",le="0.25"} 10' in text
    assert set(re.findall(r'(\w+)="', text)) == {"model", "outcome", "version", "le"}
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs prometheus, for promtool: apt-get install prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_receiver_gets_counters_and_nothing_that_tells_devices_apart(
    device: Device, published: Published, receiver: Receiver
) -> None:
    device.set(telemetry=Telemetry(otlp=f"http://127.0.0.1:{receiver.server_port}/v1/metrics"))
    use(device, published)
    assert [path for path, _, _ in receiver.got] == ["/v1/metrics"] * 3
    _, headers, body = receiver.got[-1]
    assert set(headers) == {"Host", "Accept-Encoding", "Content-Length", "Content-Type", "User-Agent"}
    everything = json.dumps(receiver.got)
    assert device.place.install_id.read_text() not in everything
    assert str(device.place.folder) not in everything
    resource = body["resourceMetrics"][0]
    assert {a["key"]: a["value"]["stringValue"] for a in resource["resource"]["attributes"]} == {
        "service.name": "edgeship", "model": "points",
    }  # fmt: skip
    metrics = {found["name"]: found for found in resource["scopeMetrics"][0]["metrics"]}
    point = metrics["edgeship_prediction_seconds"]["histogram"]["dataPoints"][0]
    assert point["count"] == "10"
    assert len(point["bucketCounts"]) == len(point["explicitBounds"]) + 1
    sums = {
        p["attributes"][0]["value"]["stringValue"]: p["asInt"]
        for p in metrics["edgeship_updates_total"]["sum"]["dataPoints"]
    }
    assert sums == {"updated": "1", "failed": "1", "kept": "1"}


def test_a_receiver_that_is_away_or_refuses_stops_no_update(
    device: Device, published: Published, receiver: Receiver
) -> None:
    receiver.status = 500
    device.set(telemetry=Telemetry(otlp=f"http://127.0.0.1:{receiver.server_port}/v1/metrics"))
    assert device.update().result == "updated"
    device.set(telemetry=Telemetry(otlp="http://127.0.0.1:1/v1/metrics"))
    assert device.update().result == "current"
    assert dict(telemetry.read(device.place).updates) == {"updated": 1, "current": 1}


def test_a_text_file_that_cannot_be_written_stops_no_update(device: Device, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    device.set(telemetry=Telemetry(tmp_path / "file" / "points.prom"))
    assert device.update().result == "updated"


def test_a_text_file_has_the_name_that_its_collector_reads() -> None:
    with pytest.raises(InputError, match=r"\.prom"):
        telemetry.destination("metrics.txt")


def test_processes_add_to_the_same_counters(device: Device, tmp_path: Path) -> None:
    device.set(telemetry=Telemetry(tmp_path / "points.prom"))
    for _ in range(2):
        recorder = telemetry.Recorder()
        recorder.add("prediction_seconds", [0.0004, 0.002, 9.0])
        telemetry.count_predictions(device.place, device.config, "1.0.0", recorder.take())
        assert recorder.take() == {}
    found = telemetry.read(device.place).releases["1.0.0"]["edgeship_prediction_seconds"]
    assert isinstance(found, Histogram)
    assert (found.counts[0], found.counts[2], found.counts[-1], sum(found.counts)) == (2, 2, 2, 6)


def test_what_is_not_finite_is_not_counted() -> None:
    recorder = telemetry.Recorder()
    recorder.add("prediction_confidence", [0.5, float("nan"), float("inf")])
    (counted,) = recorder.take().values()
    assert (sum(counted.counts), counted.sum) == (1, 0.5)


def test_counters_of_other_buckets_begin_anew(device: Device, tmp_path: Path) -> None:
    device.set(telemetry=Telemetry(tmp_path / "points.prom"))
    short = {"edgeship_prediction_seconds": Histogram((1, 2), 3.0)}
    device.place.metrics.write_text(to_json(telemetry.Totals(0.0, releases={"1.0.0": short})))
    assert telemetry.read(device.place).releases == {}
    telemetry.count_update(device.place, device.config, "current", "1.0.0")
    assert telemetry.read(device.place).updates == {"current": 1}


def test_only_the_newest_releases_are_kept(device: Device, tmp_path: Path) -> None:
    device.set(telemetry=Telemetry(tmp_path / "points.prom"))
    for release in ("1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"):
        recorder = telemetry.Recorder()
        recorder.add("prediction_seconds", [0.1])
        telemetry.count_predictions(device.place, device.config, release, recorder.take())
    assert list(telemetry.read(device.place).releases) == ["1.1.0", "1.2.0", "1.3.0", "1.4.0"]


def test_counters_that_cannot_be_written_are_a_problem(device: Device, tmp_path: Path) -> None:
    device.set(telemetry=Telemetry(textfile=tmp_path / "missing" / "points.prom"))
    assert f"the counters cannot be written into {tmp_path}/missing" in device.status().problems
    (tmp_path / "missing").mkdir()
    assert not any("counters" in problem for problem in device.status().problems)


@pytest.fixture
def counting(device: Device, published: Published, tmp_path: Path) -> Device:
    """1.1.0 is in probation, 1.0.0 to go back to; rollbacks and checks are counted in a file."""
    device.set(telemetry=Telemetry(textfile=tmp_path / "points.prom"))
    try_release(device, published)
    return device


@pytest.mark.parametrize("by", ["hand", "votes"])
def test_rollbacks_are_counted(counting: Device, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    count = telemetry.count_rollback

    def checked(*args: Any) -> None:
        with durable.locked(counting.place.folder / "state.lock", wait=False):
            count(*args)

    monkeypatch.setattr("edgeship.device.telemetry.count_rollback", checked)
    if by == "hand":
        roll_back(counting.place, "by hand")
    else:
        with counting.model() as model:
            model.report(ok=False)
            assert "rolled_back" not in telemetry.read(counting.place).updates
            model.report(ok=False)
    text = (counting.config.telemetry.textfile or Path()).read_text()
    assert 'edgeship_updates_total{model="points",outcome="rolled_back"} 1\n' in text
    assert 'edgeship_active_release{model="points",version="1.0.0"} 1\n' in text
    counting.update()
    assert telemetry.read(counting.place).updates["rolled_back"] == 1


def test_a_rollback_that_cannot_be_counted_is_one(counting: Device) -> None:
    counting.place.config.write_text("damaged")
    roll_back(counting.place, "by hand")
    with counting.model() as model:
        assert model.version == "1.0.0"


def test_no_receiver_is_waited_for_while_a_model_goes_back(counting: Device, receiver: Receiver) -> None:
    counting.set(telemetry=Telemetry(otlp=f"http://127.0.0.1:{receiver.server_port}/v1/metrics"))
    roll_back(counting.place, "by hand")
    assert receiver.got == []
    counting.update()
    assert '"rolled_back"' in json.dumps(receiver.got[-1][2])
