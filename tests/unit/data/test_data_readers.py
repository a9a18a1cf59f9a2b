"""Where samples come from: .npz files, folders of images, functions."""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeship.data import DataOptions, load, open_dataset
from edgeship.data.readers import decode_image, read, read_digits, read_images, read_npz
from edgeship.errors import DataError, MissingPackageError
from edgeship.types import Preprocessing, TensorSpec

RGB = (TensorSpec("image", (None, 6, 8, 3), "float32"),)
GREY = (TensorSpec("image", (None, 6, 8, 1), "float32"),)
TWO = (TensorSpec("p", (None, 2), "float32"),)


def images(folder: Path, classes: tuple[str, ...], count: int = 6, suffix: str = "png") -> Path:
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            colour = (40 * number + i, 100, 200 - i)
            Image.new("RGB", (20, 10), colour).save(folder / name / f"{i}.{suffix}")
    return folder


def test_digits_are_exact() -> None:
    first, second = read_digits(), read_digits()
    assert all(np.array_equal(first[key], second[key]) for key in first)
    # All sums of multiples of 1/1024: the same bits on every machine.
    assert np.array_equal(first["x_train"] * 1024, np.round(first["x_train"] * 1024))


def test_digits_are_enlarged_as_pillow_does() -> None:
    from sklearn.datasets import load_digits

    from edgeship.data.digits import arrays

    small = load_digits().images[0] / 16
    large = Image.fromarray(small.astype(np.float32)).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.allclose(arrays()["x"][0, ..., 0], np.asarray(large), atol=1e-6)


def test_npz_round_trip(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).random((40, 6, 8, 3)).astype(np.float32), np.arange(40) % 2
    np.savez(tmp_path / "set.npz", x=x, y=y, classes=np.array(["cat", "dog"]))
    dataset = open_dataset(str(tmp_path / "set.npz"), RGB, TWO, DataOptions(), tmp_path / "cache")
    assert (dataset.name, dataset.classes, dataset.counts["test"]) == ("set", ("cat", "dog"), 8)


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"a\.npz: x\.npy holds pickled Python objects, which are never loaded"):
        read_npz(tmp_path / "a.npz")


def npy(shape: tuple[int, ...], body: bytes) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return buffer.getvalue() + body


@pytest.mark.parametrize("shape", [(10**12,), (3,), (10**30, 10**30)])
def test_headers_that_lie_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", npy(shape, bytes(16)))
    with pytest.raises(DataError, match=r"x\.npy is truncated or its header is wrong"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz is (damaged|empty)"):
        read_npz(tmp_path / "a.npz")


def test_a_truncated_npz_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones(1000))
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:4000])
    with pytest.raises(DataError, match=r"a\.npz is damaged"):
        read_npz(tmp_path / "a.npz")


def test_a_flipped_byte_is_noticed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones(1000))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[4000] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz cannot be read: Bad CRC-32"):
        read_npz(tmp_path / "a.npz")


def test_unknown_datasets_say_what_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2")
    allowed = r"[\s\S]*digits, FILE\.npz, a folder of images by class, module:function"
    with pytest.raises(DataError, match=r"there is no dataset 'absent\.npz'" + allowed):
        read("absent.npz", ())
    with pytest.raises(DataError, match=r"a\.csv is not an \.npz file" + allowed):
        read(str(tmp_path / "a.csv"), ())


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp"])
def test_images_are_resized_and_counted_by_class(tmp_path: Path, suffix: str) -> None:
    dataset = open_dataset(
        str(images(tmp_path / "pets", ("cat", "dog"), suffix=suffix)), RGB, TWO, DataOptions(), tmp_path / "c"
    )
    assert (dataset.name, dataset.classes) == ("pets", ("cat", "dog"))
    assert sum(dataset.counts[s] for s in ("train", "validation", "test")) == 12
    samples = load(dataset, "train")
    assert samples.inputs["image"].dtype == np.float32
    assert samples.labels is not None
    for image, label in zip(samples.inputs["image"], samples.labels, strict=True):
        assert image.shape == (6, 8, 3)
        assert abs(image[3, 4, 0] - 40 * label) < 10
        assert abs(image[3, 4, 1] - 100) < 4


def test_train_and_test_folders_and_scale(tmp_path: Path) -> None:
    images(tmp_path / "d" / "train", ("a", "b"), 10)
    images(tmp_path / "d" / "test", ("a", "b"), 3)
    dataset = open_dataset(str(tmp_path / "d"), GREY, TWO, DataOptions(scale=1 / 255), tmp_path / "c")
    assert (dataset.counts["test"], dataset.counts["train"] + dataset.counts["validation"]) == (6, 20)
    x = load(dataset, "test").inputs["image"]
    assert x.shape[1:] == (6, 8, 1)
    assert 0.2 < x.min() <= x.max() < 0.6
    (tmp_path / "d" / "test" / "c").mkdir()
    with pytest.raises(DataError, match="train and test do not have the same class folders: c"):
        read_images(tmp_path / "d", GREY)


def test_a_folder_of_validation_images(tmp_path: Path) -> None:
    for split, count in (("train", 10), ("validation", 4), ("test", 3)):
        images(tmp_path / "d" / split, ("a", "b"), count)
    dataset = open_dataset(str(tmp_path / "d"), GREY, TWO, DataOptions(calibration_samples=5), tmp_path / "c")
    assert dataset.counts == {"train": 20, "validation": 8, "test": 6, "calibration": 5}
    (tmp_path / "d" / "validation" / "c").mkdir()
    with pytest.raises(DataError, match="train and validation and test do not have the same class folders: c"):
        read_images(tmp_path / "d", GREY)
    images(tmp_path / "e", ("good", "validation"), 2)  # classes
    assert read_images(tmp_path / "e", GREY)["classes"].tolist() == ["good", "validation"]


def test_numbered_classes_are_sorted_by_number_and_empty_ones_keep_their_place(tmp_path: Path) -> None:
    images(tmp_path / "d", ("10", "9"), 2)
    (tmp_path / "d" / "1").mkdir()
    found = read_images(tmp_path / "d", RGB)
    assert found["classes"].tolist() == ["1", "9", "10"]
    assert found["y"].tolist() == [1, 1, 2, 2]


def test_a_missing_class_folder_is_refused(tmp_path: Path) -> None:
    images(tmp_path / "d", ("a", "b"))
    ten = (TensorSpec("p", (None, 10), "float32"),)
    with pytest.raises(DataError, match="the dataset names 2 classes, but the model has 10 outputs"):
        open_dataset(str(tmp_path / "d"), RGB, ten, DataOptions(), tmp_path / "c")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((), "images need a model whose input gives their size"),
        ((TensorSpec("x", (None, 10), "float32"),), r"not one image of 1, 3 or 4 channels \(it has x \[None, 10\]\)"),
        ((TensorSpec("x", (None, 6, 8, 2), "float32"),), "not one image of 1, 3 or 4 channels"),
        ((*RGB, *GREY), "not one image"),
        ((TensorSpec("x", (None, None, None, 3), "float32"),), "has no fixed size"),
    ],
)
def test_models_that_take_no_image(tmp_path: Path, inputs: tuple[TensorSpec, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_images(images(tmp_path / "d", ("a", "b"), 1), inputs)


def test_folders_without_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no class folders"):
        read_images(tmp_path, RGB)
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        read_images(tmp_path, RGB)


def test_broken_and_gigantic_images(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(DataError, match=r"text\.png cannot be decoded"):
        decode_image(tmp_path / "text.png", (6, 8, 3))
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:1000])
    with pytest.raises(DataError, match=r"cut\.png cannot be decoded"):
        decode_image(tmp_path / "cut.png", (6, 8, 3))
    Image.new("1", (9000, 9000)).save(tmp_path / "large.png")
    with pytest.raises(DataError, match=r"large\.png has 9000x9000 pixels; 64,000,000 are allowed"):
        decode_image(tmp_path / "large.png", (6, 8, 3))
    Image.new("1", (30000, 30000)).save(tmp_path / "bomb.png")
    with pytest.raises(DataError, match=r"bomb\.png cannot be decoded[\s\S]*decompression bomb"):
        decode_image(tmp_path / "bomb.png", (6, 8, 3))
    Image.new("I;16", (20, 10)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png has more than 8 bits per channel"):
        decode_image(tmp_path / "deep.png", (6, 8, 1))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (8, 6), (0, 0, 0, 0))  # black where nobody sees it
    image.paste((200, 200, 200, 255), (4, 0, 8, 6))
    image.convert(mode).save(tmp_path / "a.png")
    for channels in (1, 3):
        found = decode_image(tmp_path / "a.png", (6, 8, channels))
        assert np.all(found[:, :4] == 255)
        assert np.all(found[:, 4:] == 200)
    assert np.all(decode_image(tmp_path / "a.png", (6, 8, 4))[:, :4, 3] == 0)
    Image.new("RGBA", (8, 6), (100, 0, 255, 128)).save(tmp_path / "half.png")
    assert decode_image(tmp_path / "half.png", (6, 8, 3))[0, 0].tolist() == [177, 127, 255]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_pictures_are_upright(tmp_path: Path, suffix: str) -> None:
    """As browsers show them: what the camera calls its left side is up."""
    image = Image.new("L", (40, 20), 0)
    image.paste(255, (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.convert("RGB").save(tmp_path / f"a.{suffix}", exif=exif)
    found = decode_image(tmp_path / f"a.{suffix}", (40, 20, 1))[..., 0]
    assert np.all(found[:15] > 250)
    assert np.all(found[25:] < 5)


def test_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sets_of_test.py").write_text(
        "import numpy as np\n"
        "x, y = np.zeros((40, 6, 8, 3)), np.arange(40) % 2\n"
        "def pairs(): return (x, y), (x[:10], y[:10])\n"
        "def mapping(): return {'x': x, 'y': y.tolist()}\n"
        "def other(): return 3\n"
        "def failing(): raise KeyError('path')\n"
    )
    monkeypatch.chdir(tmp_path)
    pairs = open_dataset("sets_of_test:pairs", RGB, TWO, DataOptions(), tmp_path / "c")
    assert (pairs.name, pairs.counts["test"]) == ("sets_of_test:pairs", 10)
    assert open_dataset("sets_of_test:mapping", RGB, TWO, DataOptions(), tmp_path / "c").counts["test"] == 8
    with pytest.raises(DataError, match=r"sets_of_test:other returned int[\s\S]*Return \(\(x_train, y_train\)"):
        read("sets_of_test:other", RGB)
    with pytest.raises(DataError, match="sets_of_test:failing failed: KeyError: 'path'"):
        read("sets_of_test:failing", RGB)


def test_what_was_done_to_images_is_recorded(tmp_path: Path) -> None:
    folder = str(images(tmp_path / "d", ("a", "b")))
    found = open_dataset(folder, RGB, TWO, DataOptions(scale=1 / 255), tmp_path / "cache")
    assert found.preprocessing == Preprocessing(1 / 255, "bilinear", "RGB", value_range=(0.0, 255.0))
    again = open_dataset(folder, RGB, TWO, DataOptions(scale=1 / 255), tmp_path / "cache")
    assert again == found, "a dataset that is there already says the same"
    grey = open_dataset(folder, GREY, TWO, DataOptions(), tmp_path / "cache")
    assert grey.preprocessing == Preprocessing(1.0, "bilinear", "grey", value_range=(0.0, 255.0))
    as_bytes = (TensorSpec("image", (None, 6, 8, 3), "uint8"),)
    raw = open_dataset(folder, as_bytes, TWO, DataOptions(scale=1 / 255), tmp_path / "cache")
    assert raw.preprocessing.scale == 1.0, "the model takes pixels: --scale is for float inputs"
    digits = open_dataset("digits", (), (), DataOptions(), tmp_path / "cache")
    assert digits.preprocessing == Preprocessing(1 / 255, "bilinear", "grey", value_range=(0.0, 255.0))


@pytest.mark.parametrize(
    ("dtype", "scale", "recorded"),
    [("uint8", 1 / 255, 1 / 255), ("uint8", 1.0, 1.0), ("float32", 1.0, None), ("float32", 0.5, 0.5)],
)
def test_scale_of_arrays_is_recorded_where_it_is_known(
    tmp_path: Path, dtype: str, scale: float, recorded: float | None
) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 6, 8, 3)).astype(dtype)
    np.savez(tmp_path / "set.npz", x=x, y=np.arange(40) % 2)
    found = open_dataset(str(tmp_path / "set.npz"), RGB, TWO, DataOptions(scale=scale), tmp_path / "cache")
    assert found.preprocessing == Preprocessing(scale=recorded, value_range=(0.0, 255.0) if dtype == "uint8" else None)


@pytest.mark.parametrize(("absent", "package"), [("PIL", "pillow"), ("sklearn.datasets", "scikit-learn")])
def test_a_package_of_an_extra_is_named_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: str, package: str
) -> None:
    folder = images(tmp_path / "d", ("a", "b"))
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(MissingPackageError) as caught:
        read(str(folder) if package == "pillow" else "digits", RGB)
    assert f"pip install {package}" in caught.value.remedy
