"""`edgeship export-mlflow` and a real MLflow server on loopback, which loads what it was given."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from .conftest import Demo, Script

#: How often the server is asked whether it is there; each time it may take a second to refuse.
_TRIES, _PAUSE_SECONDS = 240, 0.5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = ["--backend-store-uri", f"sqlite:///{folder / 'm.db'}", "--artifacts-destination", str(folder / "files")]
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        *place,
        "--workers",
        "1",
    ]
    env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(process, f"{address}/health", folder / "log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Until the server answers."""
    pause = threading.Event()
    for _ in range(_TRIES):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pause.wait(_PAUSE_SECONDS)
    raise AssertionError(log.read_text())


@pytest.mark.filterwarnings("ignore")
def test_a_server_has_the_run_and_serves_the_onnx_file_that_was_verified(
    server: str, demo: Demo, edgeship: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("export-mlflow", demo.build, "--uri", server, "--experiment", "demo", "--register", "digits", "--json")
    ran = edgeship(*words)
    assert ran.code == 0, ran.err
    made = ran.json
    assert made["new"]
    again = edgeship(*words)
    assert again.json == {**made, "new": False}
    import mlflow

    client = mlflow.MlflowClient(server, server)
    run = client.get_run(made["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["original/accuracy"] > 0.95
    assert len(client.search_model_versions("name = 'digits'")) == len(made["versions"]) >= 8

    import onnxruntime

    place = client.download_artifacts(made["run_id"], "artifacts/onnx/int8", str(tmp_path))
    file = demo.build / "artifacts" / "onnx" / "int8" / "model.onnx"
    assert (Path(place) / "model.onnx").read_bytes() == file.read_bytes()
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow.set_tracking_uri(server)
    mlflow.set_registry_uri(server)
    loaded = mlflow.pyfunc.load_model("models:/digits@onnx-int8")
    x = np.random.default_rng(0).random((4, 32, 32, 1), np.float32)
    theirs = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]).run(None, {"image": x})
    np.testing.assert_array_equal(next(iter(loaded.predict({"image": x}).values())), theirs[0])


class _Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(403)
        self.end_headers()
        self.wfile.write(b"no")

    do_POST = do_GET  # noqa: N815 - as http.server names it

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_that_refuses_is_said(demo: Demo, edgeship: Script) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as refusing:
        threading.Thread(target=refusing.serve_forever, daemon=True).start()
        ran = edgeship("export-mlflow", demo.build, "--uri", f"http://ann:secret@127.0.0.1:{refusing.server_port}")
        refusing.shutdown()
    assert ran.code == 3
    assert "403" in ran.err
    assert "secret" not in ran.err
