"""`make bench`: times that users feel, ours beside those of the tools that one would use instead.

    python -m tests.acceptance.bench [--only PART]... [--again] [--quick]

What is compared takes turns within one run, in an order that is drawn, because a busy machine drifts by more than two
candidates differ. Each part's record lies in `records/`; one that was taken on this machine with today's code is not
taken again. docs/benchmarks.md is written from the records. Nothing is asserted: these are measurements, not tests.
"""
