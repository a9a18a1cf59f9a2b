"""For each layer of Keras how the generator uses it, by family."""
