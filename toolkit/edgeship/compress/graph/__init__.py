"""Keras models as graphs: reading, rewriting and folding them, and what can be counted or observed in them."""
