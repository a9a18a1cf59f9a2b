"""The test suite of edgeship."""
