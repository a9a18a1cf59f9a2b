"""Other compressors, each run by a script in an environment that has it; the scripts import nothing of edgeship."""
