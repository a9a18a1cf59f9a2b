"""`make web-demo`: the demo's model as an npm package, the app around it, both served on loopback.

Each step is the command that a person would type; it is printed. What is there already is made again from what it was
made of, which takes seconds; the demo's build, which takes minutes, is kept.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from serving import AppServer, policy

from edgeship.demo import trained_baseline
from edgeship.publish.serve import server

APP = Path(__file__).resolve().parent
ROOT = APP.parent
#: What the package holds; the page lets a person choose.
RUNTIMES = ("tfjs-wasm", "litert-wasm", "litert-webgpu", "tfjs-webgl")
_EDGESHIP = str(Path(sys.executable).with_name("edgeship"))


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command that is shown; it ends this program where it fails, after it said why."""
    words = [str(word) for word in command]
    print("$", shlex.join([Path(words[0]).name, *words[1:]]), flush=True)
    if (status := subprocess.run(words, cwd=cwd, check=False).returncode) != 0:
        sys.exit(status)


def package(build: Path, out: Path) -> None:
    """An npm package of a build, checked in Node."""
    runtimes = [word for name in RUNTIMES for word in ("--runtime", name)]
    named = ("--name", "digits")
    run(_EDGESHIP, "bundle", build, "--for", "web", *runtimes, *named, "--out", out, "--force")


def site(package: Path, out: Path) -> None:
    """The app around the package, as Vite builds it."""
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm is not installed. Install Node 20.19 or newer, and run this again.")
    if not (APP / "node_modules" / "vite").exists():
        run(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=APP)
    # What `npm install PACKAGE` does, without writing this machine's path into the lock.
    place = APP / "node_modules" / "digits"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(package, place)
    run(npm, "run", "--silent", "build", "--", "--outDir", out.resolve(), "--emptyOutDir", cwd=APP)


def repository(package: Path, out: Path) -> Path:
    """A repository to be thrown away, with the package's files as its first release."""
    for name in ("updates", "keys"):
        shutil.rmtree(out / name, ignore_errors=True)
    run(_EDGESHIP, "keys", "init", out / "keys", "--dev")
    publish(package, out)
    return out / "updates"


def publish(package: Path, out: Path) -> None:
    """A release of a package's files; the first one of a line is for all, later ones once a rollout names them."""
    run(_EDGESHIP, "publish", package, "--repo", out / "updates", "--keys", out / "keys", "--name", "digits")


def later(out: Path) -> Path:
    """A package of the same network, trained once more from other weights: the release that arrives."""
    build = out / "later"
    if not (build / "report.json").is_file():
        model = trained_baseline(lambda _: None, seed=1)
        formats = ("--to", "tfjs", "--to", "tflite", "--quantize", "dynamic")
        run(_EDGESHIP, "build", model, "--data", "digits", *formats, "--out", build)
    package(build, out / "digits-later")
    return out / "digits-later"


def offer(out: Path) -> None:
    """Publish the later release to all, when somebody asks for it."""
    print("press Enter to publish a newer release while the page is open", flush=True)
    if not sys.stdin.readline():
        return
    publish(later(out), out)
    for step in (("start", "--version", "1.1.0", "--percent", "100"), ("finish",)):
        where = ("--repo", out / "updates", "--keys", out / "keys")
        run(_EDGESHIP, "rollout", step[0], "digits/v1", *step[1:], *where)
    print("published: the page looks every minute, or when `Look now` is pressed", flush=True)


def main() -> None:
    """Make all of it, and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Build the web demo and serve it on loopback.")
    parser.add_argument("--build", type=Path, default=ROOT / "builds/demo", help="made by `edgeship demo` if absent")
    parser.add_argument("--out", type=Path, default=ROOT / "builds/web-demo", help="folder for what is made")
    parser.add_argument("--port", type=int, default=8000, help="of the page; 0: a free one")
    given = parser.parse_args()
    out = given.out
    if not (given.build / "report.json").is_file():
        run(_EDGESHIP, "demo", "--out", given.build)
    package(given.build, out / "digits")
    site(out / "digits", out / "site")
    with server(repository(out / "digits", out)) as updates:
        place = {"repository": updates.url, "line": "digits/v1", "root": updates.root().read_text(encoding="utf-8")}
        (out / "site/updates.json").write_text(json.dumps(place), encoding="utf-8")
        with AppServer(out / "site", given.port, policy(updates.url)) as pages:
            for each in (updates, pages):
                threading.Thread(target=each.serve_forever, daemon=True).start()
            print(f"open {pages.url}   Ctrl-C ends it", flush=True)
            with suppress(KeyboardInterrupt):
                offer(out)
                threading.Event().wait()


if __name__ == "__main__":
    main()
