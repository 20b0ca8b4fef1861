"""Which texts are read together, and how long a batch is. Knows their lengths only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

#: Tokens that are read at once. More gain nothing, and the widest tensor between two layers of a
#: GPT-2-sized model (3,072 float32 values a token) then passes the 32 MB from which on the C
#: library gets every tensor anew from the system, page by page.
READ_AT_ONCE = 2048


def batches(lengths: Sequence[int], most: int, tokens: int = READ_AT_ONCE) -> Iterator[list[int]]:
    """Put texts of like length together, the longest first.

    Parameters
    ----------
    lengths
        Tokens of each text.
    most
        Texts of a batch, at most.
    tokens
        Of a batch, at most, padding included; a single text may have more.

    Yields
    ------
    list of int
        Places in ``lengths``; every place once.
    """
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    at = 0
    while at < len(order):
        size = max(1, min(most, tokens // max(1, lengths[order[at]])))
        yield order[at : at + size]
        at += size


def few_lengths(length: int, least: int = 8) -> int:
    """Round a length up, by less than ``least`` or a thirty-second of it, to one of few.

    oneDNN compiles a product's kernel when it first meets its shape, and keeps it: for a small
    model that takes longer than the product, and every batch has a length of its own.
    """
    step = max(least, 2 ** max(0, length.bit_length() - 6))
    return -(-length // step) * step
