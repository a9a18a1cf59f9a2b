"""Supervised children: whatever happens to them, the parent gets a typed error and nothing is left running."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeship.child import Child, Limits, Worker, limited, limits_in_force
from edgeship.errors import (
    ArtifactError,
    ChildCrashed,
    ChildOutOfMemory,
    ChildTimeout,
    EdgeshipError,
    InputError,
    TargetUnavailable,
)
from edgeship.references import resolve
from edgeship.types import Progress
from edgeship_benchmarks import session
from edgeship_benchmarks.runtimes.litert import LiteRTRuntime

_SCRIPT = """
import json, os, signal, subprocess, sys, time
def say(m): print(json.dumps(m), flush=True)
for line in sys.stdin:
    r = json.loads(line); what = r["do"]
    if what == "echo": say({"result": r.get("value")})
    elif what == "progress":
        for k in range(3): say({"progress": {"stage": "s", "done": k, "total": 3}})
        say({"result": "after"})
    elif what == "error": say({"error": {"type": r["type"], "message": "m", "remedy": "r"}})
    elif what == "segfault":
        print("first words", file=sys.stderr); print("last words", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    elif what == "exit": sys.exit(r["status"])
    elif what == "hang": time.sleep(600)
    elif what == "grandchild":
        p = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        say({"progress": {"stage": "pid", "done": p.pid}}); time.sleep(600)
    elif what == "allocate":
        x = bytearray(r["mib"] << 20); say({"result": len(x)})
    elif what == "noise": print("not JSON", flush=True)
    elif what == "list": print("[1]", flush=True)
    elif what == "gpu": say({"result": os.environ.get("CUDA_VISIBLE_DEVICES")})
    elif what == "slow": say({"progress": {"stage": "s", "done": 0}}); time.sleep(0.2); say({"result": "late"})
"""


@pytest.fixture
def child() -> Iterator[Child]:
    with Child([sys.executable, "-c", _SCRIPT], name="the child", limits=Limits(seconds=30)) as running:
        yield running


def gone(pid: int) -> bool:
    """Whether a process ended (within 5 s; a zombie that nobody of ours reaps counts as ended)."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_answers_in_order(child: Child) -> None:
    assert [child.request({"do": "echo", "value": k}) for k in range(3)] == [0, 1, 2]
    assert child.alive


def test_large_messages_both_ways(child: Child) -> None:
    value = "x" * 3_000_000
    assert child.request({"do": "echo", "value": value}) == value


def test_progress_arrives_before_the_result(child: Child) -> None:
    events: list[Progress] = []
    assert child.request({"do": "progress"}, progress=events.append) == "after"
    assert events == [Progress("s", k, 3) for k in range(3)]


def test_a_failing_progress_callback_ends_the_child_so_that_no_answer_is_mistaken(child: Child) -> None:
    def broken(_: Progress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        child.request({"do": "slow"}, progress=broken)
    assert not child.alive
    with pytest.raises(ChildCrashed, match="has ended already"):
        child.request({"do": "echo", "value": "mine"})


@pytest.mark.parametrize("kind", ["ArtifactError", "InputError", "no such class", "KeyError"])
def test_error_keeps_its_class_and_the_child_lives(child: Child, kind: str) -> None:
    expected = {"ArtifactError": ArtifactError, "InputError": InputError}.get(kind, EdgeshipError)
    with pytest.raises(EdgeshipError) as caught:
        child.request({"do": "error", "type": kind})
    assert type(caught.value) is expected
    assert (caught.value.message, caught.value.remedy) == ("m", "r")
    assert child.request({"do": "echo", "value": 1}) == 1


def test_out_of_memory_as_an_answer_ends_the_child(child: Child) -> None:
    with pytest.raises(ChildOutOfMemory):
        child.request({"do": "error", "type": "ChildOutOfMemory"})
    assert not child.alive


def test_crash_names_the_signal_and_the_last_lines(child: Child) -> None:
    with pytest.raises(ChildCrashed, match="the child died of SIGSEGV") as caught:
        child.request({"do": "segfault"})
    assert caught.value.remedy.endswith("first words\nlast words")
    assert gone(child.pid)


def test_exit_names_the_status(child: Child) -> None:
    with pytest.raises(ChildCrashed, match="ended with status 7"):
        child.request({"do": "exit", "status": 7})


def test_killed_between_requests(child: Child) -> None:
    child.request({"do": "echo"})
    os.kill(child.pid, signal.SIGTERM)
    with pytest.raises(ChildCrashed, match="SIGTERM"):
        child.request({"do": "echo"})


@pytest.mark.parametrize("what", ["noise", "list"])
def test_an_answer_that_is_none_is_a_typed_error(child: Child, what: str) -> None:
    with pytest.raises(ChildCrashed, match="no valid answer"):
        child.request({"do": what})
    assert not child.alive


def test_timeout_kills_the_whole_process_group(child: Child) -> None:
    pids: list[int] = []
    child.request({"do": "echo"})  # it has started, and all that is left to do within the limit is to start another
    with pytest.raises(ChildTimeout, match="gave no sign for 3 s"):
        child.request({"do": "grandchild"}, progress=lambda p: pids.append(int(p.done)), seconds=3)
    assert gone(child.pid)
    assert len(pids) == 1
    assert gone(pids[0])


def test_timeout_of_a_child_that_never_reads() -> None:
    with (
        Child([sys.executable, "-c", "import time; time.sleep(600)"], name="deaf") as child,
        pytest.raises(ChildTimeout, match=r"for 0\.5 s"),
    ):
        child.request({"value": "x" * 1_000_000}, seconds=0.5)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces RLIMIT_DATA")
def test_memory_limit() -> None:
    with Child([sys.executable, "-c", _SCRIPT], name="hungry", limits=Limits(memory_mib=200)) as child:
        assert child.request({"do": "allocate", "mib": 20}) == 20 << 20
        with pytest.raises(ChildOutOfMemory, match="hungry ran out of memory"):
            child.request({"do": "allocate", "mib": 500})


def test_a_child_that_writes_without_end_fills_no_disk() -> None:
    """Also within one request; the last lines stay."""
    script = """
import sys, time
for line in sys.stdin:
    for part in range(3):
        for _ in range(20):
            sys.stderr.write("x" * (1 << 20) + "\\n")
        print("line", line.strip(), part, file=sys.stderr, flush=True)
        time.sleep(1.5)
    print('{"result": 0}', flush=True)
"""
    with Child([sys.executable, "-c", script], name="writer") as child:
        child.request(7)  # type: ignore[arg-type] # any JSON value will do here
        assert os.fstat(child._stderr.fileno()).st_size < 16 << 20
        assert child.last_lines(1) == "line 7 2"


def test_last_lines_do_not_disturb_what_the_child_writes() -> None:
    script = """
import sys
for line in sys.stdin:
    print("line", line.strip(), file=sys.stderr, flush=True)
    print('{"result": 0}', flush=True)
"""
    with Child([sys.executable, "-c", script], name="writer") as child:
        for k in range(3):
            child.request(k)  # type: ignore[arg-type] # any JSON value will do here
            assert child.last_lines() == "\n".join(f"line {n}" for n in range(k + 1))
        assert child.last_lines(1) == "line 2"


def test_gpu_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with Child([sys.executable, "-c", _SCRIPT], name="gpu") as child:
        assert child.request({"do": "gpu"}) == "-1"


def test_command_that_does_not_exist() -> None:
    with pytest.raises(TargetUnavailable, match="cannot start /no/such/program"):
        Child(["/no/such/program"], name="nobody")


def test_close_is_idempotent_and_ends_the_process(child: Child) -> None:
    child.request({"do": "echo"})
    child.close()
    child.close()
    assert gone(child.pid)


# Functions that a worker runs.


def double(value: int, progress: object) -> int:
    progress(Progress("double", 1, 1))  # type: ignore[operator] # injected by the worker
    return 2 * value


def paths(values: tuple[Path, ...], table: dict[str, float]) -> dict[str, Path]:
    return {name: values[0] / str(number) for name, number in table.items()}


def fail(kind: str) -> None:
    if kind == "typed":
        raise ArtifactError("broken", remedy="mend it")
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGABRT)
    raise RuntimeError("surprise")


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    with Worker(Limits(seconds=60)) as running:
        yield running


def test_worker_calls_typed_functions(worker: Worker) -> None:
    events: list[Progress] = []
    assert worker.call(double, value=21, progress=events.append) == 42
    assert events == [Progress("double", 1, 1)]
    assert worker.call(paths, values=(Path("a"),), table={"n": 0.5}) == {"n": Path("a/0.5")}


def test_worker_survives_errors_and_replaces_a_crashed_child(worker: Worker) -> None:
    with pytest.raises(ArtifactError, match="broken"):
        worker.call(fail, kind="typed")
    with pytest.raises(EdgeshipError, match="RuntimeError: surprise"):
        worker.call(fail, kind="other")
    with pytest.raises(ChildCrashed, match=r"worker \(fail\) died of SIGABRT"):
        worker.call(fail, kind="crash")
    assert worker.call(double, value=1) == 2


def test_worker_refuses_arguments_of_the_wrong_type(worker: Worker) -> None:
    with pytest.raises(InputError, match="not of type int"):
        worker.call(double, value="21")


def where_from(module: str) -> str:
    return str(importlib.import_module(module).__file__)


def of_the_user(reference: str) -> int:
    value: int = resolve(reference)()
    return value


def keras_settings() -> dict[str, str]:
    import keras
    import tf_keras

    return {
        "backend": keras.backend.backend(),
        "floatx": keras.config.floatx(),
        "image_data_format": keras.config.image_data_format(),
        "of Keras 2": f"{tf_keras.backend.floatx()} {tf_keras.backend.image_data_format()}",
        "datasets": str((Path(keras.config.keras_home()) / "datasets").resolve())
        if hasattr(keras.config, "keras_home")
        else str((Path(os.environ["KERAS_HOME"]) / "datasets").resolve()),
    }


def sleep() -> None:
    time.sleep(600)


def test_a_module_next_to_the_model_is_not_imported(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("h5py", "brotli", "edgeship"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (tmp_path / "evil-1.dist-info").mkdir()
    (tmp_path / "mine_of_test_child.py").write_text("def f():\n    import helper_of_test_child\n    return 3\n")
    (tmp_path / "helper_of_test_child.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert not Path(worker.call(where_from, module="h5py")).is_relative_to(tmp_path)
    assert worker.call(of_the_user, reference="mine_of_test_child:f") == 3  # which imports a module of its folder later
    assert not Path(worker.call(where_from, module="h5py._hl.files")).is_relative_to(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_the_users_keras_settings_do_not_matter(
    worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"floatx": "float16", "image_data_format": "channels_first", "backend": "jax", "epsilon": 1e-3}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("EDGESHIP_CACHE", str(tmp_path / "cache"))
    assert worker.call(keras_settings) == {
        "backend": "tensorflow",
        "floatx": "float32",
        "image_data_format": "channels_last",
        "of Keras 2": "float32 channels_last",
        "datasets": str(tmp_path / "datasets"),  # what was downloaded is not downloaded again
    }
    assert json.loads((tmp_path / "keras.json").read_text()) == settings


_PARENT = """
import os, sys, threading, time
from pathlib import Path
from edgeship.child import Child, Worker
import test_child
what = sys.argv[1]
if what == "worker":
    def tell():
        while worker._child is None: time.sleep(0.01)
        print(worker._child.pid, flush=True)
    worker = Worker()
    threading.Thread(target=tell).start()
    worker.call(test_child.sleep)
else:
    import edgeship_benchmarks.session as session
    child = Child(session.PYTHON_AGENT, name="agent")
    child.request({"op": "describe"})
    os.kill(child.pid, 19)  # it does not see that its standard input ends
    print(child.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a busy child at once")
@pytest.mark.parametrize("what", ["worker", "agent"])
def test_a_busy_child_ends_with_its_parent(what: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen([sys.executable, "-c", _PARENT, what], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(2.0)  # the child is in its work now
        parent.kill()
    assert gone(pid)


def test_where_the_kernel_does_not_help_the_worker_watches_its_parent() -> None:
    watching = (
        "import os; parent = os.getppid(); from edgeship_converters import worker; "
        "print(os.getpid(), flush=True); worker._watch(parent, 0.1)"
    )
    parent = (
        "import subprocess, sys; "
        "child = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdout=subprocess.PIPE, text=True); "
        "print(child.stdout.readline())"
    )  # it ends once it has heard of its child
    done = subprocess.run([sys.executable, "-c", parent, watching], stdout=subprocess.PIPE, text=True, check=True)
    assert gone(int(done.stdout))


def test_a_worker_starts_its_own_children_under_its_limits() -> None:
    """A converter runs what it made, in a child of the worker's."""
    given = Limits(seconds=77, memory_mib=3000)
    with Worker(given) as worker:
        assert worker.call(limits_in_force) == given
    assert limits_in_force() == Limits()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces RLIMIT_DATA")
def test_what_runs_files_is_held_to_the_limits_of_the_request() -> None:
    import resource

    with limited(Limits(memory_mib=1500)), session.AgentSession() as agent:
        assert resource.prlimit(agent.pid, resource.RLIMIT_DATA) == (1500 << 20, 1500 << 20)
    with limited(Limits(seconds=2)):
        assert LiteRTRuntime().limits.seconds == 2
    assert LiteRTRuntime().limits == Limits()
