"""How expected an article is to a causal language model, and how sure the model is of its own.

The metric ``perplexity`` reads articles under the base model; `own_entropy` reads those of a
generation under the model that wrote them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from biasloop.config import MetricsConfig
from biasloop.errors import BiasloopError, InputError
from biasloop.metrics.base import FitContext, Scored, scored
from biasloop.models.batches import batches, few_lengths, read_at_once
from biasloop.models.fast.linear import prepacked
from biasloop.models.load import LoadedModel, checkpoint_of, load_model
from biasloop.models.tokens import begun, padded
from biasloop.quantities import Quantity, declare
from biasloop.tables import as_given

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    #: Logits, shape (tokens, vocabulary), and the tokens that follow -> their sum.
    _Total = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

declare(
    Quantity(
        "own_entropy",
        "entropy on own text",
        "own_entropy",
        "diversity",
        bounds=(0.0, None),
        title="Entropy on own text",
        caption="Mean entropy of what each model predicts next in the articles that it wrote. "
        "A fall is worse: the model grows sure of itself.",
        unit="nats per token",
        tested="entropy on own text",
    )
)

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
    from torch.nn.functional import cross_entropy

    total = partial(cross_entropy, reduction="sum")
    return np.exp(_by_token(model, tokenizer, texts, batch_size, max_tokens, total))


def entropies(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    batch_size: int,
) -> np.ndarray:
    """Mean entropy of what a model predicts for tokens 2, 3, ... of each text, in nats.

    Of the model itself, at temperature 1, whatever decoding wrote the text. Parameters, NaN and
    errors as of `perplexities`; between 0 and the logarithm of the vocabulary.
    """
    from torch.special import entr

    def total(logits: torch.Tensor, follows: torch.Tensor) -> torch.Tensor:
        del follows
        return entr(logits.softmax(dim=-1)).sum()

    return _by_token(model, tokenizer, texts, batch_size, MAX_TOKENS, total)


def _by_token(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    batch_size: int,
    max_tokens: int,
    total: _Total,
) -> np.ndarray:
    """Mean over each text's tokens 2, 3, ... of what ``total`` sums up; see `perplexities`."""
    limit = min(max_tokens, checkpoint_of(model, tokenizer).context)
    ids = [np.asarray(tokens, np.int32) for tokens in begun(tokenizer, texts, limit)]
    judged = [row for row in range(len(texts)) if len(ids[row]) > 1]
    result = np.full(len(texts), np.nan)
    sums = np.zeros(len(judged))
    for place, logits, follows in _predictions(
        model, [ids[row] for row in judged], batch_size, limit
    ):
        sums[place] += float(total(logits, follows))
    result[judged] = sums / np.array([len(ids[row]) - 1 for row in judged])
    if np.isnan(result[judged]).any():
        raise _diverged("perplexity")
    return result


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
    import torch

    parts: list[list[np.ndarray]] = [[] for _ in ids]
    for place, logits, follows in _predictions(model, ids, batch_size, limit):
        losses = torch.nn.functional.cross_entropy(logits, follows, reduction="none")
        parts[place].append(-losses.cpu().numpy().astype(float))
    found = [np.concatenate(own) for own in parts]
    if not all(np.isfinite(own).all() for own in found):
        raise _diverged("pairs")
    return found


def _diverged(metric: str) -> BiasloopError:
    return BiasloopError(
        f"{metric}: the model gives probabilities that are not numbers; its training has "
        "diverged. Lower training.learning_rate"
    )


def _predictions(
    model: PreTrainedModel, ids: Sequence[np.ndarray], batch_size: int, limit: int
) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """Let a model read texts of two tokens at least.

    Yields
    ------
    tuple
        A text's place; logits, shape (tokens, vocabulary), of `_JUDGED_AT_ONCE` tokens at most;
        and the tokens that follow. A text's own come in order.
    """
    import torch

    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode(), prepacked(model):
            for batch in batches([len(own) for own in ids], batch_size, read_at_once(model)):
                longest = min(few_lengths(max(len(ids[place]) for place in batch)), limit)
                read, _ = padded([ids[place] for place in batch], 0, length=longest)
                read = read.to(model.device)
                logits = model(input_ids=read, use_cache=False).logits
                for row, place in enumerate(batch):
                    last = len(ids[place]) - 1
                    for at in range(0, last, _JUDGED_AT_ONCE):
                        end = min(at + _JUDGED_AT_ONCE, last)
                        yield place, logits[row, at:end].float(), read[row, at + 1 : end + 1]
    finally:
        model.train(was_training)


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


def own_entropy(
    loaded: LoadedModel, articles: pl.DataFrame, config: MetricsConfig, seed: int
) -> Scored:
    """Score a model on the articles that it wrote: ``own_entropy``, see `entropies`."""
    del seed
    batch = config.perplexity_batch_size
    values = entropies(loaded.model, loaded.tokenizer, articles["body"].to_list(), batch)
    return scored(articles["article_id"].to_list(), {"own_entropy": values})
