"""The fuzzing tool's cases and oracle, for the tests; one judge, as audit hooks stay for good."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
sys.dont_write_bytecode = True  # a cache file would look like one that a case has written


@pytest.fixture(scope="session")
def judge():
    from fuzzing.oracle import Judge

    return Judge(seconds=30)
