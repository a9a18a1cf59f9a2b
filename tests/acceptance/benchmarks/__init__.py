"""Whether the verdicts of `edgeship benchmark` can be trusted, and what measuring adds to what it measures.

    python -m tests.acceptance.benchmarks --aa 200 --five 100 --three 100 --construction --overhead 20

Every trial is one call of the local target as users make it, beside a load that is switched on and off. A file against
itself must not be called different; a file with one layer in twenty more must. Records lie in `records/`, and a run
goes on where the last one stopped; those of another method (the code that judges, the plan) are made anew.
"""
