"""Associate every neuron with a metric over the versions of a model, and choose the strongest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from biasloop.errors import InputError, nearest
from biasloop.models.edit import Units
from biasloop.neurons.methods import apply
from biasloop.neurons.regression import Floats
from biasloop.tables import ASSOCIATIONS, CHAIN

#: The error rate that counts are made at.
LEVEL = 0.05


def benjamini_hochberg(pvalues: Floats) -> Floats:
    """Turn p-values into q-values (Benjamini and Hochberg 1995, JRSS B 57(1)).

    Parameters
    ----------
    pvalues
        Shape (tests,); NaN where no test could be made: it is left out of the number of tests.

    Returns
    -------
    np.ndarray
        Shape (tests,); NaN where there is no p-value.
    """
    return _adjusted(pvalues, "fdr_bh")


def bonferroni(pvalues: Floats) -> Floats:
    """Multiply p-values by the number of tests, at most 1; NaN as in `benjamini_hochberg`."""
    return _adjusted(pvalues, "bonferroni")


def _adjusted(pvalues: Floats, method: str) -> Floats:
    from statsmodels.stats.multitest import multipletests

    result = np.full(len(pvalues), np.nan)
    tested = ~np.isnan(pvalues)
    if tested.any():
        result[tested] = multipletests(pvalues[tested], method=method)[1]
    return result


@dataclass(frozen=True)
class Counts:
    """How many of many tests are significant at `LEVEL`.

    Attributes
    ----------
    tests
        Tests made.
    raw, benjamini_hochberg, bonferroni
        Significant without and with a correction.
    by_chance
        Expected of ``raw`` if there were nothing to find.
    """

    tests: int
    raw: int
    benjamini_hochberg: int
    bonferroni: int
    by_chance: float


def count_significant(pvalues: Floats, level: float = LEVEL) -> Counts:
    """Count p-values below a level, raw and corrected."""
    tests = int((~np.isnan(pvalues)).sum())
    return Counts(
        tests,
        int((pvalues < level).sum()),
        int((benjamini_hochberg(pvalues) < level).sum()),
        int((bonferroni(pvalues) < level).sum()),
        level * tests,
    )


@dataclass(frozen=True)
class Overlap:
    """How two sets of neurons, out of the same ones, meet.

    Attributes
    ----------
    first, second, both, total
        Sizes of the sets, of what they share, and of all that was tested for both.
    expected
        Of ``both``, were the sets independent.
    more, fewer
        P-values of at least, and of at most, so many shared: hypergeometric. They take neurons as
        independent draws, which neighbours in a layer are not, so they overstate certainty.
    """

    first: int
    second: int
    both: int
    total: int
    expected: float
    more: float
    fewer: float


def overlap(first: np.ndarray, second: np.ndarray) -> Overlap:
    """Hold the overlap of two sets against chance.

    Parameters
    ----------
    first, second
        Membership, boolean, each of shape (neurons,).
    """
    from scipy.stats import hypergeom

    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    total, a, b = len(first), int(first.sum()), int(second.sum())
    both = int((first & second).sum())
    chance = hypergeom(total, a, b)
    return Overlap(
        a,
        b,
        both,
        total,
        a * b / total if total else 0.0,
        float(chance.sf(both - 1)) if total else 1.0,
        float(chance.cdf(both)) if total else 1.0,
    )


_KEY = list(CHAIN)
_LEANING = "leaning:"


def known_metrics(
    scores: pl.DataFrame, leaning_scores: pl.DataFrame, set_scores: pl.DataFrame
) -> list[str]:
    """List the metrics that a run can be asked for."""
    return [
        *(f"{_LEANING}{name}" for name in leaning_scores["leaning"].unique().sort()),
        *scores["metric"].unique().sort(),
        *set_scores["metric"].unique().sort(),
    ]


def model_scores(
    scores: pl.DataFrame,
    leaning_scores: pl.DataFrame,
    set_scores: pl.DataFrame,
    metric: str,
) -> pl.DataFrame:
    """Give each version's figure.

    Parameters
    ----------
    scores, leaning_scores, set_scores
        As in `loop.Results`.
    metric
        ``leaning:LABEL``: the share of its articles of which LABEL is the likeliest leaning (the
        paper's measure of bias; of equal ones the first in the table counts); or the name of a
        metric: its mean over articles, or that of the whole set.

    Returns
    -------
    polars.DataFrame
        ``regime, seed, generation, value``, sorted; real articles and the base model included.

    Raises
    ------
    InputError
        If there is no such metric.
    """
    if metric.startswith(_LEANING):
        label = metric.removeprefix(_LEANING)
        if (leaning_scores["leaning"] == label).any():
            likeliest = leaning_scores.sort(
                "probability", descending=True, maintain_order=True
            ).unique([*_KEY, "article_id"], keep="first", maintain_order=True)
            share = (pl.col("leaning") == label).mean().alias("value")
            return likeliest.group_by(_KEY).agg(share).sort(_KEY)
    for table in (scores, set_scores):
        rows = table.filter(pl.col("metric") == metric)
        if rows.height:
            return rows.group_by(_KEY).agg(pl.col("value").mean()).sort(_KEY)
    known = known_metrics(scores, leaning_scores, set_scores)
    raise InputError(f"unknown metric '{metric}'; {nearest(metric, known)}")


def count(units: Units) -> int:
    """Count units over layers."""
    return sum(len(own) for own in units.values())


#: What is done unless asked otherwise: of the methods that work with few chains, the one whose
#: error rate on unrelated series is near what it says (docs/neurons.md).
DEFAULT_METHOD = "differences"

#: With fewer versions than this every method that goes by a standard error errs at twice its rate
#: or more (docs/neurons.md).
FEW_VERSIONS = 20

#: Short names on the command line.
_SHORT = {"weight": "weight_mean", "activation": "activation_mean"}


def full_quantity(name: str) -> str:
    """Turn ``weight`` and ``activation`` into the means that they stand for."""
    return _SHORT.get(name, name)


@dataclass(frozen=True)
class Versions:
    """One quantity of every neuron in every version of a model.

    Attributes
    ----------
    neurons
        ``layer`` and ``neuron``, in the order of the rows.
    keys
        ``regime, seed, generation``, in the order of the columns: chain by chain, in time.
    values
        Shape (neurons, versions).
    """

    neurons: pl.DataFrame
    keys: pl.DataFrame
    values: Floats

    @property
    def chains(self) -> np.ndarray:
        """The chain of each version, as a number."""
        chain = self.keys.select(pl.struct("regime", "seed").rank("dense"))
        return chain.to_series().to_numpy().astype(int)

    @property
    def time(self) -> np.ndarray:
        """The generation of each version."""
        return self.keys["generation"].to_numpy()


def versions(neurons: pl.DataFrame, site: str, quantity: str) -> Versions:
    """Lay a quantity out by neuron and version; the base model is no version.

    Parameters
    ----------
    neurons
        `tables.NEURONS`.
    site, quantity
        Which rows.

    Raises
    ------
    InputError
        If there are none, or a version lacks some neurons.
    """
    for column, wanted in (("site", site), ("quantity", quantity)):
        have = neurons[column].unique().to_list()
        if wanted not in have:
            raise InputError(
                f"the run has no neurons of {column} '{wanted}'; {_known(wanted, have)}"
            )
    rows = neurons.filter(
        (pl.col("site") == site) & (pl.col("quantity") == quantity) & (pl.col("generation") >= 0)
    ).sort(*_KEY, "layer", "neuron")
    keys = rows.select(_KEY).unique(maintain_order=True)
    units = rows.select("layer", "neuron").unique().sort("layer", "neuron")
    if rows.height != keys.height * units.height:
        counts = rows.group_by(_KEY, maintain_order=True).len()
        odd = counts.filter(pl.col("len") != units.height)
        regime, seed, generation, count = (odd if odd.height else counts).row(0)
        raise InputError(
            f"regime '{regime}', seed {seed}, generation {generation} has {count} neurons where "
            f"{units.height} were expected: runs of different models cannot be put together"
        )
    return Versions(units, keys, rows["value"].to_numpy().reshape(keys.height, -1).T)


def _known(wanted: str, have: list[str]) -> str:
    return nearest(wanted, have) if have else "it has none: set neurons.sites and run it"


def associate(
    neurons: pl.DataFrame,
    scores: pl.DataFrame,
    metric: str,
    quantity: str = "weight_mean",
    site: str = "mlp_out",
    method: str = DEFAULT_METHOD,
    maxlags: int = 1,
    random: np.random.Generator | None = None,
) -> pl.DataFrame:
    """Associate every neuron of a site with a metric.

    Parameters
    ----------
    neurons
        `tables.NEURONS`; several runs may be put together if their regimes have different names.
    scores
        ``regime, seed, generation`` and ``value``: the metric of each version, as from
        `model_scores`. Versions without a score, or without neurons, are left out.
    metric
        Its name, for the table.
    quantity, site
        See `stages.neurons.QUANTITIES` and `models.sites.SITES`.
    method
        One of `METHODS`; ``published`` is the paper's.
    maxlags
        Of the Bartlett kernel.
    random
        For ``permutation``, where chains are too many to go through all deals.

    Returns
    -------
    polars.DataFrame
        `ASSOCIATIONS`, by layer and neuron; NaN for a neuron that does not vary. ``qvalue`` is
        Benjamini and Hochberg's, over the neurons of this site and quantity.

    Raises
    ------
    InputError
        If too few versions have both, or the metric is the same in all.
    """
    laid = versions(neurons, site, quantity)
    scored = laid.keys.join(
        scores.select(*_KEY, "value"), on=_KEY, how="left", maintain_order="left"
    )
    if scored.height != laid.keys.height:
        raise InputError(f"{metric}: a version has two scores")
    y = scored["value"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    kept = np.flatnonzero(np.isfinite(y))
    if len(kept) < 3:
        raise InputError(
            f"{metric}: {len(kept)} versions have both neurons and a score; an association needs "
            f"at least 3, and means little below {FEW_VERSIONS}: more generations, seeds or regimes"
        )
    if np.ptp(y[kept]) == 0:
        raise InputError(f"{metric} is {y[kept[0]]:g} in every version: nothing goes with it")
    found = apply(
        method, laid.values[:, kept], y[kept], laid.chains[kept], laid.time[kept], maxlags, random
    )
    return laid.neurons.select(
        "layer",
        "neuron",
        pl.lit(site).alias("site"),
        pl.lit(quantity).alias("quantity"),
        pl.lit(metric).alias("metric"),
        pl.Series("pearson", found.pearson),
        pl.Series("coef", found.coef),
        pl.Series("stderr", found.stderr),
        pl.Series("pvalue", found.pvalue),
        pl.Series("qvalue", benjamini_hochberg(found.pvalue)),
    ).cast(dict(ASSOCIATIONS))
