"""What a board needs to measure: the light runtime that is put there, as wheels that were downloaded here."""
