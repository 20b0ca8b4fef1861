"""Weigh the loss of the previous generation's articles by the instrument and its errors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from biasloop.config.regimes import ReweightedConfig
from biasloop.errors import InputError
from biasloop.metrics.evaluation import TELLS_APART
from biasloop.metrics.quantification import adjusted_shares, error_rates
from biasloop.regimes.base import Regime


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
