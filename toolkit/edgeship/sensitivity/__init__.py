"""Which layer pays for int8: every layer's precision, pruned or not, measured alone; and which few to keep above int8.

`findings` are the values, `run` finds them (in a worker), `edgeship.pipeline.precision` is what commands call.
"""
