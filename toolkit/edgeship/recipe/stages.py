"""The settings of each stage that a recipe may name: one class a word. What a stage does is in `edgeship.compress`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal


def limited(default: float, low: float, high: float) -> Any:
    """A number with a default that `parse` holds within `low` and `high`, both allowed."""
    return dataclasses.field(default=default, metadata={"limits": (low, high)})


@dataclass(frozen=True)
class StageSpec:
    """What every stage has.

    Attributes:
        word: its name in a recipe.
        last: no stage may follow, because later training would undo it.
    """

    word: ClassVar[str]
    last: ClassVar[bool] = False

    def problem(self, before: tuple[StageSpec, ...]) -> tuple[str, str] | None:  # noqa: ARG002 - for subclasses
        """What is wrong with these settings, or with this stage after those before it: (problem, remedy), or None."""
        return None

    def references(self) -> tuple[str, ...]:
        """Names of the user's own code (`module:function`) that the stage runs."""
        return ()


@dataclass(frozen=True)
class Training(StageSpec):
    """Settings of stages that train, with a learning rate that falls to zero along a cosine.

    Attributes:
        epochs: passes over the training split.
        learning_rate: at the start; with `sgd`, after the first 5 % of the steps, in which it rises from zero.
        optimizer: `adam`, or `sgd` with Nesterov momentum 0.9, which trains many convolutional networks with batch
            normalization better, at about 20 times the learning rate.
        weight_decay: share of each kernel that goes at each step, over the learning rate (arXiv 1711.05101); biases and
            scales keep theirs.
        teacher: share of the loss that holds the output against that of the original model (arXiv 1503.02531), 0..1;
            the rest is the task's own loss.
        temperature: softens both outputs for that; the soft loss is scaled by its square.
    """

    epochs: int = limited(3, 1, 10_000)
    learning_rate: float = limited(1e-3, 1e-9, 10)
    optimizer: Literal["adam", "sgd"] = "adam"
    weight_decay: float = limited(0.0, 0, 1)
    teacher: float = limited(0.0, 0, 1)
    temperature: float = limited(3.0, 0.1, 100)


#: Who does a stage: our Keras 3 code, or TensorFlow Model Optimization by way of tf_keras (needs `edgeship[tfmot]`).
Backend = Literal["native", "tfmot"]


@dataclass(frozen=True)
class Prune(Training):
    """Magnitude pruning of kernels, gradual, with fine-tuning.

    Attributes:
        backend: `native`, or `tfmot`, which prunes every kernel to the same sparsity.
        sparsity: share of zeros to reach, over all prunable kernels together, 0 < sparsity < 1.
        schedule: `cubic` ramps as in arXiv 1710.01878, eq. 1; `constant` prunes at the first step.
        ramp: share of the epochs spent ramping; the rest recovers accuracy at the final sparsity.
        pattern: `unstructured`, or `2:4`: 2 of every 4 neighbours along the input channels (arXiv 2104.08378), at
            sparsity 0.5; kernels whose input channels are no multiple of 4 stay dense.
        scope: `global`, one budget shared out over all kernels, or `layer`, the same sparsity in each.
        layers: name of a layer, or a pattern such as `block1_*` -> its own sparsity, 0 (dense) to below 1.
    """

    word: ClassVar[str] = "prune"

    epochs: int = limited(6, 1, 10_000)
    sparsity: float = limited(0.5, 0.01, 0.99)
    schedule: Literal["cubic", "constant"] = "cubic"
    ramp: float = limited(0.6, 0, 1)
    pattern: Literal["unstructured", "2:4"] = "unstructured"
    scope: Literal["global", "layer"] = "global"
    layers: Mapping[str, float] = dataclasses.field(default_factory=dict)
    backend: Backend = "native"

    def problem(self, before: tuple[StageSpec, ...]) -> tuple[str, str] | None:
        """Pruning makes the values of clusters anew; TFMOT prunes all kernels alike."""
        if self.backend == "tfmot" and (self.pattern != "unstructured" or self.scope != "global" or self.layers):
            return f"{self.word}: pattern, scope or layers with backend tfmot", "Use the native back end."
        if any(not 0 <= value < 1 for value in self.layers.values()):
            return f"{self.word}: layers is {dict(self.layers)}", "Allowed for each layer: 0 (dense) to below 1."
        if self.pattern == "2:4" and any(value not in (0, 0.5) for value in (self.sparsity, *self.layers.values())):
            return f"{self.word}: sparsity {self.sparsity:g} with pattern 2:4", "2:4 is a sparsity of 0.5."
        return _undoes_clusters(self.word, before) or _plain_training(self, self.backend)


@dataclass(frozen=True)
class PruneChannels(Training):
    """Structured pruning: residual branches and channels go, in rounds with fine-tuning between them.

    Attributes:
        blocks: up to so many residual branches go in the first round: those without which the training loss, after
            some steps, grows least for each operation saved.
        epochs: of all rounds together; the last has the most.
        share: of the budget, which stays.
        budget: what `share` counts: `macs` (multiply-accumulates), or `latency`: the milliseconds of a file with int8
            weights in LiteRT on this machine, one thread.
        importance: of a channel: `l1` (magnitudes), `bn` (scales of batch normalization) or `taylor` (first-order
            change of the loss on training samples, arXiv 1906.10771).
        rounds: cuts by equal factors.
        multiple_of: groups of channels that lose some keep a multiple of this number; where the budget cannot be
            reached so, of its half, and so on.
    """

    word: ClassVar[str] = "prune-channels"

    epochs: int = limited(8, 1, 10_000)
    share: float = limited(0.5, 0.01, 0.99)
    budget: Literal["macs", "latency"] = "macs"
    blocks: int = limited(0, 0, 1000)
    importance: Literal["l1", "bn", "taylor"] = "taylor"
    rounds: int = limited(3, 1, 100)
    multiple_of: int = limited(8, 1, 256)

    def problem(self, before: tuple[StageSpec, ...]) -> tuple[str, str] | None:
        """Each round trains; a channel less makes other clusters, and zeros of single weights are found after it."""
        if self.rounds > self.epochs:
            return f"{self.rounds} rounds in {self.epochs} epochs", "Give at least one epoch a round."
        if any(isinstance(stage, Prune) for stage in before):
            return f"{self.word} after prune", "Put prune after it: which single weights matter is seen then."
        return _undoes_clusters(self.word, before)

    def in_rounds(self) -> tuple[PruneChannels, ...]:
        """One stage a round, the share being that of the model as given."""
        early = max(1, self.epochs // (self.rounds + 1))
        return tuple(
            dataclasses.replace(
                self,
                rounds=1,
                share=self.share ** (number / self.rounds),
                epochs=early if number < self.rounds else self.epochs - early * (self.rounds - 1),
            )
            for number in range(1, self.rounds + 1)
        )


@dataclass(frozen=True)
class Factorize(Training):
    """Low-rank factorisation of Dense and convolutions with fine-tuning (arXiv 1505.06798, arXiv 1412.6553).

    Attributes:
        energy: share of the variance of its outputs that each layer keeps, 0.1 to 0.9999, where `share` is 1.
        share: share of the model's operations (or parameters) that stays; 1 leaves it to `energy`.
        budget: what `share` counts, `macs` (multiply-accumulates) or `parameters`.
    """

    word: ClassVar[str] = "factorize"

    epochs: int = limited(4, 1, 10_000)
    energy: float = limited(0.95, 0.1, 0.9999)
    share: float = limited(1.0, 0.01, 1)
    budget: Literal["macs", "parameters"] = "macs"

    def problem(self, before: tuple[StageSpec, ...]) -> tuple[str, str] | None:
        """The factors of a kernel have neither its zeros nor its clusters."""
        if any(isinstance(stage, Prune) for stage in before):
            return f"{self.word} after prune would undo it", "Put prune after it."
        return _undoes_clusters(self.word, before)


@dataclass(frozen=True)
class Cluster(Training):
    """Weight clustering with fine-tuning (arXiv 1510.00149, section 3); zeros of an earlier prune are kept.

    Attributes:
        clusters: how many different values a kernel may have, 4 to 128.
        backend: `native` or `tfmot`.
    """

    word: ClassVar[str] = "cluster"

    epochs: int = limited(4, 1, 10_000)
    learning_rate: float = limited(1e-4, 1e-9, 10)
    clusters: int = limited(16, 4, 128)
    backend: Backend = "native"

    def problem(self, before: tuple[StageSpec, ...]) -> tuple[str, str] | None:
        """TFMOT trains with less."""
        return super().problem(before) or _plain_training(self, self.backend)


@dataclass(frozen=True)
class Distil(Training):
    """Knowledge distillation from the original model into a student.

    Attributes:
        student: `self` (the model as the earlier stages left it, masks kept), `narrow` (the same architecture with
            `width` times the channels, trained from scratch), or `module:function` that returns a Keras model.
        width: for `narrow`, 0 < width < 1.
        features: weight of the loss that compares intermediate features (arXiv 1412.6550), 0..1000.
        attention: weight of the loss that compares attention maps (arXiv 1612.03928), 0..1000.
    """

    word: ClassVar[str] = "distil"

    epochs: int = limited(6, 1, 10_000)
    teacher: float = limited(0.5, 0, 1)
    student: str = "self"
    width: float = limited(0.5, 0.01, 0.99)
    features: float = limited(0.0, 0, 1000)
    attention: float = limited(0.0, 0, 1000)

    def problem(self, before: tuple[StageSpec, ...]) -> tuple[str, str] | None:
        """A student is known by its name; a new one knows nothing of clusters."""
        if self.student not in ("self", "narrow") and ":" not in self.student:
            return f"student is {self.student!r}", "Allowed: self, narrow, module:function."
        return None if self.student == "self" else _undoes_clusters(self.word, before)

    def references(self) -> tuple[str, ...]:
        """The student's function."""
        return (self.student,) if ":" in self.student else ()


@dataclass(frozen=True)
class Equalize(StageSpec):
    """Cross-layer equalization before quantization (arXiv 1906.04721, section 4.1); no training.

    Attributes:
        relu6: `keep`, which is in the way of equalization, or `relu`, which puts relu in its place.
    """

    word: ClassVar[str] = "equalize"

    relu6: Literal["keep", "relu"] = "keep"

    def problem(self, before: tuple[StageSpec, ...]) -> tuple[str, str] | None:
        """Each channel gets a factor of its own."""
        return _undoes_clusters(self.word, before)


@dataclass(frozen=True)
class QuantizeAware(Training):
    """Quantization-aware training to int8 (arXiv 1712.05877, section 3); zeros and clusters stay.

    Attributes:
        bits: average information content of a weight to reach, 0.5 to 8. Below 8 kernels lose information while they
            train, so that the file compresses to about that (arXiv 1612.01543); not together with clusters.
        backend: `native` or `tfmot`.
    """

    word: ClassVar[str] = "quantize-aware"
    last: ClassVar[bool] = True

    learning_rate: float = limited(1e-4, 1e-9, 10)
    bits: float = limited(8.0, 0.5, 8)
    backend: Backend = "native"

    def problem(self, before: tuple[StageSpec, ...]) -> tuple[str, str] | None:
        """Clusters have values of their own; TFMOT trains with less and knows no bits."""
        if self.bits < 8 and self.backend == "tfmot":
            return f"bits is {self.bits:g} with backend tfmot", "Use the native back end."
        if self.bits < 8 and any(isinstance(stage, Cluster) for stage in before):
            return f"bits is {self.bits:g} after cluster", "Leave one of them out: both choose the values of kernels."
        return super().problem(before) or _plain_training(self, self.backend)


def _plain_training(stage: Training, backend: Backend) -> tuple[str, str] | None:
    """TFMOT's stages have Adam and the task's loss, and nothing else."""
    if backend == "native":
        return None
    words = [
        *(["a teacher"] if stage.teacher > 0 else []),
        *(["sgd"] if stage.optimizer == "sgd" else []),
        *(["weight_decay"] if stage.weight_decay else []),
    ]
    if words:
        named = " and ".join(words)
        return f"{stage.word}: backend tfmot trains without {named}", "Leave that out, or use backend: native."
    return None


def _undoes_clusters(word: str, before: tuple[StageSpec, ...]) -> tuple[str, str] | None:
    if any(isinstance(stage, Cluster) for stage in before):
        return f"{word} after cluster would undo it", "Put cluster after it."
    return None


#: The word in a recipe -> its settings.
STAGES: Mapping[str, type[StageSpec]] = {
    cls.word: cls for cls in (Prune, PruneChannels, Factorize, Cluster, Distil, Equalize, QuantizeAware)
}
