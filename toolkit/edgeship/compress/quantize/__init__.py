"""Quantization-aware training, and what makes a model easier to quantize."""
