"""Where samples come from: each reader returns arrays under the keys of an .npz file (`KEYS`)."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgeship.archives import check_zip
from edgeship.data.splits import choose, remaining
from edgeship.errors import DataError, MissingPackageError
from edgeship.preprocessing import PIXELS
from edgeship.references import is_reference, resolve
from edgeship.types import Preprocessing, TensorSpec

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from edgeship.types import Array

KEYS = (
    "x_train, y_train, x_test, y_test (or x, y, which are split 80/20); x_validation, y_validation if some were kept "
    "apart; several inputs as x_train.NAME; attributes as slice_train.NAME, slice_test.NAME (or slice.NAME); classes"
)
_IMAGES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".webp": "WEBP"}
#: How an image of so many channels is read, in this order.
CHANNELS: Mapping[int, Literal["grey", "RGB", "RGBA"]] = {1: "grey", 3: "RGB", 4: "RGBA"}
#: Pixels of one image file; decoding more than this is refused.
_MAX_PIXELS = 64_000_000
#: Share and seed of the digits' test split, which no option changes.
_DIGITS_TEST_SHARE, _DIGITS_SEED = 1 / 3, 0


def read(spec: str, inputs: Sequence[TensorSpec]) -> tuple[str, Mapping[str, Array]]:
    """Name and arrays of a dataset: `digits`, an .npz file, a folder of images by class, or `module:function`.

    Raises:
        DataError: for anything that cannot be read, saying what is allowed.
    """
    if spec == "digits":
        return "digits", read_digits()
    path = Path(spec)
    if path.is_dir():
        return path.resolve().name, read_images(path, inputs)
    if path.is_file():
        if path.suffix.lower() == ".npz":
            return path.stem, read_npz(path)
        raise DataError(f"{path} is not an .npz file", remedy=_allowed())
    if is_reference(spec):
        return spec, read_function(spec)
    raise DataError(f"there is no dataset {spec!r}", remedy=_allowed())


def preparation(spec: str, inputs: Sequence[TensorSpec]) -> Preprocessing:
    """What `read` does to images (a dataset that it has read); for arrays nobody knows what was done before."""
    if spec == "digits":
        return Preprocessing(1 / 255, "bilinear", "grey", value_range=PIXELS)
    if Path(spec).is_dir():
        return Preprocessing(1.0, "bilinear", CHANNELS[inputs[0].shape[-1] or 0], value_range=PIXELS)
    return Preprocessing()


def _allowed() -> str:
    return "Allowed: digits, FILE.npz, a folder of images by class, module:function."


def read_digits() -> dict[str, Array]:
    """scikit-learn's digits as 32x32x1 float32 in 0..1; two thirds train, one third test, stratified."""
    from edgeship.data.digits import CLASSES, arrays

    data = arrays()
    rows = len(data["y"])
    test = choose(data["y"], rows, round(rows * _DIGITS_TEST_SHARE), _DIGITS_SEED)
    train = remaining(rows, test)
    splits = {"train": train, "test": test}
    found: dict[str, Array] = {f"{k}_{split}": data[k][index] for split, index in splits.items() for k in ("x", "y")}
    return {**found, "classes": np.array(CLASSES)}


def read_npz(path: Path) -> dict[str, Array]:
    """All arrays of an .npz file. Pickled objects, damaged files and headers that lie about sizes are refused."""
    members = check_zip(path, DataError, ratio=None)
    if not members:
        raise DataError(f"{path.name} is empty", remedy=f"Keys: {KEYS}.")
    try:
        with zipfile.ZipFile(path) as archive:
            for member in members:
                with archive.open(member) as file:
                    _check_header(path, member, file)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, RuntimeError) as error:
        raise DataError(f"{path.name} cannot be read: {error}", remedy="Save it again with numpy.savez.") from error


def _check_header(path: Path, member: zipfile.ZipInfo, file: Any) -> None:
    """A header decides how much memory is asked for: it must match the bytes that are there."""
    readers: dict[tuple[int, int], Callable[..., Any]] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise DataError(f"{path.name}: {member.filename} is of .npy version {version}")
    shape, _, dtype = readers[version](file)
    if dtype.hasobject:
        raise DataError(
            f"{path.name}: {member.filename} holds pickled Python objects, which are never loaded",
            remedy="Save numbers or fixed-length text: array.astype('float32') or array.astype('U').",
        )
    if file.tell() + int(np.prod(shape, dtype=object)) * dtype.itemsize != member.file_size:
        raise DataError(f"{path.name}: {member.filename} is truncated or its header is wrong")


def read_function(reference: str) -> Mapping[str, Array]:
    """Call `module:function` of the user's; it returns a mapping of arrays, or ((x_train, y_train), (x_test, y_test)).

    Raises:
        DataError: if it cannot be imported, fails, or returns something else.
    """
    function = resolve(reference, DataError)
    try:
        found = function()
    except Exception as error:
        raise DataError(f"{reference} failed: {type(error).__name__}: {error}") from error
    if isinstance(found, Mapping):
        return {str(name): np.asarray(array) for name, array in found.items()}
    try:
        (x_train, y_train), (x_test, y_test) = found
    except (TypeError, ValueError):
        raise DataError(
            f"{reference} returned {type(found).__name__}",
            remedy=f"Return ((x_train, y_train), (x_test, y_test)) or a dict with the keys {KEYS}.",
        ) from None
    pairs = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    return {name: np.asarray(array) for name, array in pairs.items()}


def read_images(folder: Path, inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Images in `folder/CLASS/`, or in `folder/train/CLASS/`, `test/` and `validation/`, resized to the model's input.

    uint8 0..255, NHWC, grey, RGB or RGBA by the input's channels; resized with Pillow's BILINEAR (which averages when
    it shrinks). Classes are the folders' names, sorted (by number where all are numbers); an empty folder keeps its
    place in the order. Files are read by `decode_image`.

    Raises:
        DataError: for a model whose input is not one image, no images, or a file that cannot be decoded.
    """
    size = _image_size(folder, inputs)
    parts = [name for name in ("train", "validation", "test") if (folder / name).is_dir()]
    # A folder of that name alone is a class.
    roots = {f"_{name}": folder / name for name in parts} if {"train", "test"} & set(parts) else {"": folder}
    classes = _class_names(folder, list(roots.values()))
    arrays: dict[str, Array] = {"classes": np.array(classes)}
    for suffix, root in roots.items():
        files = [(file, k) for k, name in enumerate(classes) for file in _image_files(root / name)]
        if not files:
            raise DataError(f"{root} holds no images", remedy=f"Expected {root}/CLASS/*{{{','.join(_IMAGES)}}}.")
        images = np.empty((len(files), *size), np.uint8)
        for row, (file, _) in zip(images, files, strict=True):
            row[...] = decode_image(file, size)
        arrays[f"x{suffix}"] = images
        arrays[f"y{suffix}"] = np.array([k for _, k in files], np.int64)
    return arrays


def _image_size(folder: Path, inputs: Sequence[TensorSpec]) -> tuple[int, int, int]:
    """(height, width, channels) of the model's only input."""
    if not inputs:
        raise DataError(f"{folder}: images need a model whose input gives their size")
    shape = inputs[0].shape[1:]
    if len(inputs) != 1 or len(shape) != 3 or shape[2] not in (1, 3, 4):
        found = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in inputs)
        raise DataError(
            f"{folder}: the model's input is not one image of 1, 3 or 4 channels (it has {found})",
            remedy="Give the data as .npz or module:function.",
        )
    height, width, channels = shape
    if height is None or width is None or channels is None:
        raise DataError(f"{folder}: the model's input {list(inputs[0].shape)} has no fixed size to resize to")
    return height, width, channels


def _class_names(folder: Path, roots: Sequence[Path]) -> list[str]:
    names = [{p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")} for root in roots]
    if any(found != names[0] for found in names):
        odd = ", ".join(sorted({name for found in names for other in names for name in found ^ other}))
        given = " and ".join(root.name for root in roots)
        raise DataError(f"{folder}: {given} do not have the same class folders: {odd}")
    if not names[0]:
        raise DataError(f"{folder} holds no class folders", remedy=f"Expected {folder}/CLASS/*.png, .jpg, .bmp, .webp.")
    every = names[0]
    return sorted(every, key=(lambda n: (int(n), n)) if all(n.isdecimal() for n in every) else (lambda n: (0, n)))


def _image_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in _IMAGES and not p.name.startswith("."))


def decode_image(file: Path, size: tuple[int, int, int]) -> Array:
    """One image as browsers show it, uint8 (height, width, channels). Raises DataError for a broken or gigantic file.

    It is upright, whatever way its camera was held (EXIF), and what is transparent is white, unless the model takes
    alpha itself.
    """
    import warnings

    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingPackageError(
            f"reading the image {file.name} needs Pillow", remedy="Get it: pip install pillow"
        ) from error
    height, width, channels = size
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=tuple(set(_IMAGES.values()))) as image:
                if image.width * image.height > _MAX_PIXELS:
                    raise DataError(f"{file} has {image.width}x{image.height} pixels; {_MAX_PIXELS:,} are allowed")
                if image.mode.startswith(("I", "F")):
                    raise DataError(f"{file} has more than 8 bits per channel", remedy="Convert it to 8 bits first.")
                upright = ImageOps.exif_transpose(image)
                shown = upright if mode == "RGBA" else _on_white(upright)
                resized = shown.convert(mode).resize((width, height), Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{file} cannot be decoded: {error}", remedy="Replace or remove the file.") from error
    return np.asarray(resized, np.uint8).reshape(height, width, channels)


def _on_white(image: Picture) -> Picture:
    """An image without transparency; of one that has some the colors below it are shown by nobody."""
    from PIL import Image

    if not image.has_transparency_data:
        return image
    colors = image.convert("RGBA")
    paper = Image.new("RGB", image.size, "white")
    paper.paste(colors, mask=colors.getchannel("A"))
    return paper
