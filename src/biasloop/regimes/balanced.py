"""Resample the previous generation's leanings to the real shares."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from biasloop.config.regimes import BalancedConfig
from biasloop.errors import InputError
from biasloop.regimes.base import Regime


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
