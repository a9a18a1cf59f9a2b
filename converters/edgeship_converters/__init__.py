"""Converters: one file or folder per format, and the worker child they run in."""
