"""Targets: places where artifacts run and are measured."""
