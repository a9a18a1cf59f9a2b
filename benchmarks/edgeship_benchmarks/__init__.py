"""Runtimes, targets and the agent that measures on them."""
