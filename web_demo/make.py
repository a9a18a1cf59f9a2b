"""`make web-demo`: the demo's model as an npm package, the app around it, both served on loopback.

Each step is the command that a person would type; it is printed. What is there already is made again from what it was
made of, which takes seconds; the demo's build, which takes minutes, is kept.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from serving import AppServer, policy

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


def main() -> None:
    """Make all of it, and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Build the web demo and serve it on loopback.")
    parser.add_argument(
        "--build", type=Path, default=ROOT / "builds" / "demo", help="made by `edgeship demo` if absent"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "builds" / "web-demo", help="folder for what is made")
    parser.add_argument("--port", type=int, default=8000, help="of the page; 0: a free one")
    given = parser.parse_args()
    if not (given.build / "report.json").is_file():
        run(_EDGESHIP, "demo", "--out", given.build)
    package(given.build, given.out / "digits")
    site(given.out / "digits", given.out / "site")
    with AppServer(given.out / "site", given.port, policy()) as server:
        print(f"open {server.url}   Ctrl-C ends it", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
