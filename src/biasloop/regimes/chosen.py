"""Choose among the previous generation's articles by what the instruments read in them.

What `Regime.metrics` names stands beside each article as a column: ``leaning``, its likeliest one,
``quality`` or ``perplexity``, or ``human``, how likely a detector takes it for human text; null
where the instrument has no figure for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from biasloop.config.regimes import (
    BalancedConfig,
    DetectorConfig,
    ReweightedConfig,
    SurpriseConfig,
    VerifiedConfig,
)
from biasloop.errors import InputError
from biasloop.metrics.evaluation import TELLS_APART
from biasloop.metrics.quantification import adjusted_shares, error_rates
from biasloop.regimes.base import Regime

#: No detector is taken to be surer than this, so that no article has all the weight.
_SUREST = 0.99


class Balanced(Regime[BalancedConfig]):
    """Resample the leanings to the real shares, both as the instrument reads them.

    Wyllie, Shumailov and Papernot 2024 (arXiv 2403.07857), stratified sampling as reparation: the
    set keeps its size, and each leaning's articles are drawn from its own, with replacement only
    where more are wanted than there are. ``strength`` goes from the shares as written (0) to the
    real ones (1).
    """

    def training_set(
        self,
        real: pl.DataFrame,
        synthetic: Mapping[int, pl.DataFrame],
        random: np.random.Generator,
    ) -> pl.DataFrame:
        """Return the resampled articles, in order.

        Raises
        ------
        InputError
            If no article was read as a leaning that real articles are read as.
        """
        (articles,) = synthetic.values()
        read = articles["leaning"].to_numpy()
        leanings = sorted({*real["leaning"].drop_nulls(), *articles["leaning"].drop_nulls()})
        there, wanted = (
            np.array([(table["leaning"] == one).sum() for one in leanings], dtype=float)
            for table in (articles, real)
        )
        if not (there.sum() and wanted.sum()):
            raise InputError(f"regime '{self.config.label}': no article has a leaning that is read")
        shares = (1 - self.config.strength) * there / there.sum()
        shares += self.config.strength * wanted / wanted.sum()
        rows = []
        for leaning, size in zip(leanings, _rounded(shares, articles.height), strict=True):
            own = np.flatnonzero(read == leaning)
            if size and not own.size:
                raise InputError(
                    f"regime '{self.config.label}': {size} articles read as '{leaning}' are "
                    "wanted, and the generation before wrote none: take a regime that adds real "
                    "ones, or more articles. What is finished is kept"
                )
            rows.append(random.choice(own, size, replace=size > own.size) if size else own[:0])
        return articles[np.sort(np.concatenate(rows)).tolist()]


def _rounded(shares: np.ndarray, total: int) -> list[int]:
    """Round shares of a total to whole numbers that add up to it, by largest remainders."""
    exact = shares * total
    counts = np.floor(exact + 1e-9).astype(int)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: total - counts.sum()]] += 1
    return counts.tolist()


class Verified(Regime[VerifiedConfig]):
    """Keep the articles that a verifier accepts (Feng et al. 2024, arXiv 2406.07515)."""

    def settings(self) -> dict[str, Any]:
        """Name the bounds that are set."""
        return {name: value for name, value in super().settings().items() if value is not None}

    def training_set(
        self,
        real: pl.DataFrame,
        synthetic: Mapping[int, pl.DataFrame],
        random: np.random.Generator,
    ) -> pl.DataFrame:
        """Return those of at least that quality and within that band of perplexity.

        Raises
        ------
        InputError
            If none is accepted.
        """
        (articles,) = synthetic.values()
        accepted = pl.lit(True)
        if self.config.quality is not None:
            accepted &= pl.col("quality") >= self.config.quality
        if self.config.perplexity is not None:
            accepted &= pl.col("perplexity").is_between(*self.config.perplexity)
        kept = articles.filter(accepted)
        if not kept.height:
            found = ", ".join(
                f"{name} {articles[name].min()} to {articles[name].max()}"
                for name in self.metrics()
            )
            raise InputError(
                f"regime '{self.config.label}': of the {articles.height} articles of the "
                f"generation before none is accepted ({found}): widen its bounds. What is "
                "finished is kept"
            )
        return kept


class Surprise(Regime[SurpriseConfig]):
    """Leave out the articles that surprise the base model least.

    Gambetta et al. 2024 (arXiv 2410.12341) train on the documents of the highest perplexity; here
    ``drop`` says how large a part, of the lowest, is left out. An article without a perplexity
    goes first.
    """

    def expected_size(self, generation: int, real: int, samples: int = 1) -> float:
        """Count those that stay; one at least."""
        if not generation:
            return float(real)
        return float(self._kept(real * samples))

    def _kept(self, written: int) -> int:
        return max(1, written - int(self.config.drop * written))

    def training_set(
        self,
        real: pl.DataFrame,
        synthetic: Mapping[int, pl.DataFrame],
        random: np.random.Generator,
    ) -> pl.DataFrame:
        """Return the others, in order; of equal perplexities the first stay."""
        (articles,) = synthetic.values()
        surprise = articles["perplexity"].fill_null(-np.inf).to_numpy()
        kept = np.sort(np.argsort(-surprise, kind="stable")[: self._kept(articles.height)])
        return articles[kept.tolist()]


class Detector(Regime[DetectorConfig]):
    """Resample the articles by a detector of generated text.

    Drayson, Yilmaz and Lampos 2025 (arXiv 2502.15654) resample a mixture of human and generated
    text; here every article is generated, and the odds that it is human text, by a detector whose
    classes weigh the same, are the density ratio of real to generated text as the detector sees
    it. The set keeps its size; a weight is the odds to the power of ``strength``. Resampling is
    systematic (Kitagawa 1996): an article of weight w among n of mean weight 1 is there floor(w)
    or ceil(w) times, so equal weights leave the set as it is.
    """

    def metrics(self) -> tuple[str, ...]:
        """Read the detector, which is no metric of the config."""
        return ("human",)

    def training_set(
        self,
        real: pl.DataFrame,
        synthetic: Mapping[int, pl.DataFrame],
        random: np.random.Generator,
    ) -> pl.DataFrame:
        """Return the resampled articles, in order."""
        (articles,) = synthetic.values()
        human = np.clip(articles["human"].to_numpy(), 1 - _SUREST, _SUREST)
        weights = (human / (1 - human)) ** self.config.strength
        ends = np.cumsum(weights) / weights.sum() * articles.height
        marks = random.random() + np.arange(articles.height)
        rows = np.minimum(np.searchsorted(ends, marks, side="right"), articles.height - 1)
        return articles[rows.tolist()]


class Reweighted(Regime[ReweightedConfig]):
    """Weigh each article's loss, by the instrument and its errors.

    Importance weights under label shift (Lipton, Wang and Smola 2018, arXiv 1802.03916): an
    article of leaning j is to weigh v(j), the real share over the written one, which is corrected
    for the instrument's errors. An article that is *read* as r weighs w(r), so that those that are
    j weigh v(j) on average: sum over r of P(read r | is j) w(r) = v(j). The errors are those on
    the real articles, whose labels are known and which the instrument was not fitted on.
    """

    def training_set(
        self,
        real: pl.DataFrame,
        synthetic: Mapping[int, pl.DataFrame],
        random: np.random.Generator,
    ) -> pl.DataFrame:
        """Return the articles with their weights; one that was not read weighs as the average.

        Raises
        ------
        InputError
            If the instrument does not tell the leanings of the real articles apart, or read no
            article as one of them.
        """
        from sklearn.metrics import confusion_matrix

        (articles,) = synthetic.values()
        known = real.filter(pl.col("leaning").is_not_null())
        labels = sorted({*real["label"], *known["leaning"]})
        place = {label: index for index, label in enumerate(labels)}
        truth, read = (
            np.array([place[label] for label in known[column]], dtype=int)
            for column in ("label", "leaning")
        )
        confusion = confusion_matrix(truth, read, labels=range(len(labels)))
        apart = confusion.sum(axis=1).all()
        rates = error_rates(confusion) if apart else np.zeros((len(labels), len(labels)))
        if np.linalg.svd(rates, compute_uv=False)[-1] < TELLS_APART:
            raise InputError(
                f"regime '{self.config.label}': the classifier does not tell the leanings of the "
                f"{known.height} real articles apart, so that nothing can be weighed by it"
            )
        rows = np.array([place.get(label, -1) for label in articles["leaning"]])
        counts = np.bincount(rows[rows >= 0], minlength=len(labels))
        if not counts.all():
            raise InputError(
                f"regime '{self.config.label}': no article of the generation before was read as "
                f"'{labels[int(np.argmin(counts))]}', and none can be weighed for those that are "
                "missing: take a regime that adds real ones. What is finished is kept"
            )
        weights = importance_weights(
            counts / counts.sum(),
            rates,
            confusion.sum(axis=1) / confusion.sum(),
            self.config.strength,
            self.config.clip,
        )
        own = np.where(rows >= 0, weights[rows], (weights * counts).sum() / counts.sum())
        return articles.with_columns(pl.Series("weight", own / own.mean(), pl.Float64))


def importance_weights(
    read: np.ndarray, rates: np.ndarray, real: np.ndarray, strength: float, clip: float
) -> np.ndarray:
    """Weigh readings so that the shares become the real ones; see `Reweighted`.

    Parameters
    ----------
    read
        Shares as read, shape (labels,).
    rates
        P(read | is), shape (labels, labels).
    real
        The shares that are wanted, shape (labels,).
    strength
        How far to go, from the shares as written (0) to the real ones (1).
    clip
        Weights lie between one over this and this.

    Returns
    -------
    np.ndarray
        By reading, shape (labels,).
    """
    written = adjusted_shares(read, rates)
    wanted = (1 - strength) * written + strength * real
    ratio = np.clip(wanted / np.maximum(written, 1e-9), 1 / clip, clip)
    return np.clip(np.linalg.solve(rates, ratio), 1 / clip, clip)
