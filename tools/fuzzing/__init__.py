"""Hostile input for biasloop's readers, and what may come of it: used by tools/fuzz.py and tests."""
