"""Structured pruning: channels and residual branches go, and a smaller dense model is left."""
