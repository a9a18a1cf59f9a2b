"""A process with many devices, which advances from one moment of the story to the next when it is told to.

Requests, one per line, answered as `edgeship.child` wants it: `{"start": {...}}` first, then `{"advance": hour}`,
`{"look": hour}` and `{"probe": hour}` in turns, `{"end": 0}` last.
"""

from __future__ import annotations

import heapq
import json
import os
import sys
from base64 import b64decode
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeship.codec import from_data
from edgeship.errors import EdgeshipError, to_wire
from edgeship_benchmarks.agent.protocol import end_with_parent
from tests.acceptance.fleet import models, story
from tests.acceptance.fleet.breaking import Network
from tests.acceptance.fleet.devices import Device, Surroundings
from tests.acceptance.fleet.story import Plan
from tests.acceptance.fleet.warm import Warm


class Fleet:
    """Devices of one process.

    Args:
        folder: for them.
        port: of nginx.
        root: in base64.
        probes: version -> what it answers to `models.PROBES`.
        plans: of the devices.
    """

    def __init__(
        self, folder: str, port: int, root: str, probes: Mapping[str, Any], plans: Sequence[Mapping[str, Any]]
    ) -> None:
        answers = {version: np.asarray(values, np.float32) for version, values in probes.items()}
        self._network, self._warm = Network(port), Warm()
        around = Surroundings(Path(folder), port, self._network, self._warm, story.timer(), b64decode(root), answers)
        self._devices = [Device(from_data(Plan, plan), around) for plan in plans]
        self._queue = [(device.next, number) for number, device in enumerate(self._devices)]
        heapq.heapify(self._queue)
        self._hour = 0

    def advance(self, until: float) -> dict[str, Any]:
        """Make all checks before an hour; what ran at each full hour, and what must not be or was refused."""
        samples: list[tuple[int, dict[str, int]]] = []
        bad: list[int] = []
        while self._queue and self._queue[0][0] < until:
            hour, number = heapq.heappop(self._queue)
            samples += self._sampled(hour)
            device = self._devices[number]
            device.check()
            if models.BAD in device.held():
                bad.append(device.plan.index)
            heapq.heappush(self._queue, (device.next, number))
        samples += self._sampled(until)
        refused = sum((device.refused for device in self._devices), Counter[str]())
        lost = [device.plan.index for device in self._devices if device.lost]
        return {"samples": samples, "bad": bad, "lost": lost, "refused": dict(refused)}

    def _sampled(self, hour: float) -> list[tuple[int, dict[str, int]]]:
        """The full hours that have passed up to this one."""
        found = []
        while self._hour < hour:
            self._hour += 1
            found.append((self._hour, dict(Counter(device.active for device in self._devices))))
        return found

    def look(self, _: float) -> list[dict[str, Any]]:
        """Of each device: which release runs, and when it last heard what it should run."""
        return [{"index": d.plan.index, "active": d.active, "reached": d.reached} for d in self._devices]

    def probe(self, hour: float) -> dict[str, str]:
        """Devices whose model does not work, and why."""
        found = {str(device.plan.index): device.probe(hour) for device in self._devices}
        return {index: why for index, why in found.items() if why}

    def end(self, _: float) -> dict[str, Any]:
        """What every device counted; afterwards all of it has ended."""
        for device in self._devices:
            device.close()
        self._warm.close()
        self._network.close()
        rows = [
            {
                "index": d.plan.index, "trouble": d.plan.trouble, "outcomes": dict(d.outcomes),
                "counted": d.counted(), "requests": dict(d.requests), "bytes": dict(d.bytes),
            }
            for d in self._devices
        ]  # fmt: skip
        return {"devices": rows, "broken": self._network.broken}


def main() -> None:
    """Answer requests until there are no more."""
    end_with_parent()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    fleet: Fleet | None = None
    while line := sys.stdin.readline():
        ((word, given),) = json.loads(line).items()
        try:
            if fleet is None:
                fleet, result = Fleet(**given), None
            else:
                result = getattr(fleet, word)(given)
            answer = {"result": result}
        except EdgeshipError as error:
            answer = {"error": to_wire(error)}
        channel.write(json.dumps(answer) + "\n")
        channel.flush()


if __name__ == "__main__":
    main()
