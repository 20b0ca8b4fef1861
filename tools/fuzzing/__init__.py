"""Hostile input for biasloop, and what may come of it: for tools/fuzz.py and the tests."""
