"""What a fleet takes on paper: the counts of the week, held against price lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

FLEET = 10_000_000
_MONTH_DAYS = 30
#: Acts of the publisher for one release that devices see by new metadata: publish, start, three times more, finish.
_STAGES = 6


@dataclass(frozen=True)
class Prices:
    """Assumed, after commonly published first-tier list prices of large CDNs; no discount, no free tier.

    Attributes:
        gigabyte: USD for 10^9 bytes to devices.
        requests: USD for 10,000 HTTPS requests.
        tls_bytes: that a TLS handshake adds to each check; not measured here.
    """

    gigabyte: float = 0.085
    requests: float = 0.010
    tls_bytes: int = 4000


@dataclass(frozen=True)
class Month:
    """What one device takes in a month: requests, and bytes that are sent to it; without TLS."""

    name: str
    checks: float
    requests: float
    sent_bytes: float

    def cost(self, prices: Prices) -> tuple[float, float]:
        """USD for `FLEET` devices: requests, bytes (with TLS)."""
        sent = self.sent_bytes + self.checks * prices.tls_bytes
        return FLEET * self.requests / 10_000 * prices.requests, FLEET * sent / 1e9 * prices.gigabyte


def measured(record: Mapping[str, Any], *, deltas: bool = True) -> Month:
    """The week as it was, made a month. Without deltas each patch is counted as the file that it replaced."""
    factor = _MONTH_DAYS / record["days"] / record["devices"]
    kinds: Mapping[str, Mapping[str, int]] = record["kinds"]
    sent = sum(found["sent_bytes"] for found in kinds.values())
    if not deltas:
        sent += saved_bytes(record)
    requests = sum(found["requests"] for found in kinds.values())
    checks = kinds["timestamp"]["requests"] * factor
    name = f"this week, {_MONTH_DAYS} days of it" + ("" if deltas else ", without patches")
    return Month(name, checks, requests * factor, sent * factor)


def saved_bytes(record: Mapping[str, Any]) -> int:
    """Bytes that patches saved in the week: those that were sent whole, against the files that they replaced."""
    full = {str(found["patch_bytes"]): found["full_bytes"] for found in record["patches"]}
    return sum((full[size] - int(size)) * count for size, count in record["patch_answers"].items())


@dataclass(frozen=True)
class Use:
    """How a repository is used.

    Attributes:
        every_hours: between two checks, in the mean.
        releases: that a device takes in a month.
        stored_bytes: of a model as it is stored.
        patch_share: bytes of a patch, of those; 1: there are no patches.
    """

    every_hours: float
    releases: float
    stored_bytes: float
    patch_share: float


def estimated(record: Mapping[str, Any], name: str, use: Use) -> Month:
    """A month from the mean sizes of answers in the week."""
    kinds = record["kinds"]
    mean = {kind: found["sent_bytes"] / found["requests"] for kind, found in kinds.items() if found["requests"]}
    hours = _MONTH_DAYS * 24
    checks = hours / use.every_hours
    # A device sees what was signed anew at most once a check.
    news = min(checks, hours / record["refresh_hours"] + _STAGES * use.releases)
    staged = _STAGES * use.releases
    answers = {
        "root probe": checks, "timestamp": checks, "snapshot": news, "rollout": news + staged,
        "targets": use.releases, "manifest": use.releases, "golden samples": use.releases,
    }  # fmt: skip
    sent = sum(mean[kind] * count for kind, count in answers.items())
    sent += use.releases * use.stored_bytes * use.patch_share
    return Month(name, checks, sum(answers.values()) + use.releases, sent)


def patch_share(record: Mapping[str, Any]) -> float:
    """Bytes of a patch of the model, of those of the stored model, in the mean of those that were sent."""
    found = {str(row["patch_bytes"]): row for row in record["patches"] if row["file"] == "model.tflite"}
    counted = [(found[size], count) for size, count in record["patch_answers"].items() if size in found]
    full = sum(row["full_bytes"] * count for row, count in counted)
    return float(sum(row["patch_bytes"] * count for row, count in counted) / full)


def months(record: Mapping[str, Any]) -> list[Month]:
    """The rows of the table."""
    timer = record["timer_hours"]
    stored = max(found["stored_bytes"] for found in record["files"].values())
    usual = Use(timer["every"] + timer["jitter"] / 2, 1, stored, patch_share(record))
    hours, share = f"{usual.every_hours:g}", f"{100 * usual.patch_share:.0f} %"
    small, large = f"{stored / 1000:.0f} kB", replace(usual, stored_bytes=1e6)
    daily = replace(large, every_hours=24)
    return [
        measured(record),
        measured(record, deltas=False),
        estimated(record, f"{small}, one release, check every {hours} h", usual),
        estimated(record, "the same without patches", replace(usual, patch_share=1)),
        estimated(record, f"1 MB, one release, patch {share}, check every {hours} h", large),
        estimated(record, "the same without patches", replace(large, patch_share=1)),
        estimated(record, f"1 MB, one release, patch {share}, check once a day", daily),
        estimated(record, "the same without patches", replace(daily, patch_share=1)),
    ]
