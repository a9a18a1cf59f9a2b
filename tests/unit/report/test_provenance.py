"""What was measured, emulated and estimated never stands in one table or drawing."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from tests import report_builder, result_rows
from tests.latencies import measured

from edgeship.report import page, read, results, view, write
from edgeship.types import NO_GPU, Energy, Measurement, Report, Throughput


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Report:
    built = report_builder.build(tmp_path_factory.mktemp("build"))
    return replace(
        built,
        emulations=(result_rows.emulation(), result_rows.micro()),
        estimates=(result_rows.bound(), result_rows.fit()),
        unmeasured=(result_rows.refused(),),
    )


def sections(html: str) -> dict[str, str]:
    """Text of each section by its heading."""
    found = {}
    for part in re.split(r"<section", html)[1:]:
        heading = re.search(r"<h2[^>]*>(.*?)</h2>", part)
        if heading:
            found[heading[1]] = re.sub(r"<[^>]+>", " ", part)
    return found


def test_each_kind_has_its_own_section(made: Report) -> None:
    found = sections(page.pages(made)[0])
    emulated = found["Emulated"]
    assert "3,234,011" in emulated
    assert "multiply-add 50 %, load and store 25 %" in emulated
    assert "bit-identical to litert on x86_64, 8 samples" in emulated
    assert "differs from litert on x86_64 by up to 0.0039, 1 sample" in emulated
    assert "34,816 B" in emulated
    assert not re.search(r"\d ms", emulated)
    estimated = found["Estimated"]
    assert "≥ 1.90 ms" in estimated
    assert "about 2.14 ms, ±12 % (leave-one-out error)" in estimated
    assert "this browser has no WebGPU adapter" in found["Not measured"]


def test_no_drawing_and_no_table_of_latencies_shows_another_kind(made: Report) -> None:
    for shown in page.pages(made):
        before, _, rest = shown.partition("Emulated" if shown.startswith("#") else 'id="emulated"')
        assert "emulated:" not in before
        assert "coral" not in before
        assert "1.90" not in before
        assert rest
    html = page.pages(made)[0]
    for drawing in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        assert "emulated" not in drawing
        assert "coral" not in drawing


def test_markdown_has_the_same(made: Report) -> None:
    markdown = page.pages(made)[1]
    for words in ("## Emulated", "3,234,011", "## Estimated", "≥ 1.90 ms", "## Not measured", "no WebGPU adapter"):
        assert words in markdown


def test_without_them_there_are_no_sections(made: Report) -> None:
    plain = replace(made, emulations=(), estimates=(), unmeasured=())
    for shown in page.pages(plain):
        for word in ("Emulated", "Estimated", "Not measured"):
            assert word not in shown


def test_they_are_kept_in_the_report_file(made: Report, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = made.artifacts[0].path.parent.parent.parent
    write(made, folder)
    again = read(folder)
    assert (again.emulations, again.estimates, again.unmeasured) == (made.emulations, made.estimates, made.unmeasured)


def test_sizes_of_an_emulated_file_count(made: Report) -> None:
    only = replace(made, measurements=())
    int8 = next(a for a in only.artifacts if a.id == "tflite/int8")
    assert only.wire_bytes(int8) == 77_786
    row = next(r for r in view.rows(only) if r.artifact.id == "tflite/int8")
    assert row.compressed == (86_000, 77_786, 79_755)
    assert row.timings == ()


def test_devices_say_what_they_are(made: Report) -> None:
    assert {"local (measured)", "emulated:cortex-a72 (emulated)", "coral (estimated)"} <= set(
        view.devices((*made.measurements, *made.emulations, *made.estimates))
    )


def test_throughput_and_energy_of_a_measurement(made: Report) -> None:
    first, *others = made.measurements
    assert (results.throughput_text(first), results.energy_text(first)) == (view.DASH, view.DASH)
    whole = replace(
        first,
        preprocessing_ms=0.012,
        postprocessing_ms=0.003,
        batch=Throughput(8, 3912.4),
        streaming=Throughput(1, 3117.0),
        energy=Energy(2.313, "package-0"),
        repeats=5,
    )
    found = sections(page.pages(replace(made, measurements=(whole, *others)))[0])["Latency"]
    for words in ("3,117 one by one, 3,912 in batches of 8", "2.31 mJ (package-0)", "0.0120", "0.00300"):
        assert words in found


def test_verdicts_are_about_what_was_measured_side_by_side(made: Report) -> None:
    first, second, third, *_ = made.measurements
    elsewhere = replace(third, target="browser:chromium", group="a")
    other = replace(elsewhere, runtime="onnx-web")
    found = results.verdicts([first, second, elsewhere, other, replace(other, group="b")])
    assert len(found) == 3
    assert found[0].startswith("local: tflite/float16 ")
    assert found[0].endswith("99 % interval " + found[0].rpartition("99 % interval ")[2])
    assert found[2].startswith("On browser:chromium, local each file was started once")
    assert "browser:chromium: tflite/dynamic in onnx-web takes 1.000x the time of tflite/dynamic in litert" in found[1]
    coarse = replace(second, latency_ms=(0.0,) * len(second.latency_ms))
    sentence, _ = results.verdicts([first, coarse])
    assert "cannot be compared" in sentence
    assert "clock is too coarse" in sentence
    repeated = [replace(m, repeats=5) for m in (first, second)]
    assert len(results.verdicts(repeated)) == 1
    assert results.verdicts([first]) == []
    html, markdown = page.pages(made)
    assert "tflite/int8 is" in sections(html)["Latency"]
    assert "## Which is faster" in markdown


def rising(repeats: int, scale: float) -> Measurement:
    """Ten rounds of a start, through which a file becomes half as slow again."""
    rounds = [np.full(20, scale * (1 + 0.05 * (n % 10))) for n in range(10 * repeats)]
    return measured(rounds, repeats)


def test_an_unstable_row_gets_no_verdict_from_few_starts() -> None:
    first, second = (replace(rising(5, scale), artifact=name) for name, scale in (("a", 1.0), ("b", 1.3)))
    assert results.verdicts([first, second]) == [
        "local: no verdict on b against a: not all of them were stable; stop other work, raise --repeats"
    ]


def test_software_that_stood_for_a_gpu_gets_no_verdict() -> None:
    rounds = {name: [np.full(20, scale)] * 10 for name, scale in (("a", 1.0), ("b", 1.3))}
    rows = [replace(measured(found, 6, software_gpu="yes"), artifact=name) for name, found in rounds.items()]
    assert results.verdicts(rows) == [f"local: no verdict on b against a: {NO_GPU}"]


def test_notes_that_differ_in_numbers_only_are_said_once() -> None:
    said = (("load average 6.7 on 2 cores", "a fixed batch"), ("load average 0.9 on 2 cores",), ("no p99",))
    rows = [replace(rising(1, 1.0), artifact=name, notes=notes) for name, notes in zip("abc", said, strict=True)]
    assert results.notes(rows) == [
        "a on local: load average 6.7 on 2 cores, and 1 more like it",
        "a on local: a fixed batch",
        "c on local: no p99",
    ]


def test_from_six_starts_on_it_says_what_holds() -> None:
    first, second = (replace(rising(6, scale), artifact=name) for name, scale in (("a", 1.0), ("b", 1.3)))
    (sentence,) = results.verdicts([first, second])
    assert sentence.startswith("local: b is 1.30x slower than a, 99 % interval ")
    assert "(b and a were unstable: the ratio is of rounds that both met" in sentence


def test_verdicts_name_the_runtime_where_a_target_has_several() -> None:
    rows = [
        replace(row, artifact=name, target="browser:chromium", runtime=runtime, group=runtime)
        for runtime in ("tfjs-wasm", "tfjs-webgl")
        for name, row in (("a", measured([np.full(20, 1.0)] * 10)), ("b", measured([np.full(20, 1.3)] * 10)))
    ]
    found = results.verdicts(rows)
    assert found[0].startswith("browser:chromium, tfjs-wasm: b is 1.30x slower than a")
    assert found[1].startswith("browser:chromium, tfjs-webgl: b is 1.30x slower than a")


def test_drawings_tell_the_runtimes_of_one_file_apart(made: Report) -> None:
    """Also where there are as many formats as runtimes."""
    rows = [m for m in made.measurements if m.artifact in ("tflite/int8", "onnx/int8")]
    assert len(rows) == 2
    browser = [
        replace(rows[0], target="browser:chromium", runtime=name) for name in ("litert-web-wasm", "litert-webgpu")
    ]
    html = page.pages(replace(made, measurements=(*made.measurements, *browser)))[0]
    drawings = [text for text in re.findall(r"<figure>.*?</figure>", html, re.DOTALL) if "browser:chromium" in text]
    assert len(drawings) == 2  # against the metric, and the distributions
    assert "tflite/int8 litert-web" in drawings[0]
    assert ">tflite/int8 litert-web-wasm<" in drawings[1]
    assert ">tflite/int8 litert-webgpu<" in drawings[1]
