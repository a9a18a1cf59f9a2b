"""The ssh target against a real OpenSSH server."""
