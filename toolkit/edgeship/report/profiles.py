"""Where the time of an inference goes, in words and as a picture."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from edgeship.report.plots import FORMS, Line, lined, shortened
from edgeship.report.svg import Chart, Scale
from edgeship.report.view import DASH, digits
from edgeship.types import Measurement, OperatorProfile, OperatorTime

#: How many operators have a line of their own; the others stand together.
MOST_LINES = 20
#: Median over lower quartile from which on both are said: profiles are of undisturbed inferences.
DISTURBED = 1.05


@dataclass(frozen=True)
class ProfileLine:
    """One line of a profile, as it is shown.

    Attributes:
        share: of the sum of all.
        macs, rate: multiply-accumulates, and billions of them a second; a dash where there is none.
    """

    operator: OperatorTime
    ms: str
    share: str
    macs: str
    rate: str


def profiled(measurements: Sequence[Measurement]) -> list[tuple[Measurement, OperatorProfile]]:
    """Those of which the operators were timed."""
    return [(m, m.profile) for m in measurements if m.profile is not None]


def lines(profile: OperatorProfile) -> list[ProfileLine]:
    """The operators that take most, in the order in which they run, then the rest as one."""
    kept = sorted(range(len(profile.operators)), key=lambda k: -profile.operators[k].ms)[:MOST_LINES]
    rest = [o for k, o in enumerate(profile.operators) if k not in kept]
    shown = [profile.operators[k] for k in sorted(kept)]
    if rest:
        count = sum(operator.operators for operator in rest)
        shown.append(OperatorTime(f"{count} others", "", sum(o.ms for o in rest), None, _sum(rest), count))
    # Four digits of the sum, so that operators of a hundredth of it have two.
    places = max(2, 4 - math.ceil(math.log10(profile.total_ms))) if profile.total_ms > 0 else 4
    return [_line(operator, profile.total_ms, places) for operator in shown]


def _sum(operators: Sequence[OperatorTime]) -> float | None:
    known = [o.macs for o in operators if o.macs is not None]
    return sum(known) if len(known) == len(operators) else None


def _line(operator: OperatorTime, total_ms: float, places: int) -> ProfileLine:
    share = f"{100 * operator.ms / total_ms:.1f} %" if total_ms > 0 else DASH
    macs = f"{operator.macs:,.0f}" if operator.macs else DASH
    # Of what may as well take no time there is no rate.
    sure = operator.ms > 0 and (operator.interval_ms is None or operator.interval_ms[0] > operator.ms / 2)
    rate = f"{operator.macs / operator.ms / 1e6:,.3g}" if operator.macs and sure else DASH
    return ProfileLine(operator, _ms_text(operator, places), share, macs, rate)


def _ms_text(operator: OperatorTime, places: int) -> str:
    """`0.0046 ±0.0001`: with half the width of the 95 % interval."""
    if operator.interval_ms is None:
        return f"{operator.ms:.{places}f}"
    return f"{operator.ms:.{places}f} ±{(operator.interval_ms[1] - operator.interval_ms[0]) / 2:.{places}f}"


def sentences(measurement: Measurement, profile: OperatorProfile) -> list[str]:
    """What a reader must know of a profile: how it was taken, how far off it may be, how it adds up."""
    explained = _explained(measurement, profile)
    how = {
        "runtime": f"{measurement.runtime} says so itself, in a run of its own, {profile.rounds} rounds",
        "split": (
            f"differences of the times of the file cut after each operator, {profile.rounds} rounds; a time may be "
            f"off by up to {digits(profile.error_ms)} ms"
        ),
    }[profile.method]
    return [f"the operators take {digits(profile.total_ms)} ms together{explained}: {how}", *profile.notes]


def _explained(measurement: Measurement, profile: OperatorProfile) -> str:
    """` (97 % of the median of 0.312 ms)`; of a disturbed measurement also of its fastest quarter."""
    ordered = sorted(measurement.latency_ms)
    median, quarter = statistics.median(ordered), ordered[len(ordered) // 4]
    if quarter <= 0:
        return ""
    said = f"{100 * profile.total_ms / median:.0f} % of the median of {digits(median)} ms"
    if median > DISTURBED * quarter:
        said += f", {100 * profile.total_ms / quarter:.0f} % of the {digits(quarter)} ms that the fastest quarter took"
    return f" ({said})"


def chart(measurement: Measurement, profile: OperatorProfile, name: str) -> list[Chart]:
    """A bar for each line, with the interval of its time; for a wide page and for a phone."""
    return [_chart(measurement, lines(profile), name, kind) for kind in ("wide", "narrow")]


def _chart(measurement: Measurement, shown: Sequence[ProfileLine], name: str, kind: str) -> Chart:
    names = [shortened(line.operator.name, 34) for line in shown]
    made = [Line(text, f"{line.ms} ms  {line.share}") for text, line in zip(names, shown, strict=True)]
    label = f"Time by operator of {name} in {measurement.engine} on {measurement.target}"
    drawn, left, right, middles = lined(made, kind, label, 0)
    ends = [max(line.operator.ms, *(line.operator.interval_ms or (0.0,))) for line in shown]
    x = Scale(0.0, max([*ends, 1e-9]), left, right)
    form = measurement.artifact.partition("/")[0]
    color = f"bar f{list(FORMS).index(form) if form in FORMS else len(FORMS)}"
    for line, middle in zip(shown, middles, strict=True):
        operator = line.operator
        style = color if operator.macs else "bar rest"
        drawn.rect(
            (left, middle - 8), (x(operator.ms) - left, 16), style, f"{operator.name} {operator.type}: {line.ms} ms"
        )
        if operator.interval_ms is not None:
            low, high = map(x, operator.interval_ms)
            drawn.rect((low, middle - 2), (high - low, 4), "ci")
    return drawn
