"""Programs that take the place of hardware in tests: they speak its protocol and do what they are asked for."""
