"""What publisher and device agree on: names, documents, and which release a device runs (docs/updates/repository.md).

- `names`: versions, lines, and the target paths of everything in a repository.
- `moments`: how they are written.
- `documents`: the policy and rollout of a line, as values that were checked.
- `choice`: the draw of a device, and what it should run.
- `withheld`: why it does not get another release.

Pure: no network, no files, no clock, no TUF.
"""
