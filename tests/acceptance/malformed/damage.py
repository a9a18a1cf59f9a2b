"""Damage to model files: to their bytes, and to what they say in the format's own terms."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tests.acceptance.malformed import extremes

#: Of files whose structure can be changed, this share keeps it and has wrong bytes.
_BYTES_SHARE = 0.4
#: Most changes to one file.
_MOST = 4


def damage(path: Path, donor: bytes, rng: np.random.Generator) -> None:
    """Change a file in place, by its suffix; `donor` is another file from which bytes are taken."""
    change = _STRUCTURES.get(path.suffix)
    if change is not None and rng.random() > _BYTES_SHARE:
        change(path, rng)
        return
    data = path.read_bytes()
    for _ in range(rng.integers(1, _MOST + 1)):
        data = _wrong_bytes(data, donor, rng)
    path.write_bytes(data)


def _wrong_bytes(data: bytes, donor: bytes, rng: np.random.Generator) -> bytes:
    """One change to bytes; more often than not near the start, where formats keep their structure."""
    size = len(data)
    start = int(rng.integers(max(1, min(size, 512 if rng.random() < 0.5 else size))))
    length = int(2 ** rng.integers(0, 10))
    end = min(size, start + length)
    kind = rng.integers(9)
    if kind == 0:
        return data[:start]
    if kind == 1:
        return data[:start] + data[end:]
    if kind == 2:
        return data[:end] + data[start:]
    if kind == 3:
        return data[:start] + bytes([rng.choice([0, 255])]) * (end - start) + data[end:]
    if kind == 4:
        at = int(rng.integers(max(1, len(donor))))
        return data[:start] + donor[at : at + length] + data[end:]
    if kind == 5:
        return data + rng.bytes(length)
    if kind == 6:
        width = int(rng.choice([1, 2, 4, 8]))
        place = start // width * width
        value = extremes.INTEGERS[rng.integers(len(extremes.INTEGERS))] % (1 << 8 * width)
        return data[:place] + value.to_bytes(width, "little") + data[place + width :]
    changed = bytearray(data)
    for _ in range(rng.integers(1, 33)):
        if changed:
            changed[rng.integers(min(len(changed), 2048) if kind == 7 else len(changed))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _json(path: Path, rng: np.random.Generator) -> None:
    found = json.loads(path.read_text())
    _change_tree(found, rng)
    path.write_text(json.dumps(found))


def _change_tree(tree: Any, rng: np.random.Generator) -> None:
    """Change some places of a tree of JSON."""
    for _ in range(rng.integers(1, _MOST + 1)):
        places = list(_places(tree))
        if not places:
            return
        holder, key = places[rng.integers(len(places))]
        kind = rng.integers(6)
        if kind == 0:
            del holder[key]
        elif kind == 1:
            holder[key] = extremes.any_value(rng)
        elif kind == 2 and isinstance(holder, list):
            holder.insert(key, holder[rng.integers(len(holder))])
        elif kind == 3:
            other, name = places[rng.integers(len(places))]
            if not isinstance(other[name], dict | list):  # a tree must not hold itself
                holder[key] = other[name]
        else:
            holder[key] = extremes.like(holder[key], rng)


def _places(tree: Any) -> Any:
    """Every (container, key) of a tree of JSON."""
    waiting = [tree]
    while waiting:
        holder = waiting.pop()
        for key, value in holder.items() if isinstance(holder, dict) else enumerate(holder):
            yield holder, key
            if isinstance(value, dict | list):
                waiting.append(value)


def _hdf5(path: Path, rng: np.random.Generator) -> None:
    """Change what a file of HDF5 holds: its attributes (the model as JSON among them), datasets and links."""
    import h5py

    with suppress(ValueError), h5py.File(path, "r+") as file:  # HDF5 has no texts with zeros in them, for instance
        objects = [file]
        file.visititems(lambda _, found: objects.append(found))
        for _ in range(rng.integers(1, 3)):
            chosen = objects[rng.integers(len(objects))]
            kind = rng.integers(5)
            if kind <= 1 and "model_config" in file.attrs:
                tree = json.loads(file.attrs["model_config"])
                _change_tree(tree, rng)
                file.attrs["model_config"] = json.dumps(tree)
            elif kind == 2 and len(chosen.attrs):
                name = list(chosen.attrs)[rng.integers(len(chosen.attrs))]
                value = extremes.any_value(rng)
                chosen.attrs[name] = json.dumps(value)[:60_000] if value is None or not np.isscalar(value) else value
            elif isinstance(chosen, h5py.Dataset):
                _replace_dataset(file, chosen, rng)
                return  # what was listed may be gone
            elif chosen.name != "/":
                _replace_link(file, chosen.name, rng)
                return


def _replace_dataset(file: Any, chosen: Any, rng: np.random.Generator) -> None:
    name, shape = chosen.name, chosen.shape
    kind = rng.integers(4)
    if kind == 0:
        _replace_link(file, name, rng)
        return
    del file[name]
    if kind == 1:
        file[name] = np.full(shape, np.nan, np.float32)
    elif kind == 2:
        file[name] = np.zeros((*shape, 2), np.int64)
    else:  # says that it is huge, and holds nothing
        file.create_dataset(name, shape=(2**20, 2**20), dtype="float32", chunks=(1024, 1024), compression="gzip")


def _replace_link(file: Any, name: str, rng: np.random.Generator) -> None:
    import h5py

    del file[name]
    links = (h5py.ExternalLink("/etc/passwd", "/"), h5py.SoftLink(name), h5py.SoftLink("/"), None)
    link = links[rng.integers(len(links))]
    if link is not None:
        file[name] = link


def _onnx(path: Path, rng: np.random.Generator) -> None:
    import onnx

    model = onnx.ModelProto.FromString(path.read_bytes())
    for _ in range(rng.integers(1, _MOST + 1)):
        _change_message(model, rng)
    path.write_bytes(model.SerializeToString())


def _change_message(model: Any, rng: np.random.Generator) -> None:
    """Change one field of a protocol buffer, at any depth."""
    messages, waiting = [], [model]
    while waiting:
        message = waiting.pop()
        messages.append(message)
        for field, value in message.ListFields():
            if field.type == field.TYPE_MESSAGE:
                waiting.extend(value if _repeated(value) else [value])
    message = messages[rng.integers(len(messages))]
    fields = message.ListFields()
    if not fields:
        return
    field, value = fields[rng.integers(len(fields))]
    try:
        if _repeated(value):
            _change_list(value, field, rng)
        elif field.type == field.TYPE_MESSAGE or rng.random() < 0.2:
            message.ClearField(field.name)
        else:
            setattr(message, field.name, _other(value, rng))
    except (ValueError, TypeError, OverflowError):
        message.ClearField(field.name)  # the field cannot hold that value


def _repeated(value: Any) -> bool:
    return hasattr(value, "extend") and not isinstance(value, str | bytes)


def _change_list(values: Any, field: Any, rng: np.random.Generator) -> None:
    at = int(rng.integers(len(values)))
    kind = rng.integers(3)
    if kind == 0:
        del values[at]
    elif kind == 1:
        values.extend([values[at]])
    elif field.type != field.TYPE_MESSAGE:
        values[at] = _other(values[at], rng)
    elif field.name == "initializer":  # its numbers are in some other file
        values[at].data_location = 1
        entry = values[at].external_data.add()
        entry.key, entry.value = "location", extremes.TEXTS[rng.integers(1, 4)]
    else:
        del values[at:]


def _other(value: Any, rng: np.random.Generator) -> Any:
    return value[: rng.integers(len(value) + 1)] if isinstance(value, bytes) else extremes.like(value, rng)


def _tflite(path: Path, rng: np.random.Generator) -> None:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    for _ in range(rng.integers(1, _MOST + 1)):
        _change_table(model, rng)
    builder = flatbuffers.Builder(1 << 16)
    try:
        builder.Finish(model.Pack(builder), b"TFL3")
    except Exception:  # noqa: BLE001 - the writer refuses that value in one of many ways: leave the file as it is
        return
    path.write_bytes(bytes(builder.Output()))


def _change_table(model: Any, rng: np.random.Generator) -> None:
    """Change one field of a flatbuffer, at any depth."""
    tables, waiting = [], [model]
    while waiting:
        table = waiting.pop()
        tables.append(table)
        for value in vars(table).values():
            waiting += [item for item in (value if isinstance(value, list) else [value]) if hasattr(item, "Pack")]
    table = tables[rng.integers(len(tables))]
    names = [name for name, value in vars(table).items() if value is not None]
    if not names:
        return
    name = names[rng.integers(len(names))]
    value = getattr(table, name)
    if isinstance(value, np.ndarray) and value.size:
        value = value.copy()
        value[rng.integers(value.size)] = int(rng.integers(-(2**7), 2**7)) % (1 << 7)
        if rng.random() < 0.5:
            value = value[: rng.integers(value.size + 1)]
        setattr(table, name, value)
    elif isinstance(value, list) and value:
        at = int(rng.integers(len(value)))
        setattr(table, name, value[:at] if rng.random() < 0.3 else [*value, value[at]])
    elif isinstance(value, bytes):
        setattr(table, name, extremes.TEXTS[rng.integers(len(extremes.TEXTS))].encode())
    elif isinstance(value, int | float | bool):
        other = extremes.like(value, rng)
        setattr(table, name, int(other) % (1 << 31) if isinstance(value, int) else other)
    else:
        setattr(table, name, None)


_STRUCTURES: dict[str, Callable[[Path, np.random.Generator], None]] = {
    ".json": _json,
    ".h5": _hdf5,
    ".onnx": _onnx,
    ".tflite": _tflite,
}
