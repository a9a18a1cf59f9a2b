import functools
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from tests import report_builder

from edgeship import report
from edgeship.errors import MissingPackageError
from edgeship.report import page, schema
from edgeship.types import DeviceInfo, Failure, Gate

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; DROP TABLE x; --",
    "</title></svg><svg onload=alert(1)>",
    "javascript:alert(1) https://evil.example www.evil.example @everyone",
    "{{ 7 * 7 }}{% raw %}",
    "a|b|c\n\n# heading\n```\n![x](http://evil.example/x.png) [y](javascript:z) <b>",
    "\u202egnp.exe\x1b[31m\x00\u200b",
)
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Reader(HTMLParser):
    """Collects elements and text, and checks that every element is closed where it should be."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return report_builder.build(tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="module")
def html(made):
    return page.pages(made)[0]


@pytest.fixture(scope="module")
def markdown(made):
    return page.pages(made)[1]


def hostile(made, text):
    """A report that carries `text` wherever text from outside may stand."""
    source = replace(made.source, kind=text, loader=text, custom_objects=(text,))
    device = DeviceInfo(text, "measured", {text: text})
    first, gates = made.artifacts[0], made.gates
    return replace(
        made,
        name=text,
        metric=text,
        source=source,
        dataset=replace(made.dataset, name=text, task=text, classes=(text,), counts={text: 3}),
        recipe={"name": text, text: [text], "seed": text},
        artifacts=(replace(first, labels=(text,), made_by={text: text}), *made.artifacts[1:]),
        gates=(*gates, Gate(text, text, text, "fail", False, 1.0, 0.5, text, 5, None, text)),
        measurements=tuple(
            replace(m, target=text, runtime=text, device=device, notes=(text,)) for m in made.measurements
        ),
        stages=tuple(
            replace(s, name=text, notes=(text,), files=tuple(replace(f, artifact=text, runtime=text) for f in s.files))
            for s in made.stages
        ),
        attempts=tuple(replace(a, recipe=text, reason=text) for a in made.attempts),
        failures=(Failure(text, "verify", text, text, text, True),),
        environment={text: text},
        command=("edgeship", text),
        warnings=(text,),
    )


@pytest.fixture(scope="module")
def hostile_pages(made):
    return functools.cache(lambda text: page.pages(hostile(made, text)))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_shown_and_never_obeyed(hostile_pages, html, text):
    known = parsed(html)
    page_, markdown_ = hostile_pages(text)
    found = parsed(page_)
    assert set(found.tags) <= set(known.tags) | {"br"}
    assert {name for _, name, _ in found.attributes} <= {name for _, name, _ in known.attributes}
    assert not any(name.startswith("on") for _, name, _ in found.attributes)
    assert "script" not in found.tags
    assert "img" not in found.tags
    shown = " ".join("".join(found.text).split())
    expected = {HOSTILE[-1]: r"\u202egnp.exe\u001b[31m\u0000\u200b"}.get(text, " ".join(text.split()))
    assert expected in shown
    for document in (page_, markdown_):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u200b\u202e]", document)


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_stays_a_page_of_tables(hostile_pages, markdown, text):
    _, document = hostile_pages(text)
    outside = re.sub(r"^(`{3,})\n.*?\n\1$", "", document, flags=re.S | re.M)
    assert [line for line in outside.splitlines() if line.startswith("## ")] == [
        line for line in markdown.splitlines() if line.startswith("## ")
    ]
    for block in re.split(r"\n\n", outside):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        cells = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
        assert len(cells) <= 1, block
    assert "<" not in outside
    assert "](" not in outside.replace(r"\]", "")
    assert "://" not in outside
    assert "www." not in outside
    assert "@" not in outside


def test_the_page_needs_no_network_and_no_script(html):
    found = parsed(html)
    csp = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert ("meta", "content", csp) in found.attributes
    assert html.index("Content-Security-Policy") < html.index("<style>")
    assert not set(found.tags) & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    for _, name, value in found.attributes:
        assert name not in ("src", "srcset", "action", "xlink:href")
        assert name != "href" or value.startswith("#")
    assert "url(" not in html
    assert "@import" not in html
    assert "://" not in html


def test_the_page_can_be_read_by_all(html):
    found = parsed(html)
    assert ("html", "lang", "en") in found.attributes
    assert ("meta", "name", "viewport") in found.attributes
    headers = [a for a in found.attributes if a[:2] == ("th", "scope")]
    assert len(headers) == found.tags.count("th")
    assert {value for _, _, value in headers} == {"col", "row"}
    pictures = [a for a in found.attributes if a[:2] == ("svg", "role")]
    labels = [value for tag, name, value in found.attributes if (tag, name) == ("svg", "aria-label")]
    assert len(labels) == len(pictures) > 6
    assert all(labels)
    assert found.tags.count("figure") == found.tags.count("figcaption") > 4
    ids = [value for _, name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value for _, name, value in found.attributes if name == "aria-labelledby"} <= set(ids)
    for query in ("prefers-color-scheme:dark", "@media print", "max-width:760px"):
        assert query in html


def test_figures_of_the_report_stand_in_both_pages(html, markdown):
    text = "".join(parsed(html).text)
    for value in (
        "9 of 12 files passed",
        "98,464",
        "84.94 %",
        "+0.10 [\u22120.24, +0.44]",
        "smallest that passed",
        "edgeship build",
        "tfjs-wasm needs Node 20 or later",
        "edgeship doctor --install node",
        "b" * 64,
        "the schedule reached its sparsity",
    ):
        assert value in text, value
    best = "Smallest passing file: tflite/int8, 98,464 B (77,786 B compressed)"
    for value in ("9 of 12 files passed", best, "84.94 %", "? inconclusive"):
        assert value in markdown, value
    assert re.search(r"0\.31\d ms \[0\.31\d, 0\.31\d\]", text)
    assert "measured" in text


def test_unverified_is_said_wherever_the_file_is_shown(made):
    unverified = replace(made.artifacts[3], verification="UNVERIFIED")
    artifacts = (*made.artifacts[:3], unverified, *made.artifacts[4:])
    html, markdown = page.pages(replace(made, artifacts=artifacts))
    # What attempts and stages gave are other files, and none that is delivered.
    delivered = re.sub(
        r'<section aria-labelledby="(?:attempts|stages)">.*?</section>', "", html.split("</style>")[1], flags=re.S
    )
    shown = re.sub(r"<title>.*?</title>", "", delivered)
    # Wherever the id stands as the name of a file, the word stands beside it.
    for piece in re.findall(r"(?<![\w/])tflite/int8(?![\w/-])(.{0,130})", re.sub(r"\s+", " ", shown)):
        assert "UNVERIFIED" in piece, piece
    rows = [line for line in markdown.splitlines() if line.startswith("| tflite/int8 ")]
    assert rows
    assert all("UNVERIFIED" in row for row in rows)
    assert "Smallest passing file: tflite/int8," not in markdown


def test_equal_reports_give_equal_pages(tmp_path, made):
    """Also in another process, whose hash seed is another one."""
    code = (
        "import sys, hashlib, pathlib; from tests import report_builder; from edgeship.report import page;"
        "made = report_builder.build(pathlib.Path(sys.argv[1]));"
        "print(hashlib.sha256(''.join(page.pages(made)).encode()).hexdigest())"
    )
    root = report_builder.__file__.rsplit("/tests/", 1)[0]
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            env={"PYTHONHASHSEED": seed, "PATH": "", "HOME": "/"},
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(hashes) == 1


def test_a_build_without_data_is_shown(made):
    bare = replace(
        made,
        dataset=None,
        metric=None,
        metric_direction=None,
        baseline=None,
        predictions={},
        gates=tuple(g for g in made.gates if g.name != "metric"),
        stages=(),
        attempts=(),
    )
    html, markdown = page.pages(bare)
    assert "No data was given, so accuracy was not measured." in "".join(parsed(html).text)
    assert "No data was given" in markdown
    assert 'id="tradeoffs"' not in html
    assert 'id="latency"' in html


def test_a_build_without_measurements_is_shown(made):
    html, markdown = page.pages(replace(made, measurements=()))
    assert "not measured" in "".join(parsed(html).text)
    assert "not measured" in markdown
    assert 'id="latency"' not in html
    assert "against size" in html


def test_a_build_that_exported_nothing_is_shown(made):
    html, markdown = page.pages(
        replace(made, artifacts=(), gates=(), measurements=(), predictions={}, stages=(), warnings=())
    )
    assert "Nothing was exported" in "".join(parsed(html).text)
    assert "Nothing was exported" in markdown


def test_nothing_passed_is_the_headline(made):
    artifacts = tuple(replace(a, verification="failed") for a in made.artifacts)
    html, markdown = page.pages(replace(made, artifacts=artifacts))
    assert "None of 12 files passed" in html
    assert "None of 12 files passed" in markdown
    assert "Smallest" not in markdown


def test_an_inconclusive_gate_that_the_recipe_accepts_counts_as_passed(made):
    gates = tuple(replace(g, accepted=True) if g.status == "inconclusive" else g for g in made.gates)
    artifacts = tuple(replace(a, verification="passed") if a.id == "onnx/int8" else a for a in made.artifacts)
    html, _ = page.pages(replace(made, gates=gates, artifacts=artifacts))
    assert "10 of 12 files passed" in html
    assert "accepted by the recipe" in html


def test_few_samples_have_no_interval(made):
    few = tuple(replace(m, latency_ms=m.latency_ms[:10], round_lengths=(10,)) for m in made.measurements)
    html, _ = page.pages(replace(made, measurements=few))
    assert re.search(r'<span class="fig">0\.3\d+ ms</span>', html)


def test_constant_latencies_can_be_drawn(made):
    same = tuple(replace(m, latency_ms=(0.5,) * 40, round_lengths=(40,)) for m in made.measurements)
    html, _ = page.pages(replace(made, measurements=same))
    assert "NaN" not in html
    assert "nan" not in re.findall(r'd="([^"]*)"', html)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_front_is_drawn_only_where_the_direction_is_known(made, direction):
    # One is the legend's own.
    assert page.pages(replace(made, metric_direction=direction))[0].count('class="front"') > 1
    assert page.pages(replace(made, metric_direction=None))[0].count('class="front"') == 1


def test_write_leaves_three_files(tmp_path):
    report.write(report_builder.build(tmp_path), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["artifacts", "report.html", "report.json", "report.md"]


def luminance(color):
    """Relative luminance (WCAG 2.2) of #rrggbb or #rgb."""
    digits = color[1:] if len(color) == 7 else "".join(2 * c for c in color[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_colours_have_contrast_in_every_scheme(html, scheme):
    colors = dict(re.findall(r"--(\w+):(#[0-9a-f]+)", re.findall(r":root\{(.*?)\}", html, re.S)[scheme]))
    for ground in ("bg", "panel", "best"):
        for name in ("ink", "soft", "pass", "fail", "warn", "none", "f0", "f1", "f2", "f3", "f4"):
            light, dark = sorted((luminance(colors[ground]), luminance(colors[name])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, ground)


@pytest.mark.parametrize("package", ["jsonschema", "jinja2"])
def test_a_missing_package_is_named_with_its_remedy(tmp_path, monkeypatch, package):
    page._environment.cache_clear()
    schema._validator.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPackageError, match=package) as caught:
        report.write(report_builder.build(tmp_path), tmp_path)
    assert "pip install 'edgeship[report]'" in caught.value.remedy
    assert [p.name for p in tmp_path.iterdir()] == ["artifacts"]


def test_the_parent_package_loads_nothing_heavy():
    code = "import sys, edgeship.report; print(*(m for m in ('numpy', 'jinja2', 'jsonschema') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_facts_that_differ_between_measurements_are_all_shown(made):
    changed = [
        replace(m, device=replace(m.device, facts={"cpu": "Xeon", "load": f"0.{i}", "runtime": f"r{i % 2}"}))
        for i, m in enumerate(made.measurements)
    ]
    text = "".join(parsed(page.pages(replace(made, measurements=tuple(changed)))[0]).text)
    assert "cpuXeon" in text
    assert "runtimer0, r1" in text
    assert "load0.0 … 0.10 (11 values)" in text


def test_how_to_reproduce_shows_code_as_it_is_and_the_data_options(made):
    options = {"seed": 3, "scale": 1 / 255, "task": None}
    changed = replace(made, command=("edgeship.build(model, data='d.npz')",), data_options=options)
    html_, markdown_ = page.pages(changed)
    assert "edgeship.build(model, data='d.npz')" in markdown_
    assert "edgeship.build(model, data=&#39;d.npz&#39;)" in html_
    for document in (html_, markdown_):
        assert "seed 3, scale 0.00392156862745098, task None" in document
