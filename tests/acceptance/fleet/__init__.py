"""A fleet of simulated devices and a week: the real client, the real publisher, the real nginx, and a clock of its own.

- `story`: what the publisher does when, and which devices have which trouble.
- `models`, `publisher`: networks trained on scikit-learn's digits, as releases; the bad one among them.
- `web`: what nginx's log says. `breaking`: a network that breaks.
- `devices`, `worker`: hundreds of devices in one process. `warm`: the child that tries releases for them.
- `run`: the week, checked after every day. `counts`, `costs`: what it took, and what it takes on paper.
- `page`, `plot`: docs/updates/fleet.md and its picture.
"""
