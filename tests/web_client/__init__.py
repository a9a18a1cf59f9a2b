"""The browser's client against the attacks of `tests/attacks`, over HTTP.

- `driven`: the client in Node, with its guards or without some.
- `guards`: what holds, as places in its source.
- `table`: each attack that it meets, what it says, and what would come of it without what holds.
"""
