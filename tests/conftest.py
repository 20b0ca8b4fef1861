"""For every test: one thread, since more of them only wait for each other on tiny models."""

import os

import pytest
from hypothesis import settings

# Before anything loads a numerical library, which reads this once.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A busy machine is slow; that says nothing of the code. Speed is measured in benchmarks/.
settings.register_profile("biasloop", deadline=None)
settings.load_profile("biasloop")


@pytest.fixture(scope="module")
def blank():
    """Have a report's PNGs be empty: most of its time is theirs, and other tests draw each one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("biasloop.report.write.png", lambda chart: b"")
        yield
