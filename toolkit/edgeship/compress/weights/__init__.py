"""Unstructured compression: which weights are zero, and how many different values they have."""
