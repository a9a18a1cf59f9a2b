"""The system's Chromium and Firefox, started on a page without a window, with a profile of their own.

Neither is driven: the page itself asks the server for work, so a plain start is all that is needed, and it works for
any browser in the same way.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from edgeship.errors import TargetUnavailable

_SECONDS_TO_END = 5.0
_CHROMIUM_FLAGS = (
    "--headless=new",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-pings",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-renderer-backgrounding",
    "--disable-sync",
    "--mute-audio",
    "--password-store=basic",
    # Linux has WebGPU behind this flag, and WebGL on machines without a GPU behind the next.
    "--enable-unsafe-webgpu",
    "--enable-unsafe-swiftshader",
)
#: Chromium's own software GPU for WebGPU, which it uses only when told to.
_SOFTWARE_FLAGS = ("--use-webgpu-adapter=swiftshader",)
#: No first pages, no questions, no calls home.
_FIREFOX_SETTINGS: dict[str, bool | int | str] = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.tabs.crashReporting.sendReport": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.webgpu.enabled": True,
    "extensions.getAddons.cache.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}


def _chromium(url: str, profile: Path) -> Sequence[str]:
    # Chromium's sandbox does not start as root; the page runs only what this machine served to it.
    root = ("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()
    software = () if _has_gpu() else _SOFTWARE_FLAGS
    return (*_CHROMIUM_FLAGS, *software, *root, f"--user-data-dir={profile}", url)


def _firefox(url: str, profile: Path) -> Sequence[str]:
    lines = (f"user_pref({json.dumps(key)}, {json.dumps(value)});\n" for key, value in _FIREFOX_SETTINGS.items())
    (profile / "user.js").write_text("".join(lines), encoding="utf-8")
    return ("--headless", "--no-remote", "--profile", str(profile), url)


_MAC = "/Applications/{0}.app/Contents/MacOS/{0}"
#: Browser -> programs to look for, its arguments, the command that gets it on Debian.
BROWSERS: dict[str, tuple[tuple[str, ...], Callable[[str, Path], Sequence[str]], str]] = {
    "chromium": (
        (
            "chromium",
            "chromium-browser",
            "google-chrome",
            "google-chrome-stable",
            "chrome",
            _MAC.format("Google Chrome"),
        ),
        _chromium,
        "apt-get install chromium",
    ),
    "firefox": (("firefox-esr", "firefox", _MAC.format("firefox")), _firefox, "apt-get install firefox-esr"),
}


def executable(browser: str) -> str:
    """Path of a browser of this system. Raises TargetUnavailable."""
    names, _, remedy = BROWSERS[browser]
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        raise TargetUnavailable(f"{browser} is not installed", remedy=f"Get it, for instance: {remedy}")
    return found


def version(browser: str) -> str:
    """What a browser says about itself. Raises TargetUnavailable."""
    command = [executable(browser), "--version"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise TargetUnavailable(f"{command[0]} does not start: {error}", remedy="Install it again.") from error
    return done.stdout.strip().splitlines()[-1]


def _has_gpu() -> bool:
    """Whether this system has a GPU that a browser would use; what is not Linux has one."""
    return (
        not sys.platform.startswith("linux") or any(Path("/dev/dri").glob("renderD*")) or Path("/dev/nvidia0").exists()
    )


#: Starts a command that ends when we end, however that happens (Linux: PR_SET_PDEATHSIG, which a new program keeps).
_END_WITH_US = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"
_WITH_US = (sys.executable, "-I", "-S", "-c", _END_WITH_US) if sys.platform.startswith("linux") else ()


class Browser:
    """A running browser with one page. Use as a context manager: leaving it ends all its processes.

    Args:
        browser: `chromium` or `firefox`.
        url: of the page.
    """

    def __init__(self, browser: str, url: str) -> None:
        self._profile = tempfile.TemporaryDirectory(prefix="edgeship-browser-", ignore_cleanup_errors=True)
        folder = Path(self._profile.name)
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        # A home of its own: neither the user's settings nor a browser that is open already have a part in this.
        env = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
        env |= {"MOZ_CRASHREPORTER_DISABLE": "1", "MOZ_HEADLESS": "1"}
        try:
            self._process = subprocess.Popen(
                [*_WITH_US, executable(browser), *BROWSERS[browser][1](url, folder)],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                env=env,
                start_new_session=True,
            )
        except BaseException as error:
            self._output.close()
            self._profile.cleanup()
            if isinstance(error, OSError):
                raise TargetUnavailable(f"{browser} does not start: {error}") from error
            raise

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group."""
        return self._process.pid

    def check(self) -> None:
        """Raises TargetUnavailable if the browser has ended, with its last lines."""
        status = self._process.poll()
        if status is not None:
            tail = os.pread(self._output.fileno(), 4096, 0).decode(errors="replace").strip()
            raise TargetUnavailable(f"the browser ended with status {status}", remedy=tail[-1000:])

    def close(self) -> None:
        """End the browser and everything it started; safe to call twice."""
        if self._output.closed:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._end_the_rest()
        self._output.close()
        self._profile.cleanup()

    def _end_the_rest(self) -> None:
        """Helpers that left the process group; the profile, their home, has a unique name."""
        deadline = time.monotonic() + _SECONDS_TO_END
        while (left := processes_with(self._profile.name)) and time.monotonic() < deadline:
            for pid in left:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def processes_with(word: str) -> list[int]:
    """Processes of this system (Linux) with a word in their command line or environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(word.encode() in (folder / name).read_bytes() for name in ("cmdline", "environ")):
                found.append(int(folder.name))
    return found
