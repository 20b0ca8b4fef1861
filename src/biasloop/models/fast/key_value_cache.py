"""A key-value cache of a known size, filled in place.

transformers' own growing cache copies every key and value at every token, and its static one has
attention read to the end of the cache, written or not. This one is allocated once and is read as
far as it is filled. Import it lazily: it needs torch and transformers.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin


class Filling:
    """Where the next keys and values go: the same for every layer.

    ``rows`` are the rows whose whole prompts are being read, None for the next token of every
    row; ``start`` is the place of their first token.
    """

    def __init__(self) -> None:
        self.rows: slice | None = None
        self.start = 0


class _Layer(CacheLayerMixin):
    is_sliding = False

    def __init__(self, count: int, length: int, filling: Filling) -> None:
        super().__init__()
        self.count, self.length, self.filling = count, length, filling

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        # Zeros: what a mask hides must still be a number.
        self.memory = tuple(
            states.new_zeros((self.count, states.shape[1], self.length, states.shape[3]))
            for states in (key_states, value_states)
        )
        self.is_initialized = True

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *args: Any,  # noqa: ANN401 - the base class's signature
        **kwargs: Any,  # noqa: ANN401
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        keys, values = self.memory
        rows, start = self.filling.rows, self.filling.start
        end = start + key_states.shape[2]
        at = slice(None) if rows is None else rows
        keys[at, :, start:end] = key_states
        values[at, :, start:end] = value_states
        if rows is not None:  # whole prompts: nothing came before them
            return key_states, value_states
        return keys[:, :, :end], values[:, :, :end]

    def get_seq_length(self) -> int:
        return self.filling.start if self.filling.rows is None else 0

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        return self.length

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.memory = tuple(states[indices] for states in self.memory)


class BlockCache(Cache):
    """Keys and values of ``count`` prompts and what is written after them, ``length`` together."""

    def __init__(self, count: int, length: int) -> None:
        self.filling = Filling()
        super().__init__(
            layer_class_to_replicate=partial(  # ty: ignore[invalid-argument-type]
                _Layer, count, length, self.filling
            )
        )

    def read_prompts(self, rows: slice, start: int) -> None:
        """Say that the next tokens are whole prompts of some rows, placed from ``start`` on."""
        self.filling.rows, self.filling.start = rows, start

    def read_next(self, place: int) -> None:
        """Say that the next token is one per row, at this place."""
        self.filling.rows, self.filling.start = None, place
