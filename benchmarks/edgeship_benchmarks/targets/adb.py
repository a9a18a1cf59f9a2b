"""Android devices that are reached with adb: .tflite files in benchmark_model on the CPU, the GPU and with NNAPI.

Or in an app, which measures what users of apps get.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgeship.errors import TargetUnavailable
from edgeship.types import Artifact, DeviceInfo, Measurement, NotMeasured, Plan, ProgressCallback
from edgeship_benchmarks.android import app as apps
from edgeship_benchmarks.transports import adb

if TYPE_CHECKING:
    from edgeship.types import Tensors
    from edgeship_benchmarks.android.session import Phone

#: The variable that says where benchmark_model is on this machine; `app` or `app:PACKAGE`: an app runs the files.
VARIABLE = "EDGESHIP_BENCHMARK_MODEL"


class AdbTarget:
    """Measures on an Android device, in the user's benchmark_model; nothing stays on the device."""

    examples = ("adb", "adb:emulator-5554")

    def __init__(self, rest: str = "") -> None:
        self._serial = adb.check_serial(rest) if rest else ""
        self.name = self.machine = f"adb:{self._serial}" if self._serial else "adb"

    def probe(self) -> DeviceInfo:
        """The device's model, system, processor, battery, heat and clocks, and whether benchmark_model is at hand."""
        from edgeship_benchmarks.android import state
        from edgeship_benchmarks.android.course import tool_word

        if (package := _app()) is not None:
            with apps.connected(self._serial, package) as app:
                said = {"app": package, "app_runtime": str(app.status.get("runtime"))}
                return DeviceInfo(self.name, "measured", {"serial": app.device, **app.facts(), **said})
        with adb.AdbConnection(self._serial) as connection:
            facts = {"serial": connection.device.serial, **state.facts_of(connection.run(state.SCRIPT))}
        try:
            facts["benchmark_model"] = tool_word(_binary(facts))
        except TargetUnavailable as error:
            facts["benchmark_model"] = f"none: {error.message}. {error.remedy}"
        return DeviceInfo(self.name, "measured", facts)

    def check(self, artifact: Artifact, inputs: Tensors) -> Tensors:
        """Outputs of the artifact on the device's CPU; each inference is a start of benchmark_model."""
        from edgeship_benchmarks.android.course import need_tflite
        from edgeship_benchmarks.android.samples import Edges
        from edgeship_benchmarks.android.session import ToolSession
        from edgeship_benchmarks.android.tool import cpu
        from edgeship_benchmarks.runtimes.base import in_order

        need_tflite(artifact)
        if (package := _app()) is not None:
            from edgeship_benchmarks.android.app_session import AppSession

            with apps.connected(self._serial, package) as app, AppSession(app, artifact, 1, Edges(artifact)) as inside:
                return in_order(artifact, inside.run(inputs))
        with self._phone() as phone, ToolSession(phone, artifact, cpu(), 1, Edges(artifact)) as session:
            return in_order(artifact, session.run(inputs))

    def measure(
        self, artifacts: Sequence[Artifact], inputs: Tensors, plan: Plan, progress: ProgressCallback | None = None
    ) -> Sequence[Measurement | NotMeasured]:
        """A row for each artifact on the CPU, on the GPU and with NNAPI; all are interleaved, start by start."""
        from edgeship_benchmarks import measuring
        from edgeship_benchmarks.android.course import Course

        if (package := _app()) is not None:
            from edgeship_benchmarks.android.app_session import AppCourse

            with apps.connected(self._serial, package) as app:
                inside = AppCourse(app, inputs, plan)
                rows = measuring.measure_jobs(self.name, inside.jobs(artifacts), inputs, plan, progress)
                return [inside.told(row) for row in rows]
        with self._phone() as phone:
            course = Course(phone, inputs, plan)
            rows = measuring.measure_jobs(self.name, course.jobs(artifacts), inputs, plan, progress)
            return [course.told(row) for row in rows]

    @contextmanager
    def _phone(self) -> Iterator[Phone]:
        """The device, with a tool that it can run. Raises TargetUnavailable."""
        from edgeship_benchmarks.android import state
        from edgeship_benchmarks.android.session import Phone
        from edgeship_benchmarks.transports.link import Link

        with Link(adb.connector(self._serial)) as link:
            facts = state.facts_of(link.connection().run(state.SCRIPT))
            yield Phone(link, _binary(facts), facts.get("abi", ""))


def _app() -> str | None:
    """The app that is to run files, if the user wants one."""
    first, _, package = os.environ.get(VARIABLE, "").partition(":")
    return (package or apps.PACKAGE) if first == "app" else None


def _binary(facts: dict[str, str]) -> Path:
    """The user's benchmark_model, if a device with these facts can run it. Raises TargetUnavailable."""
    from edgeship_benchmarks.android import tool

    said, abis = os.environ.get(VARIABLE, ""), facts.get("abi", "")
    if not said:
        raise TargetUnavailable(
            f"benchmark_model, which runs files on Android, is not at hand: {VARIABLE} is not set",
            remedy=tool.get_it(abis),
        )
    file = Path(said).expanduser()
    tool.check_abi(file, abis)
    return file
