"""Runtimes: each opens exported files in a child process without TensorFlow."""
