"""Choose each row's next token from its logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from biasloop.device import running_sums
from biasloop.models.batches import rows_at_once

if TYPE_CHECKING:
    import torch

#: The vocabulary is added up in blocks of this many tokens before one of them is searched.
_BLOCK = 256


class Sampler(Protocol):
    """A way to choose tokens."""

    def __call__(self, logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """Choose a token for each row.

        ``logits`` are of shape (rows, vocabulary); ``rows`` says which prompt each belongs to.
        Returns token ids, shape (rows,).
        """
        ...


def greedy(logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
    """Choose the likeliest token; of several, the one with the lowest id. See `Sampler`."""
    del rows
    return logits.argmax(dim=-1)


class Nucleus:
    """Temperature, top-p (nucleus) and min-p sampling, each prompt by its own random numbers.

    A token is drawn from the whole distribution, and again while it lies outside the nucleus:
    what is left is the distribution within it, and nothing is ever sorted. A prompt's draws depend
    on its logits and its own one of ``streams`` only, not on the batch that it is in.

    The nucleus is that of transformers' ``TopPLogitsWarper``: the likeliest tokens up to and
    including the one with which their probability reaches ``top_p``, above 0 up to 1. Of equally
    likely ones those of higher ids come first here, and any there. Of it, ``min_p``, from 0 to
    below 1, leaves out the tokens that ``MinPLogitsWarper`` leaves out: those less likely than
    that part of the likeliest. Logits are divided by ``temperature`` first.
    """

    def __init__(
        self,
        top_p: float,
        temperature: float,
        streams: Sequence[np.random.Generator],
        min_p: float = 0.0,
    ) -> None:
        self.top_p, self.temperature, self.streams = top_p, temperature, streams
        self.min_p = min_p

    def __call__(self, logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """Draw a token for each row; see `Sampler`."""
        import torch

        size = rows_at_once(logits)
        drawn = [
            self._draw(logits[at : at + size], rows[at : at + size])
            for at in range(0, len(logits), size)
        ]
        return torch.cat(drawn)

    def _draw(self, logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        import torch

        probabilities = (logits.float() / self.temperature).softmax(-1)
        tokens = torch.empty(len(rows), dtype=torch.long, device=logits.device)
        open_rows = torch.arange(len(rows), device=logits.device)
        while len(open_rows):
            numbers = [self.streams[rows[i]].random() for i in open_rows.tolist()]
            uniform = torch.tensor(numbers, dtype=torch.float64, device=logits.device)
            found = inverse(probabilities, uniform)
            tokens[open_rows] = found
            outside = ~within_nucleus(probabilities, found, self.top_p)
            if self.min_p:
                own = probabilities.gather(-1, found[:, None])[:, 0]
                outside |= own < self.min_p * probabilities.amax(-1)
            open_rows, probabilities = open_rows[outside], probabilities[outside]
        return tokens


def inverse(probabilities: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Invert each row's cumulative distribution, tokens in the order of their ids.

    Parameters
    ----------
    probabilities
        Shape (rows, vocabulary), float32.
    uniform
        Shape (rows,), float64, from 0 up to but not including 1.

    Returns
    -------
    torch.Tensor
        Token ids, shape (rows,).
    """
    import torch

    vocabulary = probabilities.shape[-1]
    padded = torch.nn.functional.pad(probabilities, (0, -vocabulary % _BLOCK))
    blocks = padded.unflatten(-1, (-1, _BLOCK))
    ends = running_sums(blocks.sum(-1, dtype=torch.float64))
    target = uniform[:, None] * ends[:, -1:]
    block = torch.searchsorted(ends, target, right=True).clamp_(max=ends.shape[-1] - 1)
    row = torch.arange(len(block), device=block.device)
    within = running_sums(blocks[row, block[:, 0]].double())
    before = ends.gather(-1, block) - within[:, -1:]
    token = torch.searchsorted(within, target - before, right=True).clamp_(max=_BLOCK - 1)
    return (block * _BLOCK + token)[:, 0].clamp_(max=vocabulary - 1)


def within_nucleus(probabilities: torch.Tensor, tokens: torch.Tensor, top_p: float) -> torch.Tensor:
    """Whether each row's token lies in its nucleus; see `Nucleus` for which tokens do.

    ``probabilities`` are of shape (rows, vocabulary), ``tokens`` and the result of shape (rows,).
    """
    import torch

    own = probabilities.gather(-1, tokens[:, None])
    at_least = torch.where(probabilities >= own, probabilities, 0.0)
    # The most that can come first. Few tokens are left for which it has to be told apart.
    first = at_least.sum(-1, dtype=torch.float64) - own[:, 0]
    inside = (first < top_p) & (own[:, 0] > 0)
    open_rows = (~inside).nonzero()[:, 0]
    if len(open_rows):
        own, tokens = own[open_rows], tokens[open_rows]
        probabilities, at_least = probabilities[open_rows], at_least[open_rows]
        # Of equally likely tokens those with higher ids come first: for them "at least" counts.
        later = torch.arange(probabilities.shape[-1], device=tokens.device) > tokens[:, None]
        ahead = at_least.masked_fill_((probabilities == own) & ~later, 0.0)
        ahead = ahead.sum(-1, dtype=torch.float64)
        inside[open_rows] = (ahead < top_p) & (own[:, 0] > 0)
    return inside
