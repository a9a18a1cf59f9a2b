"""Sizes of updates between real fine-tunes of real models, beside those of the tools that people use for patches."""
