"""Agents that stay: one process of each runtime opens one file after another, instead of one process for each file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from edgeship.errors import EdgeshipError
from edgeship.types import Artifact
from edgeship_benchmarks.runtimes.base import AgentRuntime
from edgeship_benchmarks.session import AgentSession

#: Files that one process opens before a fresh one takes over.
_MOST = 300


class _Warm(AgentSession):
    """An agent that leaving a `with` block does not end; whatever goes wrong with it does."""

    opened = 0
    alive = True

    def close(self) -> None:
        """Stay, for the next file."""

    def end(self) -> None:
        """End the process."""
        self.alive = False
        super().close()


@contextmanager
def warm_agents() -> Iterator[None]:
    """Within it, runtimes share their agents. Files are loaded and run just as without."""
    agents: dict[str, _Warm] = {}

    def open_session(self: AgentRuntime, artifact: Artifact, threads: int = 1) -> AgentSession:
        agent = agents.get(self.name)
        if agent is None or agent.opened >= _MOST:
            if agent is not None:
                agent.end()
            agent = agents[self.name] = _Warm(self.command(), name=self.name, limits=self.limits)
        try:
            agent.opened += 1
            agent.load(self.name, artifact.entry, threads)
        except EdgeshipError:
            agents.pop(self.name).end()
            raise
        return agent

    with patch.object(AgentRuntime, "open_session", open_session):
        try:
            yield
        finally:
            for agent in agents.values():
                agent.end()
