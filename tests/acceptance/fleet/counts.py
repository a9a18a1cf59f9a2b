"""What the log of nginx and the devices themselves counted, and whether they agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.acceptance.fleet.web import KINDS, Line

#: Devices whose own counters see only a part: a network ends answers on the way, a killed process forgets.
_PARTLY = ("breaks", "killed")


class Log:
    """Requests of a run.

    Args:
        lines: of the log.
    """

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines = list(lines)
        self._requests: dict[int, Counter[str]] = defaultdict(Counter)
        self._bytes: dict[int, Counter[str]] = defaultdict(Counter)
        for line in self._lines:
            self._requests[line.device][line.kind] += 1
            if line.status < 400:
                self._bytes[line.device][line.kind] += line.body_bytes

    def disagreements(self, devices: Sequence[Mapping[str, Any]]) -> list[str]:
        """Where a device counted something else than the log says of it."""
        found = []
        for row in devices:
            index, whole = row["index"], row["trouble"] not in _PARTLY
            for what, logged, own in (
                ("requests", self._requests[index], row["requests"]),
                ("bytes", self._bytes[index], row["bytes"]),
            ):
                for kind in KINDS:
                    ours, theirs = own.get(kind, 0), logged[kind]
                    if ours > theirs or (whole and ours != theirs):
                        found.append(
                            f"device {index} ({row['trouble']}) counted {ours} {what} of {kind}, nginx {theirs}"
                        )
            checks = {name: count for name, count in row["outcomes"].items() if name != "killed"}
            if whole and sum(checks.values()) != sum(row["counted"].values()):
                found.append(f"device {index} made {checks}, and counted {row['counted']}")
        return found

    def by_kind(self) -> dict[str, int]:
        """How many requests of each kind."""
        return dict(Counter(line.kind for line in self._lines))

    def summary(self) -> dict[str, Any]:
        """All requests by kind, and how they are spread over the devices."""
        kinds: dict[str, dict[str, int]] = {}
        for kind in KINDS:
            lines = [line for line in self._lines if line.kind == kind]
            kinds[kind] = {
                "requests": len(lines),
                "missing": sum(line.status == 404 for line in lines),
                "resumed": sum(line.resumed for line in lines),
                "body_bytes": sum(line.body_bytes for line in lines),
                "sent_bytes": sum(line.sent_bytes for line in lines),
                "received_bytes": sum(line.received_bytes for line in lines),
            }
        patches = Counter(line.body_bytes for line in self._lines if line.kind == "patch" and line.status == 200)
        sent: Counter[int] = Counter()
        for line in self._lines:
            sent[line.device] += line.sent_bytes
        requests = sorted(sum(found.values()) for found in self._requests.values())
        return {
            "kinds": kinds,
            "patch_answers": {str(size): count for size, count in sorted(patches.items())},
            "statuses": dict(sorted(Counter(str(line.status) for line in self._lines).items())),
            "per_device": {"requests": _spread(requests), "sent_bytes": _spread(sorted(sent.values()))},
        }


def summary(devices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What devices counted, together."""
    outcomes: Counter[str] = Counter()
    for row in devices:
        outcomes.update(row["outcomes"])
    troubles = Counter(row["trouble"] for row in devices)
    return {"outcomes": dict(outcomes.most_common()), "troubles": dict(troubles.most_common())}


def _spread(ordered: Sequence[int]) -> dict[str, int]:
    return {"least": ordered[0], "median": ordered[len(ordered) // 2], "most": ordered[-1]}
