"""How much each way of compressing saves and costs on the same work: `python -m tests.acceptance.compression`.

A cell is one method with one seed on one task. Its result is a file in `records/`, committed with what determined it.
"""
