"""recipes, plugins, doctor and completion: what is here and what it can do."""

from __future__ import annotations

import click

from edgeship.cli import ui


@click.command()
@click.argument("name", required=False)
@ui.json_option
def recipes(name: str | None, as_json: bool) -> int:
    """List the recipes, or print one as YAML.

    \b
    Examples:
      edgeship recipes
      edgeship recipes small > mine.yaml
    """
    import yaml

    from edgeship import recipe

    if name is not None:
        data = recipe.load(name).to_data()
        ui.emit(data, as_json, lambda: click.echo(yaml.safe_dump(data, sort_keys=False), nl=False))
        return 0
    found = [recipe.load(n) for n in recipe.shipped()]

    def show() -> None:
        made = ui.table("recipe", "stages", "variants", ">max drop", "purpose")
        for r in found:
            stages = " -> ".join(stage.word for stage in r.stages) or "none"
            tried = f"tries {', '.join(attempt.name for attempt in r.attempts)}" if r.attempts else stages
            ui.row(made, r.name, tried, " ".join(r.variants), f"{r.max_drop:g}", r.purpose)
        ui.print_table(made)

    ui.emit([r.to_data() for r in found], as_json, show)
    return 0


@click.command()
@click.option("--matrix", "as_matrix", is_flag=True, help="Show which models can become which formats and variants.")
@ui.json_option
def plugins(as_matrix: bool, as_json: bool) -> int:
    """List converters, runtimes and targets.

    With where they come from, and what they still need.

    \b
    Examples:
      edgeship plugins
      edgeship plugins --matrix
    """
    from edgeship import plugins as registry

    if as_matrix:
        return _matrix(as_json)

    rows = []
    for name in registry.names("converters"):
        converter = registry.converter(name)
        can = "writes " + " ".join(converter.variants)
        rows.append(("converter", name, can, list(converter.missing()), registry.origin("converters", name)))
    for name in registry.names("runtimes"):
        runtime = registry.runtime(name)
        can = "runs " + " ".join(runtime.formats)
        rows.append(("runtime", name, can, list(runtime.missing()), registry.origin("runtimes", name)))
    rows += [("target", name, "measures", [], registry.origin("targets", name)) for name in registry.names("targets")]

    def show() -> None:
        made = ui.table("kind", "name", "what", "missing", "from")
        for kind, name, can, missing, origin in rows:
            ui.row(made, kind, name, can, ", ".join(missing) or "-", origin)
        ui.print_table(made)

    keys = ("kind", "name", "what", "missing", "from")
    ui.emit([dict(zip(keys, r, strict=True)) for r in rows], as_json, show)
    return 0


def _matrix(as_json: bool) -> int:
    from edgeship import plugins as registry
    from edgeship.matrix import Cell, matrix

    found = matrix()
    by_place = {(cell.source, cell.format, cell.variant): cell for cell in found.cells}
    formats = tuple(dict.fromkeys(cell.format for cell in found.cells))
    variants = tuple(dict.fromkeys(cell.variant for cell in found.cells))

    def word(cell: Cell) -> str:
        return {"yes": "yes", "as": f"as {cell.made}", "no": "no"}[cell.state]

    def show() -> None:
        sources = ui.table("source", "training", *formats, title="From which model to which format")
        for row in found.sources:
            cells = [by_place[row.kind, name, "float32"] for name in formats]
            ui.row(sources, row.what, "no" if row.trains else "yes", *(word(cell) for cell in cells))
        ui.print_table(sources)
        first = found.sources[0].kind
        rows = ui.table("variant", *formats, "needs", title="In which variants")
        for variant in variants:
            cells = [by_place[first, name, variant] for name in formats]
            needs = dict.fromkeys(need for cell in cells for need in cell.needs if not need.startswith("--to"))
            ui.row(rows, variant, *(word(cell) for cell in cells), ", ".join(needs) or "-")
        ui.print_table(rows)
        for row in found.sources:
            refusals = {name: by_place[row.kind, name, "float32"].why for name in formats}
            for why in dict.fromkeys(filter(None, refusals.values())):
                ui.say(f"{row.what} -> {', '.join(n for n in formats if refusals[n] == why)}: {why}")
            if row.trains:
                ui.say(f"{row.what}, training: {row.trains}")
        for name in formats:
            lacking = [variant for variant in variants if by_place[first, name, variant].state == "no"]
            if lacking:
                ui.say(f"{name} has no {', '.join(lacking)}: {registry.why_not_more(name) or 'it does not say why'}")
        for what, why, remedy in found.refused:
            ui.say(f"no source: {what}: {why}. {remedy}")

    ui.emit(found, as_json, show)
    return 0


@click.command()
@click.option("--install", type=click.Choice(["node"]), help="Install the locked Node packages for TF.js.")
@ui.json_option
def doctor(install: str | None, as_json: bool) -> int:
    """Say what works here and what is missing.

    With the command that gets it.

    \b
    Examples:
      edgeship doctor
      edgeship doctor --install node
    """
    from edgeship import doctor as examination

    if install:
        with ui.progress_bars() as progress:
            examination.install(install, progress)
    found = examination.examine()

    def show() -> None:
        made = ui.table("what", "state", "found", "remedy")
        for item in found:
            ui.row(made, item.name, "ok" if item.ok else "missing", item.found, item.remedy)
        ui.print_table(made)

    ui.emit(found, as_json, show)
    return 0


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the completion script for a SHELL.

    \b
    Example:
      eval "$(edgeship completion bash)"
    """
    from click.shell_completion import get_completion_class

    from edgeship.cli import cli

    found = get_completion_class(shell)
    assert found is not None, "click knows the three shells of the choice"
    click.echo(found(cli, {}, "edgeship", "_EDGESHIP_COMPLETE").source())
    return 0
