"""What an app is built with: whom it believes, where updates are, and its first release, from an update repository.

    python android_demo/assets.py REPO --address https://models.example [--line digits/v1] [--out FOLDER]

Writes `edgeship/root.json`, `edgeship/settings.properties` and `edgeship/release/` into the app's assets. The release
is the one that the rollout has for all; its files are decoded, so that the app takes it without a network.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from edgeship import encodings
from edgeship import manifest as manifests
from edgeship.errors import EdgeshipError, InputError
from edgeship.publish import packet, stores
from edgeship.releases.names import line, release_folder, version

HERE = Path(__file__).resolve().parent
#: Best first, as the app asks for them.
VARIANTS = ("tflite-int8", "tflite-float16", "tflite-dynamic", "tflite-float32")


def write(repository: str | Path, address: str, out: Path, wanted: str | None = None) -> str:
    """Write the assets; the line and version in words.

    Raises InputError for an address that an app may not use, or a repository without a release for Android.
    """
    if not address.startswith("https://") or any(mark in address for mark in "?#\\ \n"):
        raise InputError(f"{address} cannot be an app's repository", remedy="Give https://HOST/..., without ? and #.")
    with tempfile.TemporaryDirectory() as folder:
        made = packet.pack(stores.open_store(str(repository)), Path(folder) / "packet.zip", wanted)
        with zipfile.ZipFile(made.path) as archive:
            place = out / "edgeship"
            shutil.rmtree(place, ignore_errors=True)
            (place / "release").mkdir(parents=True)
            (place / "root.json").write_bytes(archive.read("metadata/1.root.json"))
            (place / "settings.properties").write_text(f"repository={address}\nline={made.line}\n")
            variant = _release(archive, made.line, made.versions[0], place / "release")
    return f"{made.line} {made.versions[0]} {variant}"


def _release(archive: zipfile.ZipFile, of: str, release: str, out: Path) -> str:
    """Write the files of the best variant as they are used; its name."""
    names = {_plain(name): name for name in archive.namelist()}
    for variant in VARIANTS:
        folder = f"targets/{release_folder(line(of).model, version(release), variant)}"
        if f"{folder}/manifest.json" not in names:
            continue
        content = archive.read(names[f"{folder}/manifest.json"])
        (out / "manifest.json").write_bytes(content)
        for file in manifests.read(content).files:
            stored = file.stored
            found = archive.read(names[f"{folder}/{file.name if stored is None else stored.name}"])
            place = out / file.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(
                found if stored is None else b"".join(encodings.decode(found, stored.encoding, file.size_bytes))
            )
        return variant
    raise InputError(f"{of} {release} has no variant for Android", remedy=f"Publish one of: {', '.join(VARIANTS)}.")


def _plain(name: str) -> str:
    """The target's path: on disk the SHA-256 stands before the last part."""
    folder, _, last = name.rpartition("/")
    return f"{folder}/{last.partition('.')[2]}" if name.startswith("targets/") else name


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository")
    parser.add_argument("--address", required=True, help="where devices find it: https://...")
    parser.add_argument("--line", help="default: the only one")
    parser.add_argument("--out", type=Path, default=HERE / "app/src/main/assets")
    told = parser.parse_args()
    try:
        print(write(told.repository, told.address, told.out, told.line))
    except EdgeshipError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
