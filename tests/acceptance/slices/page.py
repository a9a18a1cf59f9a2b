"""The records as tables between the marks of docs/slices.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeship.files import write_text

PAGE = Path(__file__).parents[3] / "docs" / "slices.md"
_BEGIN, _END = "<!-- measured:begin -->", "<!-- measured:end -->"
#: Slices of a file that the page shows, where it does not show all.
_SHOWN = 4

Record = Mapping[str, Any]


def write(records: Record) -> None:
    """Fill in the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(_BEGIN)
    _, after = rest.split(_END)
    write_text(PAGE, f"{before}{_BEGIN}\n{tables(records)}\n{_END}{after}")


def tables(records: Record) -> str:
    """All that was measured, as Markdown."""
    parts = [
        *_rates(records["simulated"]),
        *_limits(records["limits"]),
        *_resnet8(records["resnet8"]),
        *_adult(records["adult"]),
        *_machine(records["autoencoder"]),
    ]
    return "\n".join(parts).strip()


def _rates(found: Record) -> list[str]:
    sets = found["sets"]
    null = next(iter(found["rates"].values()))
    lines = [
        "### How often it errs",
        "",
        (
            f"{sets} simulated data sets of 20 slices with 250 samples each; in each, 2 % of the samples break "
            "and 2 % are fixed."
        ),
        "",
        "| One slice loses | Found, of data sets | It is the first in the list | Another slice is called |",
        "|---|--:|--:|--:|",
        f"| nothing | | | {_percent(null['null called'])} |",
    ]
    lines += [
        f"| {points} points | {_percent(r['planted found'])} | {_percent(r['planted is first'])} | "
        f"{_percent(r['another slice called'])} |"
        for points, r in found["rates"].items()
    ]
    errors = found["errors"]
    lines += [
        "",
        (
            "For squared errors that grow by a quarter in one slice: found in "
            f"{_percent(errors['planted found'])}; where nothing grows, a slice is called in "
            f"{_percent(errors['null called'])}."
        ),
        "",
        "Coverage of the 95 % interval of a share, exact over all outcomes, for 64 pairs of true shares (0 to 30 %):",
        "",
        "| Samples | Bonett and Price, least | mean | Tango, least | mean |",
        "|--:|--:|--:|--:|--:|",
        *(
            f"| {n} | {' | '.join(_percent(share, 1) for share in (*ours, *found['tango'][n]))} |"
            for n, ours in found["coverage"].items()
        ),
        "",
    ]
    return [*lines, *_others(found)]


def _others(found: Record) -> list[str]:
    """Why other means get Student's t, and areas percentiles."""
    means, areas = dict(found["means"]), dict(found["areas"])
    runs = means.pop("runs"), areas.pop("runs")
    lines = [
        f"Coverage in {runs[0]:,} simulations of skewed squared errors (mild, grown, heavy), {runs[1]} of an AUC:",
        "",
        "| Metric | Samples | Percentile bootstrap | BCa bootstrap | Student's t |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, held in means.items():
        kind, n = name.split()
        lines.append(f"| mse, {kind} | {n} | {' | '.join(_percent(held[k], 1) for k in ('percentile', 'bca', 't'))} |")
    for n, held in areas.items():
        lines.append(f"| auc | {n} | {_percent(held['percentile'], 1)} | {_percent(held['bca'], 1)} | |")
    return [*lines, ""]


def _limits(found: Record) -> list[str]:
    """How often the gate fails a file that exceeds nothing, and one that does."""
    sets, slices = found["sets"], found["slices"]
    shares = list(next(iter(found["exact"].values())))
    smaller = ", ".join(f"{_percent(rate, 1)} with {n}" for n, rate in found["smaller"].items())
    held = ", ".join(f"{_percent(r['fails'])} where it loses {points} points" for points, r in found["found"].items())
    return [
        "### How often the gate fails",
        "",
        (
            f"{sets} simulated data sets of {slices} slices with {found['samples']} samples each ({sets // 5} of AUC); "
            "2 % of the samples are fixed. No slice exceeds the limit: each `fail` is false. To compare: how often "
            "some interval of 95 % lies beyond the limit."
        ),
        "",
        "| What happens to all slices | The gate fails | Some interval is beyond the limit |",
        "|---|--:|--:|",
        *(f"| {name} | {_percent(r['fails'], 1)} | {_percent(r['beyond'])} |" for name, r in found["false"].items()),
        "",
        (
            f"Where each of {slices} slices loses exactly the limit, the gate fails at these rates, exact over all "
            "outcomes, by the share of samples that are fixed:"
        ),
        "",
        f"| Limit, points | {' | '.join(f'{share} %' for share in shares)} |",
        f"|--:{'|--:' * len(shares)}|",
        *(
            f"| {limit} | {' | '.join(_percent(rate, 1) for rate in rates.values())} |"
            for limit, rates in found["exact"].items()
        ),
        "",
        f"The largest rate of such a table for slices of fewer samples: {smaller}.",
        "",
        f"Where one slice of {slices} exceeds a limit of 3, the gate fails in {held}.",
        "",
    ]


def _resnet8(found: Record) -> list[str]:
    studies = found["studies"]
    lines = [
        "### ResNet-8 on CIFAR-10, by class, brightness and noise",
        "",
        (
            f"{studies[0]['overall']['n']:,} test images, {len(studies[0]['rows'])} slices. *short tiny* is "
            "recipe `tiny` with a tenth of its epochs, made to have a file that lost something; it is no "
            "result of that recipe."
        ),
        "",
        *_studies(studies, _SHOWN),
        "",
        "| File | Calibration error before, after | Change [95 %] | Largest score, change [95 %] | Where it looks |",
        "|---|---|--:|--:|--:|",
    ]
    for study in studies:
        c, o = study["calibration"], study["occlusion"]
        lines.append(
            f"| {study['artifact']} | {c['ece_before']:.4f}, {c['ece_after']:.4f} | {_change(c['ece_change'])} "
            f"| {_change(c['confidence_change'])} | {o['similarity']:.3f} |"
        )
    unrelated = max(study["occlusion"]["unrelated"] for study in studies)
    n = studies[0]["occlusion"]["n"]
    return [
        *lines,
        "",
        (
            "*Where it looks* is the median rank correlation of occlusion maps with the original's over at "
            f"most {n} images; maps of different images reach {unrelated:.3f} at most."
        ),
        "",
    ]


def _adult(found: Record) -> list[str]:
    studies = found["studies"]
    last = studies[-1]
    return [
        "### Adult, by sex, race and both",
        "",
        (
            f"A network of two hidden layers, trained on half of the rows here; {last['overall']['n']:,} people "
            f"to test, {len(last['rows'])} slices. *few bits* has about 0.6 bits a weight after four epochs, "
            "made to have a file that lost something."
        ),
        "",
        *_studies(studies, 2),
        "",
        f"All slices of {last['artifact']}:",
        "",
        *_table(last["rows"]),
        "",
    ]


def _machine(found: Record) -> list[str]:
    lines = [
        "### MLPerf Tiny's autoencoder, by input",
        "",
        (
            f"The files that edgeship makes of ad01. Normal are {found['windows']} windows, which share no "
            "frame, of the one real recording in MLPerf Tiny's repository; disturbed are the same windows with "
            "a disturbance that we added. AUC by machine needs recordings of all machines, which we do not "
            "have."
        ),
        "",
        "| Disturbance | Windows | AUC, float32 | AUC, int8 | Change [95 %] | p, adjusted |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row['slice']} | {row['n']} | {row['before']:.4f} | {row['after']:.4f} | {row['delta']:+.4f} "
        f"[{row['low']:+.4f}, {row['high']:+.4f}] | {_p(row)} |"
        for row in found["auc"]
    ]
    called = [row["slice"] for row in found["auc"] if row["significant"]]
    lines += ["", _called(called, "disturbance"), ""]
    lines += [
        "| Reconstruction error of | Windows | float32 | int8 | Change [95 %] | p, adjusted |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row['slice'].removeprefix('input=')} | {row['n']} | {row['before']:.3f} | {row['after']:.3f} | "
        f"{row['delta']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}] | {_p(row)} |"
        for row in found["error"]
    ]
    return lines


def _called(names: Sequence[str], what: str) -> str:
    if not names:
        return f"For no {what} a change of AUC can be told from none with so few windows."
    return f"A change of AUC is significant for: {', '.join(names)}."


def _studies(studies: Iterable[Record], shown: int) -> list[str]:
    """Of each file: all samples, and the slices that lost most."""
    lines = [
        "| File | Slice | Samples | Before | After | Drop, points [95 %] | Broken | Fixed | p, adjusted | Over all |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for study in studies:
        lines.append(f"| **{study['artifact']}** | all | {_cells(study['overall'])} |")
        if study["overall"]["drop"]["interval"] != [0.0, 0.0]:
            lines += [f"| | {_name(row)} | {_cells(row)} |" for row in study["rows"][:shown]]
    return [
        *lines,
        "",
        (
            "Bold: significant after Holm's correction over the slices of that file. *Over all*: what a slice "
            "lost beyond what all samples lost."
        ),
    ]


def _table(rows: Iterable[Record]) -> list[str]:
    return [
        "| Slice | Samples | Before | After | Drop, points [95 %] | Broken | Fixed | p, adjusted | Over all |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        *(f"| {_name(row)} | {_cells(row)} |" for row in rows),
    ]


def _name(row: Record) -> str:
    name = row["slice"].replace("<", "&lt;").replace(">", "&gt;")
    return f"**{name}**" if row["significant"] else name


def _cells(row: Record) -> str:
    drop = row["drop"]
    low, high = drop["interval"]
    more = "" if row["excess_low"] is None else (
            f"{-100 * row['excess'] + 0.0:+.2f} [{-100 * row['excess_high'] + 0.0:+.2f}, "
            f"{-100 * row['excess_low'] + 0.0:+.2f}]"
        )  # fmt: skip
    return (
        f"{row['n']:,} | {100 * row['before']:.2f} % | {100 * row['after']:.2f} % | "
        f"{drop['value'] + 0.0:+.2f} [{low + 0.0:+.2f}, {high + 0.0:+.2f}] | {row['broken']} | "
        f"{row['fixed']} | {_p(row)} | {more}"
    )


def _p(row: Record) -> str:
    p = row["p_adjusted"]
    return "" if p is None else "<0.0001" if p < 0.0001 else f"{p:.4f}"


def _change(change: Record) -> str:
    low, high = change["interval"]
    return f"{change['value']:+.4f} [{low:+.4f}, {high:+.4f}]"


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"
