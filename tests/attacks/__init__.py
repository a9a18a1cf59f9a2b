"""Attacks on devices: each is refused or healed, the model goes on, and without its guard it would have succeeded."""
