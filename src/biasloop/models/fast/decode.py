"""Continue prompts with a causal language model, many at once.

`decode` is the fast path: one key-value cache per batch, written in place, and no work for
prompts that are finished. `decode_by_transformers` hands everything to the model's ``generate``:
for beam search, and for models that keep another state than keys and values.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from biasloop.errors import InputError
from biasloop.models.batches import read_at_once
from biasloop.models.fast import enabled
from biasloop.models.fast.sampling import Sampler
from biasloop.models.load import LoadedModel, text_config
from biasloop.models.tokens import padded

#: A continuation is kept as this: half the memory of what torch and Python use.
TOKEN = np.int32

#: Token ids of one text.
Tokens = Sequence[int] | np.ndarray

#: Rows that are finished are dropped when they are this share of a batch.
_DROPPED_SHARE = 0.25


def keeps_keys_and_values(model: Any, length: int) -> bool:  # noqa: ANN401 - not typed
    """Whether `decode` can write with a model: all it remembers is a key and a value per token.

    Models with a recurrent state, with an encoder, or with a window shorter than ``length`` cannot.
    """
    config = text_config(model)
    kinds = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)
    return (
        enabled()
        and model._supports_default_dynamic_cache()
        and not model._is_stateful
        and not model.config.is_encoder_decoder
        and kinds <= {"full_attention", "sliding_attention"}
        and (window is None or window >= length)
    )


def decode(
    loaded: LoadedModel,
    prompts: Sequence[Tokens],
    new_tokens: int,
    choice: Sampler,
) -> list[np.ndarray]:
    """Continue a batch of prompts with a model that `keeps_keys_and_values`.

    Parameters
    ----------
    prompts
        Token ids, none empty, the longest first: shorter ones are padded on the left and masked.
    new_tokens
        At most so many are written; fewer where the model ends the text (`LoadedModel.ends`).
    choice
        Chooses each next token; its ``rows`` are places in ``prompts``.

    Returns
    -------
    list of np.ndarray
        Continuations, int32, in the order of the prompts; one that the model ended has the
        end-of-sequence token for its last.
    """
    import torch

    from biasloop.models.fast.key_value_cache import BlockCache

    cache = BlockCache(len(prompts), len(prompts[0]) + new_tokens)
    model: Any = loaded.model
    device = torch.device(loaded.device.name)
    stops, ends_at = np.array(loaded.ends), torch.tensor(loaded.ends, device=device)
    accepted = inspect.signature(model.forward).parameters
    width, count = len(prompts[0]), len(prompts)
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    padding = width - lengths

    def read(input_ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Logits after the last of the tokens, shape (rows, vocabulary)."""
        options: dict[str, Any] = {}
        if mask is not None:
            options["attention_mask"] = mask
            if "position_ids" in accepted:
                places = (mask.cumsum(-1) - 1).clamp_(min=0)
                options["position_ids"] = places[:, -input_ids.shape[1] :]
        if "logits_to_keep" in accepted:
            options["logits_to_keep"] = 1
        return model(input_ids=input_ids, past_key_values=cache, use_cache=True, **options).logits[
            :, -1
        ]

    def visible(rows: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        return (torch.arange(start, stop, device=device) >= padding[rows, None]).long()

    tokens = torch.empty(count, dtype=torch.long, device=device)
    size = max(1, read_at_once(model) // width)
    everyone = torch.arange(count, device=device)
    for at in range(0, count, size):
        rows = everyone[at : at + size]
        longest = len(prompts[at])
        input_ids, _ = padded(prompts[at : at + size], loaded.card.pad, "left")
        cache.read_prompts(slice(at, at + len(rows)), width - longest)
        equal = len(prompts[at + len(rows) - 1]) == longest
        mask = None if equal else visible(rows, width - longest, width)
        logits = read(input_ids.to(device), mask)
        tokens[rows] = choice(logits, rows.tolist())

    written = np.empty((count, new_tokens), dtype=TOKEN)
    written[:, 0] = tokens.cpu().numpy()
    ends = np.where(np.isin(written[:, 0], stops), 1, new_tokens)
    equal = len(prompts[-1]) == width
    rows, unfinished = everyone, ~torch.isin(tokens, ends_at)
    for step in range(1, new_tokens):
        left = int(unfinished.sum())
        if not left:
            break
        if left <= (1 - _DROPPED_SHARE) * len(rows):
            cache.batch_select_indices(unfinished.nonzero()[:, 0])
            rows, tokens = rows[unfinished], tokens[unfinished]
            unfinished = unfinished[unfinished]
        place = width + step - 1
        cache.read_next(place)
        logits = read(tokens[:, None], None if equal else visible(rows, 0, place + 1))
        names = rows[unfinished]
        chosen = choice(logits[unfinished] if left < len(rows) else logits, names.tolist())
        tokens[unfinished] = chosen
        unfinished[unfinished.clone()] = ~torch.isin(chosen, ends_at)
        at = names.cpu().numpy()
        written[at, step] = chosen.cpu().numpy()
        ends[at[np.isin(written[at, step], stops)]] = step + 1
    return [row[:stop].copy() for row, stop in zip(written, ends, strict=True)]


def decode_by_transformers(
    loaded: LoadedModel, prompts: Sequence[Tokens], options: dict[str, Any]
) -> list[np.ndarray]:
    """Continue a batch of prompts as `decode` does, with any causal model's own ``generate``.

    ``prompts`` are padded on the left and masked; ``options`` are of
    ``transformers.GenerationConfig``.
    """
    import torch
    from transformers import GenerationConfig as Decoding

    model: Any = loaded.model
    pad, ends = loaded.card.pad, list(loaded.ends)
    device = torch.device(loaded.device.name)
    input_ids, mask = padded(prompts, pad, "left")
    decoding = Decoding(pad_token_id=pad, eos_token_id=ends, use_cache=True, **options)
    try:
        whole = model.generate(
            input_ids=input_ids.to(device),
            attention_mask=mask.to(device),
            generation_config=decoding,
        )
    except ValueError as error:  # a state that beams cannot share, say
        raise InputError(f"generation.decoding: the model cannot write so: {error}") from error
    written = whole[:, input_ids.shape[1] :]
    continuations = []
    for row in written.cpu().numpy().astype(TOKEN):
        stops = np.flatnonzero(np.isin(row, ends))
        continuations.append(row[: stops[0] + 1].copy() if len(stops) else row.copy())
    return continuations
