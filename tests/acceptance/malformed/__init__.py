"""Damaged and hostile model files: whatever is in them, there is a typed error or an answer."""
