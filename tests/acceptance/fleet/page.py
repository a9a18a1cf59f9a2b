"""The record as docs/updates/fleet.md and its picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeship.files import write_text
from tests.acceptance.fleet import costs, models, plot
from tests.acceptance.fleet.costs import Prices

PAGE = Path(__file__).parents[3] / "docs" / "updates" / "fleet.md"
_TROUBLES = {
    "none": "",
    "off": "switched off for one to three days",
    "no network": "no network for one to three days: every connection is refused",
    "clock": "for one to three days a clock in 1970 or 2040, two days behind, or three ahead",
    "breaks": "half of all checks on a network that ends the connection after 600 to 60,000 bytes",
    "killed": "SIGKILL in the middle of a check, at most every 8 hours, at one of its changes of files",
}
_OUTCOMES = {
    "current": "nothing new",
    "updated": "another release is active",
    "kept": "what was offered failed here; what ran goes on",
    "waiting": "a probation had to end first",
    "killed": "the process was killed",
    "RepositoryUnavailable": "no network, or a clock behind what has passed",
    "UpdateRefused": "refused: for a clock that is ahead everything has expired",
}

_FOUND = """\
A run of this week found a fault of the client: a download that was cut off five times in one check was refused, as
another file would be, and the device stayed with the stable release until a later check. It happened 12 times. Such a
download goes on at the next check now (`tests/unit/device/test_download.py`)."""


def write(record: Mapping[str, Any]) -> None:
    """Write the page and the picture."""
    write_text(PAGE, text(record))
    write_text(PAGE.with_suffix(".svg"), plot.shares(record))


def text(record: Mapping[str, Any]) -> str:
    """The page."""
    parts = (_head, _results, _shares, _troubles, _requests, _paper, _limits)
    return "\n".join(part(record) for part in parts)


def _head(record: Mapping[str, Any]) -> str:
    timer = record["timer_hours"]
    return f"""\
# A fleet of {record["devices"]:,} devices, for a week

Made by `python -m tests.acceptance.fleet` from its record; do not edit. {record["devices"]:,} devices, each the client
of `edgeship.device` with a folder, an install id and a clock of its own, follow a repository that the publisher's own
code writes and {record["nginx"]} serves by the recipe in [publishing](publishing.md), over loopback, for
{record["days"]} days of virtual time. They check as the client's systemd timer says: every {timer["every"]:g} hours, up
to {60 * timer["jitter"]:g} minutes later. The releases are networks trained on scikit-learn's digits; each self-test is
a run by LiteRT in a process of its own. It took {record["seconds"] / 60:.0f} minutes.

![Share of the fleet that runs each release, and what the publisher did](fleet.svg)
"""


def _results(record: Mapping[str, Any]) -> str:
    days, outcomes = record["daily"], record["outcomes"]
    without = sum(day["without"] for day in days)
    bad = max(found.get(models.BAD, 0) for _, found in record["samples"])
    resumed = sum(found["resumed"] for found in record["kinds"].values())
    faults = "".join(f"- **Not held**: {line}.\n" for line in record["violations"])
    return f"""\
## What came of it

- Devices without a working model: **{without}** in {len(days)} days. After each day every device's `Model` was opened
  anew and asked {len(models.PROBES)} questions; its answers must be those of the release that it says it runs.
- {models.BAD} carried the file of another network. {record["refused"].get(models.BAD, 0)} devices drew it, and their
  golden samples refused it: it ran on **{bad}** devices, and after no check did it lie in a slot that may run.
- Halted at 10 %, 1.1.0 was left by all who heard of that. Resumed, it came back from the other slot of these devices:
  in all the days {_sent(record, "1.0.0", "1.1.0"):,} patches from 1.0.0 to 1.1.0 were sent.
- {outcomes.get("killed", 0)} checks were killed and {record["broken_connections"]:,} connections broken; {resumed:,}
  downloads went on where they had stopped.
- Requests and bytes that devices counted themselves agree with nginx's log, kind by kind, device by device; of those
  that were killed or had connections broken on the way, none counted more than nginx.
{faults}
{_FOUND}
"""


def _sent(record: Mapping[str, Any], older: str, newer: str) -> int:
    """How often the patch of the model was sent whole."""
    found = next(
        row
        for row in record["patches"]
        if (row["from_version"], row["to"], row["file"]) == (older, newer, "model.tflite")
    )
    return int(record["patch_answers"].get(str(found["patch_bytes"]), 0))


def _shares(record: Mapping[str, Any]) -> str:
    table = "\n".join(_share(row) for row in record["shares"])
    return f"""\
## Shares

At the end of each stage and day: of the devices that have heard of it (by a check after the announcement), how many run
the release, and the interval of that share. The others run the stable one. The share of {models.BAD} is that which was
announced, and which nobody took.

| day | stable | announced | have heard | run it | share | 99.9 % interval |
|--:|---|---|--:|--:|--:|---|
{table}
"""


def _share(row: Mapping[str, Any]) -> str:
    begun = f"| {row['hour'] / 24:.2f} | {row['stable']} |"
    if not row["version"]:
        return f"{begun} | {row['reached']:,} | | | |"
    share, interval = 100 * row["have"] / row["reached"], f"{row['low']:.1f} to {row['high']:.1f} %"
    announced = f"{row['version']} to {row['announced_percent']:g} %"
    return f"{begun} {announced} | {row['reached']:,} | {row['have']:,} | {share:.1f} % | {interval} |"


def _troubles(record: Mapping[str, Any]) -> str:
    total = sum(record["outcomes"].values())
    troubles = "\n".join(f"| {name} | {record['troubles'].get(name, 0)} | {what} |" for name, what in _TROUBLES.items())
    outcomes = "\n".join(
        f"| `{name}` | {count:,} | {_OUTCOMES.get(name, '')} |" for name, count in record["outcomes"].items()
    )
    return f"""\
## Trouble

| trouble | devices | what |
|---|--:|---|
{troubles}

The {total:,} checks ended so:

| outcome | checks | meaning |
|---|--:|---|
{outcomes}
"""


def _requests(record: Mapping[str, Any]) -> str:
    rows = []
    devices = record["devices"]
    for kind, found in record["kinds"].items():
        if not found["requests"]:
            continue
        mean = found["sent_bytes"] / found["requests"]
        rows.append(
            f"| {kind} | {found['requests']:,} | {found['requests'] / devices:.2f} | {found['sent_bytes']:,} "
            f"| {found['sent_bytes'] / devices:,.0f} | {mean:,.0f} |"
        )
    table = "\n".join(rows)
    spread = record["per_device"]
    patches = "\n".join(
        f"| {row['from_version']} to {row['to']} | {row['file']} | {row['patch_bytes']:,} | {row['full_bytes']:,} "
        f"| {record['patch_answers'].get(str(row['patch_bytes']), 0):,} |"
        for row in record["patches"]
    )
    return f"""\
## Requests and bytes

From nginx's log; bytes are those of answers with their headers, without TLS. The root probe asks for the next root,
which is not there: 404. `rollout` is the metadata and the document. In these days the publisher did
{len(record["acts"])} things, and signed anew every {record["refresh_hours"]:g} hours.

| kind | requests | per device | bytes | per device | per answer |
|---|--:|--:|--:|--:|--:|
{table}

A device made {spread["requests"]["median"]} requests in the median (from {spread["requests"]["least"]} to
{spread["requests"]["most"]}), and was sent {spread["sent_bytes"]["median"]:,} bytes (from
{spread["sent_bytes"]["least"]:,} to {spread["sent_bytes"]["most"]:,}).

| patch | file | bytes | stored file | sent |
|---|---|--:|--:|--:|
{patches}
"""


def _paper(record: Mapping[str, Any]) -> str:
    prices = Prices()
    rows = []
    for month in costs.months(record):
        requests, sent = month.cost(prices)
        rows.append(
            f"| {month.name} | {month.requests:,.0f} | {month.sent_bytes / 1000:,.0f} kB | {requests:,.0f} "
            f"| {sent:,.0f} | {requests + sent:,.0f} |"
        )
    table = "\n".join(rows)
    return f"""\
## On paper: {costs.FLEET / 1e6:g} million devices

Requests and bytes of a device in 30 days. The first two rows are the counts above, made a month (with three
releases a week, and every device's first one); the others are put together from the mean sizes of answers: two
requests a check, snapshot and rollout where they were signed anew, and for a release targets, manifest, golden samples
and the model.

Assumed, not measured: {prices.gigabyte:g} USD for 10^9 bytes to devices and {prices.requests:g} USD for 10,000 HTTPS
requests, about what large CDNs list publicly for their first tier, without discounts, free tiers, or what the origin
costs; and {prices.tls_bytes:,} bytes of TLS handshake for each check. The rows of 1 MB take another file for the model,
and for its patches the share that they have here.

| one device, a month | requests | bytes without TLS | USD requests | USD bytes | USD, {costs.FLEET / 1e6:g} million |
|---|--:|--:|--:|--:|--:|
{table}

Requests are most of it: a check that finds nothing is two of them, and metadata that were signed anew are two more.
So `OnUnitActiveSec` of the timer is the setting that counts, then how often the publisher signs anew; patches count
where models are large.
"""


def _limits(record: Mapping[str, Any]) -> str:
    return f"""\
## What it is not

- All of it ran on one machine, in {record["workers"]} processes with hundreds of devices each; a device is a folder, a
  clock and calls of the client, no board. Devices that are killed run in processes of their own, with self-tests
  as on a board; all other self-tests run in processes forked from one that has LiteRT loaded.
- Loopback loses nothing by itself: what breaks, breaks by the program between devices and nginx. There is no TLS.
- The models have 70 kB. Draws, troubles and times are the same in each run; networks and latencies are not.
"""
