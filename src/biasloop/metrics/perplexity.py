"""The metric ``perplexity``: how expected an article is to a causal language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from biasloop.config import as_given
from biasloop.errors import BiasloopError, InputError
from biasloop.metrics.base import FitContext, Scored, scored
from biasloop.models import (
    batches,
    begun,
    checkpoint_of,
    few_lengths,
    load_model,
    prepacked,
    read_at_once,
)

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

#: A text is cut here, or at the model's context where that is shorter.
MAX_TOKENS = 1024

#: Tokens whose probabilities are worked out at once: they stay in a processor's cache.
_JUDGED_AT_ONCE = 64


def perplexities(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    batch_size: int,
    max_tokens: int = MAX_TOKENS,
) -> np.ndarray:
    """Perplexity of each text: ``exp`` of the mean cross-entropy of tokens 2, 3, ...

    Texts of like length go together, padded on the right: a causal model looks back only, so that
    no token which is judged sees the padding. A text is cut at ``max_tokens`` and at the model's
    context: no token is judged without the ones before it. A text begins
    as the tokenizer begins one (`models.beginning`), as in training and in prompts.

    Parameters
    ----------
    model
        A causal language model, on its device.
    tokenizer
        Its tokenizer.
    texts
        Any text.
    batch_size
        Texts at once, at most; fewer where they come to more than `models.read_at_once` says.
    max_tokens
        Where a text is cut.

    Returns
    -------
    np.ndarray
        Shape (texts,), float64; NaN for a text of fewer than two tokens, which has none.

    Raises
    ------
    BiasloopError
        If the model gives no finite probabilities, as a diverged one does.
    """
    limit = min(max_tokens, checkpoint_of(model, tokenizer).context)
    ids = [np.asarray(tokens, np.int32) for tokens in begun(tokenizer, texts, limit)]
    judged = [row for row in range(len(texts)) if len(ids[row]) > 1]
    result = np.full(len(texts), np.nan)
    summed = _losses(model, [ids[row] for row in judged], batch_size, limit, "sum")
    for row, losses in zip(judged, summed, strict=True):
        result[row] = sum(float(part) for part in losses) / (len(ids[row]) - 1)
    if np.isnan(result[judged]).any():
        raise _diverged("perplexity")
    return np.exp(result)


def token_log_probabilities(
    model: PreTrainedModel, ids: Sequence[np.ndarray], batch_size: int, limit: int
) -> list[np.ndarray]:
    """Log-probability of each token after those before it, in nats.

    Parameters
    ----------
    model
        A causal language model, on its device.
    ids
        Texts as tokens, each of two tokens at least and of ``limit`` at most.
    batch_size
        As for `perplexities`.
    limit
        The model's context.

    Returns
    -------
    list of np.ndarray
        Per text, of its tokens 2, 3, ...: shape (tokens - 1,), float64.

    Raises
    ------
    BiasloopError
        If one is not finite, as of a diverged model.
    """
    found = [
        -np.concatenate([part.cpu().numpy().astype(float) for part in losses])
        for losses in _losses(model, ids, batch_size, limit, "none")
    ]
    if not all(np.isfinite(own).all() for own in found):
        raise _diverged("pairs")
    return found


def _diverged(metric: str) -> BiasloopError:
    return BiasloopError(
        f"{metric}: the model gives probabilities that are not numbers; its training has "
        "diverged. Lower training.learning_rate"
    )


def _losses(
    model: PreTrainedModel,
    ids: Sequence[np.ndarray],
    batch_size: int,
    limit: int,
    reduction: Literal["sum", "none"],
) -> list[list[Tensor]]:
    """Cross-entropies of each text of at least two tokens, in nats.

    In parts of ``_JUDGED_AT_ONCE`` tokens, each summed or token by token.
    """
    import torch

    found: list[list[Tensor]] = [[] for _ in ids]

    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), prepacked(model):
            for batch in batches([len(row) for row in ids], batch_size, read_at_once(model)):
                longest = min(few_lengths(max(len(ids[row]) for row in batch)), limit)
                padded = torch.zeros((len(batch), longest), dtype=torch.long)
                for place, row in enumerate(batch):
                    padded[place, : len(ids[row])] = torch.from_numpy(ids[row])
                padded = padded.to(model.device)
                logits = model(input_ids=padded, use_cache=False).logits
                for place, row in enumerate(batch):
                    last = len(ids[row]) - 1
                    for at in range(0, last, _JUDGED_AT_ONCE):
                        end = min(at + _JUDGED_AT_ONCE, last)
                        own = logits[place, at:end].float()
                        target = padded[place, at + 1 : end + 1]
                        found[row].append(
                            torch.nn.functional.cross_entropy(own, target, reduction=reduction)
                        )
    finally:
        model.train(was_training)
    return found


@dataclass(frozen=True)
class Perplexity:
    """The metric, ready to score."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    batch_size: int
    input: str = "{body}"

    def score(self, articles: pl.DataFrame) -> Scored:
        """Score articles: ``perplexity``, null for an article of fewer than two tokens."""
        rows = articles.select("title", "body").iter_rows()
        texts = [as_given(self.input, *row) for row in rows]
        values = perplexities(self.model, self.tokenizer, texts, self.batch_size)
        return scored(articles["article_id"].to_list(), {"perplexity": values})


class PerplexityKind:
    """The registry's entry: nothing to fit; the base model is loaded."""

    whole_set = False
    reads_model = False

    def fit(self, context: FitContext, folder: Path) -> None:
        """Write nothing: there is no instrument but the base model itself."""

    def load(self, context: FitContext, folder: Path) -> Perplexity:
        """Load the base model.

        Raises
        ------
        InputError
            If there is no base model, or it cannot be had.
        """
        if context.base_model is None:
            raise InputError(
                "metrics.names: 'perplexity' needs a base model to be measured under, and none is "
                "given"
            )
        own = context.config
        loaded = load_model(context.base_model, precision=own.perplexity_precision)
        return Perplexity(
            loaded.model, loaded.tokenizer, own.perplexity_batch_size, own.perplexity.input
        )
