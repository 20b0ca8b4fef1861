"""Hostile input for biasloop's readers, and what may come of it: for tools/fuzz.py and the tests."""
