"""Independent random streams, one per named purpose, from one seed."""

from __future__ import annotations

import zlib

import numpy as np


def sequence(seed: int, *purpose: str | int) -> np.random.SeedSequence:
    """Spawn the seed sequence of one purpose.

    Parameters
    ----------
    seed
        The user's seed.
    *purpose
        What the stream is for, for example ``("generate", chain_seed, generation)``. Streams of
        different purposes are independent; the same purpose always gives the same stream.
    """
    key = [p if isinstance(p, int) else zlib.crc32(p.encode("utf-8")) for p in purpose]
    return np.random.SeedSequence(entropy=seed, spawn_key=key)


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return a NumPy generator for one purpose; see `sequence`."""
    return np.random.default_rng(sequence(seed, *purpose))


def integer(seed: int, *purpose: str | int) -> int:
    """Return a 31-bit seed for libraries that take one integer; see `sequence`."""
    return int(sequence(seed, *purpose).generate_state(1)[0] & 0x7FFFFFFF)
