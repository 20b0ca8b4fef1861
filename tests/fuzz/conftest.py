"""The fuzzing tool's oracle for the tests: one judge, as audit hooks stay for good."""

import sys

import pytest


@pytest.fixture(scope="session")
def judge():
    from fuzzing.oracle import Judge

    sys.dont_write_bytecode = True  # a cache file would look like one that a case has written
    return Judge(seconds=30)
