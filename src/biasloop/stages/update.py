"""Project a generation's parameter update on the bias direction. Knows no run, only two models.

The bias direction is the way in parameter space along which the mean leaning log-odds of what
a model writes rises. Where text is sampled, its slope along the update follows from the articles
that the model wrote; where it is not (greedy and beam decoding choose, and a choice has no
gradient), the direction is the difference between models fine-tuned on one leaning and on the
others. docs/theory.md, "The condition for real models", says what either proves.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from biasloop.config import GenerationConfig
from biasloop.device import running_sums
from biasloop.errors import InputError
from biasloop.models.batches import few_lengths
from biasloop.models.fast.linear import prepacked
from biasloop.models.load import LoadedModel
from biasloop.models.tokens import padded
from biasloop.stages.generate import prompted_by
from biasloop.tables import CHAIN, UPDATES

if TYPE_CHECKING:
    import torch

#: The share of the update that a model is moved by, either way, to take a slope. Small enough for
#: the error of a central difference (its square), large enough for float32.
_STEP = 0.01
#: Blocks that are read at once, and written tokens, which has fewer long ones: their logits are
#: the largest thing in memory.
_BATCH, _TOKENS = 16, 1024
#: Marks of tokens outside a nucleus that are kept at once, a byte each.
_MARKS = 2**22
#: A probability is kept this far from 0 and 1, so that its log-odds are finite.
_CLIP = 1e-6

#: `tables.UPDATES` of one model, without its place in a run.
UPDATE = pl.Schema({name: kind for name, kind in UPDATES.items() if name not in CHAIN})


def difference(before: LoadedModel, after: LoadedModel) -> list[torch.Tensor]:
    """Return what was added to each parameter of ``before``, tied ones once.

    Raises
    ------
    InputError
        If the models are not of one shape.
    """
    ours, theirs = dict(before.model.named_parameters()), dict(after.model.named_parameters())
    if ours.keys() != theirs.keys() or any(ours[n].shape != theirs[n].shape for n in ours):
        raise InputError("the two models do not have the same parameters: there is no update")
    return [(theirs[name].data - ours[name].data).float() for name in ours]


def length(update: Sequence[torch.Tensor]) -> float:
    """Euclidean length over all parameters."""
    return float(np.sqrt(sum(float(part.double().square().sum()) for part in update)))


def _place(
    model: Any,  # noqa: ANN401 - a mixin that type checkers do not see
    origin: Sequence[torch.Tensor],
    update: Sequence[torch.Tensor],
    share: float,
) -> None:
    for parameter, start, change in zip(model.parameters(), origin, update, strict=True):
        parameter.data.copy_(start + share * change if share else start)


def slopes(
    loaded: LoadedModel,
    update: Sequence[torch.Tensor],
    blocks: pl.DataFrame,
    config: GenerationConfig,
) -> pl.DataFrame:
    """Slope of each written article's log-probability along an update.

    The probability is that of nucleus sampling: at the config's temperature, among the tokens of
    the nucleus, which is held fixed. The slope is a central difference.

    Parameters
    ----------
    loaded
        The model that wrote the blocks, in float32; moved, and moved back.
    update
        As from `difference`.
    blocks
        `tables.BLOCKS`, and ``config`` the decoding that they were written with.

    Returns
    -------
    polars.DataFrame
        ``article_id`` and ``slope`` (nats per whole update), an article's blocks added up.
    """
    import torch

    rows = [
        (article_id, block, array("i", prompt), array("i", written))
        for article_id, block, prompt, written in blocks.iter_rows()
        if written
    ]
    rows.sort(key=lambda row: (-len(row[2]) - len(row[3]), row[0], row[1]))
    origin = [parameter.data.clone() for parameter in loaded.model.parameters()]
    found: list[tuple[str, float]] = []
    # Moving a model takes as long as reading a few batches: they are read several at a time.
    longest = max((len(row[3]) for row in rows), default=1)
    batch = min(_BATCH, max(1, _TOKENS // longest))
    marks = longest * loaded.model.config.vocab_size
    size = max(1, _MARKS // (batch * marks)) * batch
    for start in range(0, len(rows), size):
        group = rows[start : start + size]
        batches = [group[at : at + batch] for at in range(0, len(group), batch)]
        with torch.inference_mode(), prepacked(loaded.model):
            readers = [
                _reader(loaded, [(row[2], row[3]) for row in some], config) for some in batches
            ]
        ends = []
        for share in (_STEP, -_STEP):
            _place(loaded.model, origin, update, share)
            with torch.inference_mode(), prepacked(loaded.model):
                ends.append(np.concatenate([reader() for reader in readers]))
        _place(loaded.model, origin, update, 0.0)
        slope = (ends[0] - ends[1]) / (2 * _STEP)
        found.extend((row[0], value) for row, value in zip(group, slope.tolist(), strict=True))
    table = pl.DataFrame(found, schema={"article_id": pl.String, "slope": pl.Float64}, orient="row")
    return table.group_by("article_id").agg(pl.col("slope").sum()).sort("article_id")


def outside_nucleus(logits: torch.Tensor, top_p: float, min_p: float = 0.0) -> torch.Tensor:
    """Mark the tokens that nucleus sampling leaves out, of logits of shape (places, vocabulary).

    The nucleus is that of transformers' `TopPLogitsWarper`: the fewest most probable tokens whose
    probabilities add up to ``top_p``. Tokens as probable as its last one count as inside. Of them,
    those less probable than ``min_p`` of the most probable one are left out, too.
    """
    import torch

    if logits.device.type == "cpu":
        # NumPy sorts floats with vector instructions; torch moves an index along with each.
        ascending = torch.from_numpy(np.sort(logits.numpy(), -1))
    else:
        ascending = logits.sort(-1).values
    left_out = (running_sums(ascending.softmax(-1)) <= 1 - top_p).sum(-1, keepdim=True)
    outside = logits < ascending.gather(-1, left_out.clamp(max=ascending.shape[-1] - 1))
    return outside | (logits < ascending[:, -1:] + np.log(min_p)) if min_p else outside


def _reader(
    loaded: LoadedModel,
    blocks: Sequence[tuple[Sequence[int], Sequence[int]]],
    config: GenerationConfig,
) -> Callable[[], np.ndarray]:
    """Return what reads a batch of blocks again, with the nucleus of the first reading.

    It gives the log-probability of each block's continuation, in nats; shape (blocks,).
    """
    import torch

    device = torch.device(loaded.device.name)
    texts = [[*prompt, *written] for prompt, written in blocks]
    width = min(few_lengths(max(map(len, texts))), loaded.context)
    input_ids, _ = padded(texts, loaded.card.pad, length=width)
    places = [
        (row, column)
        for row, (prompt, _) in enumerate(blocks)
        for column in range(len(prompt) - 1, len(texts[row]) - 1)
    ]
    rows, columns = (torch.as_tensor(x) for x in zip(*places, strict=True))
    targets = input_ids[rows, columns + 1].to(device)
    input_ids = input_ids.to(device)
    # No place before this has a continuation to predict, and so needs no logits.
    first = int(columns.min())

    def read() -> torch.Tensor:
        # No mask: padding is on the right, where no token that counts looks.
        logits = loaded.model(
            input_ids=input_ids, logits_to_keep=input_ids.shape[1] - first, use_cache=False
        ).logits
        return logits[rows, columns - first].float().div_(config.temperature)

    outside = outside_nucleus(read(), config.top_p, config.min_p)
    # Written in another precision, a token may lie just outside.
    outside[torch.arange(len(targets), device=device), targets] = False

    def log_probabilities() -> np.ndarray:
        logits = read().masked_fill_(outside, -torch.inf)
        chosen = torch.log_softmax(logits, -1).gather(-1, targets[:, None])[:, 0]
        total = torch.zeros(len(input_ids), dtype=torch.float64)
        return total.index_add(0, rows, chosen.double().cpu()).numpy()

    return log_probabilities


def project_on_gradient(
    before: LoadedModel,
    after: LoadedModel,
    articles: pl.DataFrame,
    blocks: pl.DataFrame,
    leaning_scores: pl.DataFrame,
    config: GenerationConfig,
) -> pl.DataFrame:
    """First-order change of the mean leaning log-odds of what a model writes, under its update.

    With s an article's log-odds and d the slope of its log-probability along the update, it is
    the covariance of s and d over the articles: the score-function (REINFORCE) gradient of
    E[s], Williams 1992, taken along the update; and the Price equation, with d for fitness.
    Both are taken from their means among the articles prompted by real ones of the same label:
    what a prompt brings along is not of the model, and would only add noise.

    Parameters
    ----------
    before, after
        The models at either end of the update, in float32.
    articles, blocks
        What ``before`` wrote by nucleus sampling as ``config`` says (`tables.ARTICLES`,
        `tables.BLOCKS`); the label is that of the real article behind each.
    leaning_scores
        ``article_id, leaning, probability`` of those articles.

    Returns
    -------
    polars.DataFrame
        `UPDATE`, one row per leaning: ``projection`` in units of log-odds, with a 95 % interval
        over articles (of the covariance, by its influence function), several samples from one
        opening taken together; ``cosine`` is null.
    """
    from scipy import stats

    update = difference(before, after)
    table = leaning_scores.join(slopes(before, update, blocks, config), on="article_id").join(
        articles.select("article_id", "label"), on="article_id"
    )
    rows = []
    for leaning in leaning_scores["leaning"].unique(maintain_order=True):
        mine = table.filter(pl.col("leaning") == leaning)
        odds, slope = log_odds(mine["probability"].to_numpy()), mine["slope"].to_numpy()
        places = [np.flatnonzero(mine["label"] == label) for label in mine["label"].unique()]
        prompts = prompted_by(mine["article_id"], config)
        count, free = len(odds), len(odds) - len(places)
        if prompts.n_unique() - len(places) < 2:
            raise InputError(
                f"the projection of an update needs more articles: {prompts.n_unique()} of "
                f"{len(places)} labels"
            )
        products = np.zeros(count)
        for group in places:
            products[group] = (odds[group] - odds[group].mean()) * (
                slope[group] - slope[group].mean()
            )
        products *= count / free
        value = float(products.mean())
        by_prompt = pl.DataFrame({"prompt": prompts, "product": products})
        each = by_prompt.group_by("prompt", maintain_order=True).mean()["product"].to_numpy()
        error = float(each.std(ddof=1) / np.sqrt(len(each)) * stats.t.ppf(0.975, len(each) - 1))
        rows.append((leaning, "gradient", value, value - error, value + error, None))
    return _table(rows, length(update))


def project_on_contrast(
    before: LoadedModel,
    after: LoadedModel,
    base: LoadedModel,
    fine_tuned: Mapping[str, LoadedModel],
) -> pl.DataFrame:
    """Projection of an update on the difference of models fine-tuned on one leaning and on others.

    Parameters
    ----------
    before, after
        The models at either end of the update, in float32.
    base, fine_tuned
        By leaning, ``base`` fine-tuned on real articles of that leaning only. The direction of a
        leaning is its model less the mean of the others.

    Returns
    -------
    polars.DataFrame
        `UPDATE`, one row per leaning: ``projection`` in units of the direction's own length (1
        is an update as far that way as the two fine-tunings lie apart), and the cosine of the
        angle between the two. No interval: nothing in it is a mean over articles.
    """
    update = difference(before, after)
    towards = {leaning: difference(base, model) for leaning, model in fine_tuned.items()}
    norm = length(update)
    rows = []
    for leaning, mine in towards.items():
        others = [change for other, change in towards.items() if other != leaning]
        inner = squared = 0.0
        for i, part in enumerate(update):
            direction = (mine[i] - sum(other[i] for other in others) / len(others)).double()
            inner += float((part.double() * direction).sum())
            squared += float(direction.square().sum())
        if not squared:
            raise InputError(
                f"the models fine-tuned on '{leaning}' and on other leanings are the same: there "
                "is no bias direction"
            )
        cosine = inner / (norm * np.sqrt(squared)) if norm else None
        rows.append((leaning, "contrast", inner / squared, None, None, cosine))
    return _table(rows, norm)


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Return log p/(1-p), finite: p is kept 1e-6 from 0 and 1."""
    kept = np.clip(probability, _CLIP, 1 - _CLIP)
    return np.log(kept) - np.log1p(-kept)


def _table(rows: list[tuple[Any, ...]], norm: float) -> pl.DataFrame:
    return pl.DataFrame([(*row, norm) for row in rows], schema=UPDATE, orient="row")
