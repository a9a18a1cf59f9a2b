"""Differential fuzzing: random, trained-looking Keras models through every format and variant, held against Keras."""
