"""targets: where files can be measured, what is there, and how to get the rest."""

from __future__ import annotations

from typing import Any

import click

from edgeship.cli import ui


@click.command()
@click.argument("action", type=click.Choice(["list", "probe", "prepare"]), default="list")
@click.argument("addresses", nargs=-1)
@ui.json_option
def targets(action: str, addresses: tuple[str, ...], as_json: bool) -> int:
    """List, probe or prepare the places to measure on.

    A probe says what a target is; of one that is not there, why, and what gets it. ADDRESSES are names as --target
    takes them; without one all are probed. To prepare a target is to install or make what it needs.

    \b
    Examples:
      edgeship targets
      edgeship targets probe
      edgeship targets probe local
    """
    if action == "prepare":
        return _prepare(addresses, as_json)
    return _probe(addresses, as_json) if action == "probe" else _list(as_json)


def _list(as_json: bool) -> int:
    from edgeship import plugins

    schemes = plugins.names("targets")
    rows = [{"target": s, "addresses": plugins.addresses(s), "from": plugins.origin("targets", s)} for s in schemes]

    def show() -> None:
        made = ui.table("target", "for instance", "from")
        for row in rows:
            ui.row(made, str(row["target"]), "\n".join(row["addresses"]), str(row["from"]))
        ui.print_table(made)

    ui.emit(rows, as_json, show)
    return 0


def _probe(addresses: tuple[str, ...], as_json: bool) -> int:
    """One table; targets that were named and are not there decide the exit code."""
    from edgeship import plugins
    from edgeship.errors import EdgeshipError

    wanted = addresses or tuple(plugins.addresses(scheme)[0] for scheme in plugins.names("targets"))
    places = [plugins.target(address) for address in wanted]
    rows: list[dict[str, Any]] = []
    code = 0
    for place in places:
        try:
            found = place.probe()
            rows.append({"target": place.name, "state": found.provenance, "facts": dict(found.facts)})
        except EdgeshipError as error:
            rows.append({"target": place.name, "state": "not here", "reason": error.message, "remedy": error.remedy})
            code = error.exit_code if addresses else 0

    def show() -> None:
        made = ui.table("target", "state", "what")
        for row in rows:
            facts = "\n".join(f"{key}: {value}" for key, value in row.get("facts", {}).items())
            ui.row(made, row["target"], row["state"], facts or f"{row['reason']}\n{row['remedy']}")
        ui.print_table(made)

    ui.emit(rows, as_json, show)
    return code


def _prepare(addresses: tuple[str, ...], as_json: bool) -> int:
    from edgeship import plugins
    from edgeship.contracts import Preparable

    if not addresses:
        raise click.UsageError("say which target to prepare; see: edgeship targets")
    places = [plugins.target(address) for address in addresses]
    rows = []
    with ui.progress_bars() as progress:
        for place in places:
            said = place.prepare(progress) if isinstance(place, Preparable) else ("nothing to prepare",)
            rows.append({"target": place.name, "done": list(said)})

    def show() -> None:
        for row in rows:
            for sentence in row["done"]:
                ui.say(f"{row['target']}: {sentence}")

    ui.emit(rows, as_json, show)
    return 0
