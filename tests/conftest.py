"""For every test: one thread, since more of them only wait for each other on tiny models."""

import os

# Before anything loads a numerical library, which reads this once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
