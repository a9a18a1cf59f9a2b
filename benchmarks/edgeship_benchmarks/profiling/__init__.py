"""Where the time of an inference goes: by the runtime's own profile, or by timing files cut after each operator."""
