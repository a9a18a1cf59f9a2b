"""Starts the agent."""

from edgeship_benchmarks.agent.protocol import main

if __name__ == "__main__":
    main()
