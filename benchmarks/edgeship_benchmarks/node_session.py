"""An agent in Node on this machine."""

from __future__ import annotations

from edgeship_benchmarks.agent import facts
from edgeship_benchmarks.session import AgentSession


class NodeSession(AgentSession):
    """A session whose agent knows Node; governor, clock, heat and load of the machine are read here."""

    def describe(self) -> dict[str, str]:
        """Facts about this machine and the agent, and the state of the machine at this moment."""
        return {**facts.machine(), **super().describe()}
