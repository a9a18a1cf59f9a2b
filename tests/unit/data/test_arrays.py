"""Arrays written in pieces and hashed by content."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeship.data import arrays
from edgeship.data.arrays import RowWriter, save_rows, update_hash


def digest(array: Any, name: str = "a") -> str:
    found = hashlib.sha256()
    update_hash(found, name, array)
    return found.hexdigest()


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "bool", "<U7"])
def test_rows_are_written_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    monkeypatch.setattr(arrays, "_PIECE_BYTES", 64)
    source = np.arange(60).reshape(20, 3).astype(dtype)
    index = np.array([0, 19, 5, 5, 7])
    save_rows(tmp_path / "a.npy", source, index)
    found = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert found.dtype == source.dtype
    assert np.array_equal(found, source[index])


def test_a_file_with_missing_or_odd_rows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 of 3 rows were written"), RowWriter(tmp_path / "a.npy", 3) as writer:
        writer.write(np.zeros((2, 2)))
    with RowWriter(tmp_path / "b.npy", 3) as writer:
        writer.write(np.zeros((2, 2)))
        with pytest.raises(ValueError, match=r"rows of shape \(3,\) after rows of shape \(2,\)"):
            writer.write(np.zeros((1, 3)))
        writer.write(np.ones((1, 2)))
    assert np.load(tmp_path / "b.npy").sum() == 2


def test_the_hash_is_of_values(monkeypatch: pytest.MonkeyPatch) -> None:
    a = np.random.default_rng(0).random((40, 5))
    reference = digest(a)
    monkeypatch.setattr(arrays, "_PIECE_BYTES", 100)
    same = [np.asfortranarray(a), a.astype(">f8"), a[::-1][::-1]]
    assert {digest(x) for x in same} == {reference}
    other = [a.astype("float32"), a.reshape(20, 10), a + 1e-16 * (np.arange(40) == 39)[:, None] + 1e-12, a[:-1]]
    assert len({digest(x) for x in other} | {reference, digest(a, "b"), digest(np.float64(3))}) == len(other) + 3
