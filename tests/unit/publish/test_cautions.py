"""What publishing warns of, and bundles that fail their own golden samples."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from publishing import Site, as_variant, other_labels, same_source
from tests.device_repository import X

from edgeship import plugins
from edgeship.errors import ArtifactError
from edgeship.publish import release
from edgeship.publish.release import Published
from edgeship.releases.names import version
from edgeship.types import Manifest


def warned(made: Published) -> list[str]:
    return [each.kind for each in made.warnings]


def renamed(found: Manifest) -> Manifest:
    """As Keras does that numbers a layer anew."""
    (out,), golden = found.outputs, found.golden
    name = "probabilities_1"
    limits = tuple(
        replace(each, max_abs={name: each.max_abs[out.name]}, agreement={name: 0.0}) for each in golden.tolerances
    )
    golden = replace(golden, outputs={name: golden.outputs[out.name]}, tolerances=limits)
    return replace(found, outputs=(replace(out, name=name),), golden=golden)


def test_what_follows_the_rule_and_was_meant_is_not_warned_of(site: Site) -> None:
    assert warned(site.publish(2)) == []
    assert warned(site.publish(2)) == []


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (renamed, r"only names are others than in 1\.0\.0 \(probabilities is probabilities_1 now\).*Keras"),
        (other_labels, r"it has other labels than 1\.0\.0, and no device that follows v1 gets it"),
    ],
)
def test_a_new_line_is_warned_of(site: Site, edit: Callable[[Manifest], Manifest], message: str) -> None:
    made = site.publish(2, edit=edit)
    assert (made.version, warned(made)) == ("2.0.0", ["new-line"])
    assert made.warnings[0].message.startswith("2.0.0 begins the line points/v2: ")
    assert re.search(message, made.warnings[0].message)


def test_a_line_that_nothing_asks_for_is_warned_of(site: Site) -> None:
    made = site.publish(2, "2.0.0")
    assert warned(made) == ["new-line"]
    assert "inputs, outputs and labels are those of 1.0.0" in made.warnings[0].message


def test_a_version_below_the_newest_is_warned_of(site: Site) -> None:
    made = site.publish(2, "0.9.0")
    assert warned(made) == ["older", "new-line"]
    assert "0.9.0 is lower than 1.0.0" in made.warnings[0].message
    site.publish(3, "1.1.0")
    assert warned(site.publish(1, "1.0.1", edit=same_source(1))) == ["older"]


def test_a_variant_that_the_release_before_had_is_missed(site: Site) -> None:
    site.publish(1, "1.0.0", edit=as_variant("float16"))
    made = site.publish(2, "1.1.0")
    assert warned(made) == ["fewer-variants"]
    assert "1.1.0 has no tflite-float16, which 1.0.0 has" in made.warnings[0].message
    assert warned(site.publish(2, "1.1.0", edit=as_variant("float16"))) == []


@pytest.mark.parametrize("compress", [True, False])
def test_a_bundle_is_run_on_its_golden_samples_before_it_is_signed(site: Site, compress: bool) -> None:
    before = site.files()
    wrong = site.bundle(2, golden=np.full((len(X), 3), 1 / 3, np.float32), compress=compress)
    with pytest.raises(ArtifactError, match=r"fails its own self-test.*probabilities differs by .* litert may differ"):
        release.publish(site.repository, [wrong])
    broken = site.bundle(2, model=b"no model at all, and long enough to be read", compress=compress)
    with pytest.raises(ArtifactError, match="fails its own self-test"):
        release.publish(site.repository, [broken])
    assert site.files() == before
    right = release.publish(site.repository, [site.bundle(2, compress=compress)])
    assert (right.version, right.warnings) == ("1.1.0", ())


def test_golden_samples_that_could_not_be_run_are_said_to_be_not_run(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that publishes, and has no LiteRT."""
    litert = plugins.runtime("litert")
    monkeypatch.setattr(litert, "missing", lambda: ["ai-edge-litert"])
    made = release.publish(site.repository, [site.bundle(2)], version=version("1.1.0"))
    assert warned(made) == ["not-run"]
    assert "were not run here; for that: pip install ai-edge-litert" in made.warnings[0].message
