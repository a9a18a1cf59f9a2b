"""What is known about where the operators of a file run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Place = Literal["tpu", "cpu", "uncertain"]

#: predicted: by the rules. compiled: counted in a file from the compiler, whose inside is not open. compared: such a
#: file held against the one that it was made from, operator by operator.
Basis = Literal["predicted", "compiled", "compared"]


@dataclass(frozen=True)
class Placement:
    """Where one operator runs.

    Attributes:
        index: its number in the order of execution.
        kind: its built-in name such as CONV_2D, or the name of a custom operator.
        name: of its first output.
        place: `tpu`, `cpu`, or `uncertain` where the rules that are public do not decide.
        rule: the name of the rule that says so (see docs/edgetpu.md); empty on the Edge TPU.
        reason: that rule for this operator, in words.
        change: what to change in the model or its export; empty where nothing helps.
    """

    index: int
    kind: str
    name: str
    place: Place
    rule: str = ""
    reason: str = ""
    change: str = ""


@dataclass(frozen=True)
class Refusal:
    """Why the compiler takes no part of the file.

    Attributes:
        rule: its name.
        certain: False where it was seen both ways.
        reason: in words.
        change: what to change.
    """

    rule: str
    certain: bool
    reason: str
    change: str


@dataclass(frozen=True)
class Program:
    """One operator `edgetpu-custom-op`: what the compiler made of a part of the model.

    Attributes:
        size_bytes: of the program with its parameters. The open part of the file does not say what went into it.
        inputs: names of the tensors that go in.
        outputs: names of the tensors that come out.
    """

    size_bytes: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """Where the operators of a file run.

    Attributes:
        file: what was read.
        basis: how it is known.
        original: the file that a compiled one was held against.
        operators: each operator of the original; of a compiled file alone those left on the CPU.
        tpu: how many run on the Edge TPU; None where a compiled file alone cannot tell.
        cpu: how many run on the CPU.
        uncertain: how many the rules do not decide.
        programs: the compiled parts.
        refusals: why the compiler would refuse the whole file; the placements hold once that is changed.
        parameter_bytes: constants of the operators that are expected on the Edge TPU, as stored in the file.
        notes: what else is worth knowing.
    """

    file: Path
    basis: Basis
    original: Path | None
    operators: tuple[Placement, ...]
    tpu: int | None
    cpu: int
    uncertain: int
    programs: tuple[Program, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    parameter_bytes: int | None = None
    notes: tuple[str, ...] = ()
