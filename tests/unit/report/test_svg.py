import math

import numpy as np
import pytest

from edgeship.report.plots import Point, density, pareto
from edgeship.report.svg import Scale, padded, place_labels
from edgeship.report.view import Row, digits, kilobytes, share, signed
from edgeship.types import Artifact


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@pytest.mark.parametrize("seed", range(20))
def test_labels_cover_neither_each_other_nor_points(seed):
    rng = np.random.default_rng(seed)
    # Clusters, as the same variant in three formats makes them.
    places = rng.uniform(80, 440, (5, 1, 2)) * [1, 0.7] + rng.normal(0, 4, (5, 3, 2))
    points = [(float(x), float(y)) for x, y in places.reshape(-1, 2)]
    texts = [f"format/variant{i}" for i in range(15)]
    frame = (50.0, 10.0, 540.0, 340.0)
    labels = place_labels(points, texts, frame, [(300.0, 100.0, 400.0, 115.0)])
    placed = [label for label in labels if label is not None]
    assert len(placed) >= 14
    for i, label in enumerate(placed):
        assert frame[0] <= label.box[0] < label.box[2] <= frame[2]
        assert frame[1] <= label.box[1] < label.box[3] <= frame[3]
        assert not overlap(label.box, (300.0, 100.0, 400.0, 115.0))
        assert not any(overlap(label.box, other.box) for other in placed[:i])
    for label, own in zip(labels, points, strict=True):
        for x, y in points:
            if label is not None and (x, y) != own:
                assert not overlap(label.box, (x - 6, y - 6, x + 6, y + 6))


def test_a_label_without_room_is_left_out():
    assert place_labels([(50.0, 20.0)], ["a name far too long for this frame"], (0.0, 0.0, 100.0, 40.0)) == [None]


@pytest.mark.parametrize(
    ("low", "high", "log"),
    [(0, 1, False), (84.6, 85.1, False), (-0.3, 0.8, False), (0.3, 30, True), (95e3, 350e3, True), (1, 1.3, True)],
)
def test_ticks_are_few_round_and_inside(low, high, log):
    scale = Scale(low, high, 0, 100, log)
    ticks = scale.ticks(5)
    assert 2 <= len(ticks) <= 9
    assert ticks == sorted(ticks)
    assert all(low * 0.999 - 1e-9 <= t <= high * 1.001 + 1e-9 for t in ticks)
    assert all(float(f"{t:.3g}") == pytest.approx(t) for t in ticks)


def test_scales_map_ends_to_ends_and_clip():
    for log in (False, True):
        scale = Scale(1.0, 100.0, 10.0, 20.0, log)
        assert scale(1.0) == 10.0
        assert scale(100.0) == pytest.approx(20.0)
        assert scale(1e6) == pytest.approx(20.0)
        assert scale(0.001) == 10.0
    assert Scale(1.0, 100.0, 0.0, 2.0, log=True)(10.0) == pytest.approx(1.0)


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0], [0.0], [-2.0, 3.0]])
def test_padding_never_gives_an_empty_scale(values):
    low, high = padded(values)
    assert low < min(values) <= max(values) < high


def point(x, y, verification="passed"):
    artifact = Artifact(None, "tflite", "int8", (), (), (), "0" * 64, verification=verification)
    status = "UNVERIFIED" if verification == "UNVERIFIED" else "pass"
    return Point(Row(artifact, status, y, None, (), (), None, False), x, y, artifact.id)


def test_the_front_by_hand():
    points = [point(1, 0.5), point(2, 0.4), point(3, 0.9), point(3, 0.8), point(4, 0.9), point(0.5, 0.99, "UNVERIFIED")]
    assert [(p.x, p.y) for p in pareto(points, "maximize")] == [(1, 0.5), (3, 0.9)]
    assert [(p.x, p.y) for p in pareto(points, "minimize")] == [(1, 0.5), (2, 0.4)]
    assert pareto(points, None) == []


def test_density_peaks_where_the_values_are():
    rng = np.random.default_rng(1)
    values = [*rng.normal(2.0, 0.05, 900), *rng.normal(4.0, 0.05, 100)]
    outline = density(values, Scale(1.0, 5.0, 0.0, 400.0))
    peak = max(outline, key=lambda item: item[1])
    assert peak[0] == pytest.approx(100.0, abs=3)
    assert peak[1] == 1.0
    second = max((item for item in outline if item[0] > 200), key=lambda item: item[1])
    assert second[0] == pytest.approx(300.0, abs=6)
    assert 0.05 < second[1] < 0.2


@pytest.mark.parametrize("values", [[2.0], [2.0] * 50, [2.0, 4.0]])
def test_density_of_few_or_equal_values_is_finite(values):
    for log in (False, True):
        outline = density(values, Scale(1.0, 5.0, 0.0, 400.0, log))
        assert all(math.isfinite(x) and 0 <= h <= 1 for x, h in outline)


@pytest.mark.parametrize(
    ("value", "text"), [(0.3117, "0.312"), (28.44, "28.4"), (1234.5, "1234"), (0.00123, "0.00123"), (0.0, "0")]
)
def test_digits(value, text):
    assert digits(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(98_464, "98.5 kB"), (512, "512 B"), (3_200_000, "3.20 MB"), (1000, "1.00 kB")]
)
def test_kilobytes(value, text):
    assert kilobytes(value) == text


def test_signs_and_shares():
    assert signed(-0.1) == "\u22120.10"
    assert signed(0.0) == "+0.00"
    assert share(50, [100, 50]) == "50.0%"
    assert share(0, [0]) == "0%"
    assert share(float("nan"), [1.0]) == "0%"
