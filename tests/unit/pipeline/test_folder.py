"""Build folders: whose they are, and that nothing of others is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeship.errors import OutputError
from edgeship.pipeline import folder


def test_claim_makes_and_continues_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "build"
    folder.claim(out, "k1", {"model": "m"}, force=False)
    (out / "artifacts").mkdir()
    (out / "artifacts" / "kept").write_text("x")
    folder.claim(out, "k1", {"model": "m"}, force=False)
    assert (out / "artifacts" / "kept").read_text() == "x"


def test_another_build_is_refused_and_replaced_only_with_force(tmp_path: Path) -> None:
    folder.claim(tmp_path / "b", "k1", {}, force=False)
    (tmp_path / "b" / "report.html").write_text("old")
    with pytest.raises(OutputError, match="holds a build made from other inputs") as caught:
        folder.check(tmp_path / "b", "k2", force=False)
    assert "--force" in caught.value.remedy
    assert (tmp_path / "b" / "report.html").exists()
    folder.claim(tmp_path / "b", "k2", {}, force=True)
    assert not (tmp_path / "b" / "report.html").exists()


def test_foreign_content_is_refused_and_survives_force(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="is not empty and was not made by edgeship"):
        folder.check(tmp_path, "k", force=False)
    folder.claim(tmp_path, "k", {}, force=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    "name", ["artifacts/data.csv", "golden/a.npy", "model.keras", "report.html", "provenance.json"]
)
def test_force_never_replaces_what_edgeship_did_not_make(tmp_path: Path, name: str) -> None:
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(OutputError, match=rf"was not made by edgeship and holds {Path(name).parts[0]}") as caught:
        folder.claim(tmp_path, "k", {}, force=True)
    assert "--force replaces only what edgeship made" in caught.value.remedy
    assert mine.read_text() == "mine"


def test_force_keeps_the_users_folder_named_model(tmp_path: Path) -> None:
    folder.claim(tmp_path, "k1", {}, force=False)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_text("mine")
    folder.claim(tmp_path, "k2", {}, force=True)
    assert (tmp_path / "model" / "saved_model.pb").read_text() == "mine"


@pytest.mark.parametrize("name", ["model.keras", "artifacts/tflite/float32/model.tflite"])
def test_a_build_never_replaces_the_model_that_it_is_made_from(tmp_path: Path, name: str) -> None:
    folder.claim(tmp_path, "k1", {}, force=False)
    model = tmp_path / name
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_text("weights")
    with pytest.raises(OutputError, match="where the build would replace it"):
        folder.claim(tmp_path, "k2", {}, force=True, inputs=(model,))
    assert model.read_text() == "weights"


def test_a_file_or_link_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is not a folder"):
        folder.check(tmp_path / "file", "k", force=True)
    with pytest.raises(OutputError, match="is not a folder"):
        folder.check(tmp_path / "file" / "below", "k", force=False)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(OutputError, match="is not a folder"):
        folder.check(tmp_path / "link", "k", force=True)


def test_unwritable_place_is_refused() -> None:
    with pytest.raises(OutputError, match="cannot write /proc/edgeship"):
        folder.claim(Path("/proc/edgeship"), "k", {}, force=False)
