"""What all runtimes share: a file is opened by an agent in a process of its own."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from edgeship.child import Limits, limits_in_force
from edgeship.errors import ArtifactError, MissingPackageError
from edgeship.types import Artifact, ProgressCallback, TensorSpec

if TYPE_CHECKING:
    from edgeship.types import Array, Tensors
    from edgeship_benchmarks.session import AgentSession


class AgentRuntime:
    """Base of our runtimes. A subclass sets the attributes, and `command` where the agent is not the Python one.

    Attributes:
        name: also the agent's word for this runtime.
        formats: the formats it opens.
        sample_limit: how many samples are affordable when verifying; None = all.
        packages: import name -> distribution name of what must be installed.
        remedy: the command that installs them.
    """

    name: str
    formats: tuple[str, ...]
    sample_limit: int | None = None
    packages: tuple[tuple[str, str], ...] = ()
    remedy: str = "pip install 'edgeship[all]'"

    @property
    def limits(self) -> Limits:
        """Of the agent's process: those of the request that needs it."""
        return limits_in_force()

    def missing(self) -> Sequence[str]:
        """Distributions to install before `run` can work; looks, imports nothing."""
        return [package for module, package in self.packages if importlib.util.find_spec(module) is None]

    def versions(self) -> Mapping[str, str]:
        """Versions of the packages that are installed."""
        return {package: version(package) for module, package in self.packages if importlib.util.find_spec(module)}

    def command(self) -> Sequence[str]:
        """How the agent is started."""
        from edgeship_benchmarks.session import PYTHON_AGENT

        return PYTHON_AGENT

    def open_session(self, artifact: Artifact, threads: int = 1, **options: Any) -> AgentSession:
        """A new agent with the artifact loaded (`session.loaded`); the caller closes it.

        `options` are those of the agent's `load` for this runtime. Raises MissingPackageError, ArtifactError (broken
        file, or not what its sidecar says), ChildError.
        """
        missing = self.missing()
        if missing:
            raise MissingPackageError(f"{self.name} needs {', '.join(missing)}", remedy=f"Get it: {self.remedy}")
        session = self._start(f"{artifact.id} in {self.name}")
        try:
            session.load(self.name, artifact.entry, threads, **options)
        except BaseException:
            session.close()
            raise
        return session

    def _start(self, name: str) -> AgentSession:
        """A new agent with nothing loaded; `name` is who is to blame in messages."""
        from edgeship_benchmarks.session import AgentSession

        return AgentSession(self.command(), name=name, limits=self.limits)

    def specs(self, artifact: Artifact) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """Inputs and outputs as the file itself has them (see `edgeship.contracts.Runtime.specs`)."""
        with self.open_session(artifact) as session:
            return session.loaded.inputs, session.loaded.outputs

    def run(self, artifact: Artifact, inputs: Tensors, progress: ProgressCallback | None = None) -> Tensors:
        """Outputs for `inputs` in the artifact's output order (see `edgeship.contracts.Runtime.run`)."""
        with self.open_session(artifact) as session:
            return in_order(artifact, session.run(inputs, progress=progress))


def in_order(artifact: Artifact, outputs: dict[str, Array]) -> Tensors:
    """Outputs by the sidecar's names; a foreign file without sidecar keeps its own."""
    names = [spec.name for spec in artifact.outputs]
    if not names:
        return outputs
    if len(names) == len(outputs) == 1:
        return dict(zip(names, outputs.values(), strict=True))
    if set(names) != set(outputs):
        raise ArtifactError(
            f"{artifact.id}: the file's outputs are {', '.join(outputs)}; its sidecar says {', '.join(names)}",
            remedy="Convert it again, or remove artifact.json to use the file's own names.",
        )
    return {name: outputs[name] for name in names}
