"""Which files a build makes: requested formats and variants against what the installed converters offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgeship import plugins
from edgeship.errors import DataError, InputError
from edgeship.pipeline.baking import Baking
from edgeship.recipe import Recipe, check_variants
from edgeship.types import VARIANTS

#: Variants that are made with calibration samples, most of them for the ranges of activations (which may also come from
#: quantization-aware training).
CALIBRATED = ("int8", "int8-floatio", "int16x8", "int16x8-floatio", "mixed", "int4-mixed")


@dataclass(frozen=True)
class Export:
    """One file to make. `by_name`: the user asked for this format, so leaving it out is an error."""

    format: str
    variant: str
    by_name: bool

    @property
    def id(self) -> str:
        """`format/variant`."""
        return f"{self.format}/{self.variant}"


@dataclass(frozen=True)
class ExportPlan:
    """What will be made, and what a person should know about it.

    Attributes:
        as_given: ids of the files that are made from the model as given, whatever the recipe makes of it.
        baking: preprocessing that goes into all of them.
    """

    exports: tuple[Export, ...]
    notes: tuple[str, ...]
    as_given: frozenset[str] = frozenset()
    baking: Baking | None = None


def plan(formats: Sequence[str], variants: Sequence[str]) -> ExportPlan:
    """Choose the exports for requested formats and variants.

    Without requested formats: every installed one that can be made and verified here, but those that are made on
    request only; what is lacking is noted.

    A format without a variant of that name makes its declared equivalent, which is noted. Raises InputError for an
    unknown format or variant, or a format asked for by name that has none of the variants.
    """
    check_variants(tuple(variants), "--quantize")
    known = plugins.names("converters")
    offered = formats or [name for name in known if not getattr(plugins.converter(name), "on_request", False)]
    for name in formats:
        if name not in known:
            raise InputError(f"no converter writes {name!r}", remedy=f"Allowed for --to: {', '.join(known)}.")
    exports: dict[str, Export] = {}
    notes: list[str] = []
    for name in dict.fromkeys(offered):
        converter = plugins.converter(name)
        lacking = "" if formats else _lacking(name)
        if lacking:
            notes.append(f"{name} left out: {lacking}")
            continue
        chosen = [(variant, nearest(name, variant)) for variant in variants]
        found = [made for _, made in chosen if made is not None]
        notes += [
            f"{name} has no {asked}: made {made} ({VARIANTS[made]})"
            for asked, made in chosen
            if made not in (None, asked)
        ]
        if not found and formats:
            raise InputError(
                f"{name} has none of the variants {', '.join(variants)}",
                remedy=f"{name} has: {', '.join(converter.variants)}.{_why_not_more(name)}",
            )
        for variant in found:
            export = Export(name, variant, bool(formats))
            exports[export.id] = export
    for variant in variants:
        if not any(nearest(name, variant) for name in offered):
            raise InputError(
                f"none of the formats has the variant {variant!r}", remedy="See: edgeship plugins --matrix"
            )
    return ExportPlan(tuple(exports.values()), tuple(notes))


def _why_not_more(format_name: str) -> str:
    why = plugins.why_not_more(format_name)
    return f" {format_name}: {why}." if why else ""


def plan_for(formats: Sequence[str], recipe: Recipe, chosen: Recipe) -> ExportPlan:
    """The exports of a build.

    Args:
        formats: as for `plan`.
        recipe: the one that was asked for.
        chosen: itself, or that of its attempts whose model is delivered.
    """
    if chosen is recipe:
        return plan(formats, recipe.variants)
    found = plan(formats, tuple(dict.fromkeys((*recipe.variants, *chosen.variants))))
    of_the_model = {export.id for export in plan(formats, chosen.variants).exports}
    return replace(found, as_given=frozenset(e.id for e in found.exports if e.id not in of_the_model))


def possible(formats: Sequence[str], recipe: Recipe) -> ExportPlan:
    """All exports that a recipe may make, whichever of its attempts is chosen; one that no format has is left out.

    Raises InputError as `plan`, of attempts only where none of them is possible.
    """
    if not recipe.attempts:
        return plan(formats, recipe.variants)
    found: list[Export] = [*plan(formats, recipe.variants).exports] if recipe.variants else []
    errors: list[InputError] = []
    for attempt in recipe.attempts:
        try:
            found += plan(formats, attempt.variants).exports
        except InputError as error:
            errors.append(error)
    if len(errors) == len(recipe.attempts):
        raise errors[0]
    return ExportPlan(tuple(dict.fromkeys(found)), ())


def _lacking(format_name: str) -> str:
    """Why a format cannot be made and verified here, with the remedy; empty if it can."""
    missing = plugins.converter(format_name).missing()
    if missing:
        return f"its converter needs {', '.join(missing)}; get it: pip install 'edgeship[all]'"
    runtimes = plugins.runtimes_for(format_name)
    if not runtimes or any(not runtime.missing() for runtime in runtimes):
        return "" if runtimes else "no installed runtime opens it"
    return f"{runtimes[0].name} needs {', '.join(runtimes[0].missing())}; get it: {runtimes[0].remedy}"


def nearest(format_name: str, variant: str) -> str | None:
    """The variant that a format makes for one that is asked for: itself, its equivalent, or none."""
    converter = plugins.converter(format_name)
    return variant if variant in converter.variants else converter.equivalents.get(variant)


def needs_ranges(variant: str) -> bool:
    """Whether a variant is made with calibration samples, or ranges from quantization-aware training."""
    return variant in CALIBRATED


def check_calibration(exports: Sequence[Export], *, has_ranges: bool) -> None:
    """Raise DataError where a variant needs calibration and no data was given: nothing is calibrated on noise."""
    needing = [e.id for e in exports if e.variant in CALIBRATED]
    if needing and not has_ranges:
        raise DataError(
            f"{', '.join(needing)} need sample inputs to set the ranges of activations, and no data was given",
            remedy="Add --data (digits, a .npz file, a folder of images, module:function), or use --quantize dynamic.",
        )


def check_opset(opset: int | None, exports: Sequence[Export]) -> None:
    """Raise InputError for a version of the operator set that is not written, or where no format has operator sets."""
    offered = [found for e in exports if (found := getattr(plugins.converter(e.format), "opsets", None))]
    if opset is None:
        return
    if not offered:
        raise InputError("an opset is a matter of ONNX files, and none is made", remedy="Add --to onnx.")
    if any(opset not in versions for versions in offered):
        first, last = max(v[0] for v in offered), min(v[-1] for v in offered)
        raise InputError(f"opset {opset} is not written", remedy=f"Allowed for --opset: {first} to {last}.")
