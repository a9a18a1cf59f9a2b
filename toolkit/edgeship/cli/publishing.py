"""publish and serve: bundles become an update repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeship.cli import options, repositories, ui

if TYPE_CHECKING:
    from edgeship.publish.release import Published
    from edgeship.publish.repository import Repository
    from edgeship.publish.serve import DemoServer


@click.command()
@click.argument("bundles", nargs=-1, type=options.MODEL)
@repositories.signing
@click.option("--name", "model", metavar="MODEL", help="Default: the name of the bundles.")
@click.option("--version", "wanted", metavar="X.Y.Z", help="Default: the next one by the rule.")
@click.option("--refresh", is_flag=True, help="Publish nothing, sign anew what expires.")
@click.option("--dry-run", is_flag=True, help="Say what would be published; sign and write nothing.")
@ui.json_option
def publish(
    bundles: tuple[Path, ...],
    repo: str,
    endpoint_url: str | None,
    key_folders: tuple[Path, ...],
    passphrase_files: tuple[Path, ...],
    model: str | None,
    wanted: str | None,
    refresh: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Publish BUNDLES as one release, each as a variant of it.

    A web package is published as it is: each of its files is a variant.

    The release is signed offline (the key of targets), and is for nobody until a rollout names it: the first one of
    a line of releases is for all. Devices that have an older release in use get patches where those are smaller.

    The rule of versions: major changes with inputs, outputs or labels; minor with the model that the files were made
    from; patch with the files alone. What follows it and was probably not meant is warned of. Each file is run on the
    golden samples of its bundle before it is signed, where its runtime is installed.

    With --dry-run everything is done but signing and writing: no private key is read, and --repo may be the address of
    a web server.

    With --refresh the metadata are signed anew, for a timer to do: every 4 to 6 hours with the online keys, so that
    some runs may fail, as devices stop believing them after a day; twice a year with those of targets and root too.

    \b
    Examples:
      edgeship publish bundles/demo --repo updates --keys keys --name digits
      edgeship publish bundles/demo --repo updates --keys keys --name digits --dry-run
      edgeship publish bundles/demo --repo s3://models/updates --keys offline --keys online
      edgeship publish --refresh --repo updates --keys online
    """
    if refresh == bool(bundles):
        raise click.UsageError("give BUNDLES to publish, or --refresh")
    if refresh and dry_run:
        raise click.UsageError("--dry-run is for BUNDLES")
    repository = repositories.open_repository(repo, endpoint_url, key_folders, passphrase_files, reading=dry_run)
    if refresh:
        return _refresh(repository, as_json)
    from edgeship.publish.release import publish as publish_release
    from edgeship.releases.names import version

    with ui.progress_bars() as repository.progress:
        release = version(wanted) if wanted else None
        made = publish_release(repository, bundles, model=model, version=release, dry_run=dry_run)
    ui.emit(made, as_json, lambda: _show(made, repository))
    for each in made.warnings:
        repositories.warn(each.message)
    if not dry_run:
        repositories.warn_after(made.change, repository)
    return 0


def _refresh(repository: Repository, as_json: bool) -> int:
    made = repository.refresh()

    def show() -> None:
        ends = min(made.expires.values())
        ui.say(f"signed {', '.join(made.signed)}; devices believe them until {ends:%Y-%m-%d %H:%M} UTC")

    ui.emit(made, as_json, show)
    repositories.warn_after(made, repository)
    return 0


def _show(made: Published, repository: Repository) -> None:
    line = f"{made.model}/v{made.version.partition('.')[0]}"
    names = ", ".join(made.variants)
    for delta in made.deltas:
        share = 100 * delta.patch_bytes / delta.full_bytes
        sizes = f"{delta.patch_bytes:,} B of {delta.full_bytes:,} B ({share:.0f} %)"
        ui.say(f"patch: {delta.from_version} to {made.version} {delta.variant} {delta.file} {sizes}")
    if not made.new:
        ui.say(f"{made.model} {made.version} ({names}) is published already; nothing was changed")
        return
    where, keys = repository.store.address, " ".join(f"--keys {folder}" for folder in repository.keys.folders)
    whom = "for all devices" if made.first else "for no device yet"
    told = f"{made.model} {made.version} ({names}), {whom}"
    if not made.change.attempts:
        ui.say(f"would be published: {told}; nothing was written")
        return
    then = (
        f"edgeship serve {where}"
        if made.first
        else f"edgeship rollout start {line} --version {made.version} --percent 1 --repo {where} {keys}"
    )
    ui.say(f"published: {told}   next: {then}")


@click.command()
@click.argument("repo", type=options.MODEL)
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0: all networks.")
@ui.json_option
def serve(repo: Path, port: int, host: str, as_json: bool) -> int:
    """Serve a repository from this machine, for a demo.

    REPO is a folder that edgeship publish wrote. For real devices put it behind nginx or into a bucket: a page of the
    documentation has both.

    \b
    Example:
      edgeship serve updates --port 8000
    """
    from edgeship.publish.serve import server

    with server(repo, host, port) as running:
        root = running.root()
        document = {"url": running.url, "root": root, "lines": running.lines()}
        ui.emit(document, as_json, lambda: _show_server(running, root))
        try:
            running.serve_forever()
        except KeyboardInterrupt:
            ui.say("stopped", err=True)  # as it was meant to end
    return 0


def _show_server(running: DemoServer, root: Path) -> None:
    ui.say(f"for demos only: {running.url}   stop with Ctrl-C")
    for line in running.lines():
        ui.say(f"on a device: edgeship device init --repo {running.url} --root {root} --line {line}")
