"""The one estimator of a change: grid of scores in, change with interval out.

Every verdict, table and figure has its changes from here: of a generation since Generation 0, or
less the base model or the real articles; less the change of another regime, such as fine-tuning
on real articles alone. The units are the articles within their source, paired; chains are added
as in `inference.chain_figure`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from biasloop.analysis.classifier_errors import with_errors
from biasloop.analysis.grids import SetKey
from biasloop.analysis.inference import Figure, Inference, chain_figure, holm
from biasloop.analysis.outcomes import Outcomes
from biasloop.tables import BASE, REAL

GENERATION_0 = "generation 0"
#: What a generation is held against.
REFERENCES = (GENERATION_0, BASE, REAL)

_ESTIMATE = {"value": pl.Float64, "low": pl.Float64, "high": pl.Float64, "pvalue": pl.Float64}
_RESTS_ON = {"articles": pl.Int64, "chains": pl.Int64}

#: ``value`` is the mean of the generation less the reference. ``holm`` corrects ``pvalue`` for
#: all tests of the run against the same reference; see `with_holm`. Sets whose leaning figures are
#: withheld have no row.
CONTRASTS = pl.Schema(
    {
        "quantity": pl.String,
        "regime": pl.String,
        "generation": pl.Int64,
        "against": pl.String,
        **_ESTIMATE,
        "holm": pl.Float64,
        **_RESTS_ON,
    }
)

#: ``value`` is the change from Generation 0 to ``generation`` in ``regime`` less that in
#: ``against``: of the share (0 to 1), or of quality (0 to 3); its interval is null where every
#: article changed by the same. ``holm`` corrects for every row of the table.
COMPARISONS = pl.Schema(
    {
        "quantity": pl.String,
        "regime": pl.String,
        "against": pl.String,
        "generation": pl.Int64,
        **_ESTIMATE,
        "holm": pl.Float64,
        **_RESTS_ON,
    }
)


# The estimator ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SetValues:
    """The scores of some sets of every chain, and what they rest on.

    Attributes
    ----------
    values
        Shape (chains, sets, articles); NaN where a set has no score of an article.
    sources
        Each article's source as a number, shape (articles,).
    unit
        How much one article counts for in a share; 0 where the values are no shares.
    drawn
        The sets' means by the drawn error rates of the classifier, shape (draws, chains, sets);
        None where the values are not corrected by any.
    rate_sources
        On how many sources the error rates rest.
    """

    values: np.ndarray
    sources: np.ndarray
    unit: float
    drawn: np.ndarray | None = None
    rate_sources: int | None = None

    @property
    def means(self) -> np.ndarray:
        """Shape (chains, sets)."""
        return np.nanmean(self.values, axis=-1)

    def infer(self, figure: Figure) -> Inference | None:
        """Estimate a figure of the sets' means, with what is open of the classifier's errors.

        None where a set has no score, or too few articles or sources.
        """
        result = chain_figure(self.values, figure, self.sources, self.unit)
        if result is None or self.drawn is None:
            return result
        return with_errors(result, figure, self.drawn, self.rate_sources)


def infer(
    found: Outcomes,
    quantity: str,
    keys: Sequence[Sequence[SetKey]],
    figure: Figure,
    unread: Sequence[float] | None = None,
) -> Inference | None:
    """Estimate a figure of some sets' means; None of no chain, and as of `SetValues.infer`.

    Parameters
    ----------
    found
        The outcomes; where their shares are corrected, the error rates' own error is added.
    quantity
        Whose scores.
    keys
        The sets of each chain.
    figure
        What is wanted of the means.
    unread
        What an article that cannot be read counts for, in each set; None leaves it out.
    """
    if not keys:
        return None
    fill = [None] * len(keys[0]) if unread is None else unread
    rows = [
        [found.row(quantity, key, value) for key, value in zip(chain, fill, strict=True)]
        for chain in keys
    ]
    drawn = None
    if found.corrects(quantity):
        of_all = unread is not None
        draws = [[found.drawn_mean(quantity, key, of_all) for key in chain] for chain in keys]
        drawn = np.moveaxis(np.array(draws), -1, 0)
    sources, unit = found.sources[quantity], found.unit(quantity)
    return SetValues(np.array(rows), sources, unit, drawn, found.rate_sources).infer(figure)


def keys_of(
    found: Outcomes,
    quantity: str,
    regime: str,
    sets: Sequence[tuple[int, str]],
    chains: Sequence[int] | None = None,
) -> list[list[SetKey]]:
    """List some sets of the chains that have them all.

    A set is a generation of the chain (with an empty reference), or one of `REFERENCES`.
    """
    result = []
    for seed in found.seeds(regime) if chains is None else chains:
        keys: list[SetKey] = [
            (against, 0, -1)
            if against in (BASE, REAL)
            else (regime, seed, 0 if against == GENERATION_0 else generation)
            for generation, against in sets
        ]
        if not any(np.isnan(found.row(quantity, key)).all() for key in keys):
            result.append(keys)
    return result


def change(
    found: Outcomes,
    quantity: str,
    regime: str,
    generation: int,
    against: str = GENERATION_0,
    chains: Sequence[int] | None = None,
) -> Inference | None:
    """Estimate by how much a generation differs from one of `REFERENCES`.

    Of the seeds in ``chains``, or all that have both sets; None where there is nothing to compare,
    or too few articles or sources.
    """
    if against == GENERATION_0 and generation == 0:
        return None
    keys = keys_of(found, quantity, regime, ((generation, ""), (generation, against)), chains)
    return infer(found, quantity, keys, lambda means: means[..., 0] - means[..., 1])


def change_less(
    found: Outcomes, quantity: str, regime: str, generation: int, against: str
) -> Inference | None:
    """Estimate a regime's change since Generation 0 less another's, of the seeds that both have.

    None where a chain of either cannot be read at that generation, or there is nothing to compare.
    Of what is no share, chains count that have it: a score may be missing in a run under way.
    """
    sets = ((generation, ""), (generation, GENERATION_0))
    seeds = [s for s in found.seeds(regime) if s in found.seeds(against)]
    if not quantity.startswith("share:"):
        seeds = [
            s
            for s in seeds
            if all(keys_of(found, quantity, name, sets, [s]) for name in (regime, against))
        ]
    own, other = (keys_of(found, quantity, name, sets, seeds) for name in (regime, against))
    if len(own) < len(seeds) or len(other) < len(seeds):
        return None
    both = [[*one, *two] for one, two in zip(own, other, strict=True)]
    return infer(found, quantity, both, lambda m: m[..., 0] - m[..., 1] - m[..., 2] + m[..., 3])


def net_change(found: Outcomes, quantity: str, regime: str, last: int) -> Inference | None:
    """Estimate a change since Generation 0, less that of fine-tuning alone where that was run.

    None where fine-tuning alone was run, and this figure of it is not known.
    """
    alone = found.fine_tuned
    if alone is None or regime == alone:
        return change(found, quantity, regime, last)
    return change_less(found, quantity, regime, last, alone)


@dataclass(frozen=True)
class Change:
    """A difference between two generations of the same chains.

    Attributes
    ----------
    start, end
        The two generations.
    before, after
        The figure at each, over all chains.
    value, low, high
        The difference and its 95 % interval; less the same of fine-tuning alone where a verdict
        subtracts that.
    pvalue
        Two-sided, of no difference.
    """

    start: int
    end: int
    before: float
    after: float
    value: float
    low: float
    high: float
    pvalue: float


def with_levels(
    found: Outcomes, quantity: str, regime: str, last: int, moved: Inference, level: float = 0.95
) -> Change:
    """Put the levels at either end beside a change since Generation 0, with its interval."""
    keys = keys_of(found, quantity, regime, ((last, GENERATION_0), (last, "")))
    rows = np.stack([[found.row(quantity, key) for key in chain] for chain in keys])
    before, after = np.nanmean(rows, axis=-1).mean(axis=0).tolist()
    return Change(0, last, before, after, *estimate_of(moved, quantity, level))


def estimate_of(
    moved: Inference, quantity: str, level: float = 0.95
) -> tuple[float, float, float, float]:
    """Give value, interval and p-value; of shares kept within -1 and 1."""
    low, high = moved.interval(level)
    if quantity.startswith("share:"):
        low, high = max(low, -1.0), min(high, 1.0)
    return moved.value, low, high, moved.pvalue


# Which chains and generations can be compared -----------------------------------------------------


def reached(found: Outcomes, regime: str, quantity: str) -> dict[int, set[int]]:
    """List the seeds whose chain has a score, by generation."""
    result: dict[int, set[int]] = {}
    there = found.scored(quantity)
    for row, (name, seed, generation) in enumerate(found.keys):
        if name == regime and generation >= 0 and there[row].any():
            result.setdefault(generation, set()).add(seed)
    return result


def comparable(found: Outcomes, regime: str, quantity: str) -> tuple[Outcomes, int]:
    """Choose the generation that is judged, and leave out chains of which nothing is subtracted.

    Where there is a regime of fine-tuning alone, a chain counts at a generation that its seed has
    reached there, too: a change of which nothing is subtracted cannot be averaged with one of
    which something is. Where fine-tuning alone has not come to Generation 1, nothing is
    subtracted from any chain: the outcomes then name no such regime.

    Returns
    -------
    tuple
        The outcomes, and the last generation that as many chains as possible have reached.
    """
    own = reached(found, regime, quantity)
    alone = found.fine_tuned
    if alone is not None and regime != alone:
        theirs = reached(found, alone, quantity)
        shared = {g: seeds & theirs.get(g, set()) for g, seeds in own.items() if g > 0}
        most = max(map(len, shared.values()), default=0)
        if most:
            last = max(g for g, seeds in shared.items() if len(seeds) == most)
            apart = {key for key in found.keys if key[0] == regime and key[1] not in shared[last]}
            return (found.without(apart) if apart else found), last
        found = replace(found, fine_tuned=None)
    most = max(map(len, own.values()), default=0)
    return found, max((g for g, seeds in own.items() if len(seeds) == most), default=0)


# Tables of changes --------------------------------------------------------------------------------


def contrasts(found: Outcomes) -> pl.DataFrame:
    """Hold every generation against every reference: `CONTRASTS`, sorted."""
    rows = [
        (quantity, regime, generation, against, *estimate_of(moved, quantity), None, moved.articles,
         moved.chains)
        for quantity in found.values
        for regime in found.regimes()
        for generation in found.generations(regime)
        for against in REFERENCES
        if (moved := change(found, quantity, regime, generation, against))
    ]  # fmt: skip
    return with_holm(pl.DataFrame(rows, schema=CONTRASTS, orient="row"), found)


def with_holm(rows: pl.DataFrame, found: Outcomes) -> pl.DataFrame:
    """Fill in ``holm`` by families of tests, and sort, so that equal input gives equal bytes.

    Of each reference, the shares of all leanings, regimes and generations are one family; of
    another quantity, its own regimes and generations are. Of two leanings, whose changes mirror
    each other, one counts, and the other has the same.
    """
    keys = [name for name in ("regime", "generation", "against") if name in rows.columns]
    result, pvalues = np.full(rows.height, np.nan), rows["pvalue"].to_numpy()
    names = rows["quantity"].to_numpy()
    against = rows["against"].to_numpy() if "against" in keys else np.zeros(rows.height)
    counted = found.independent()
    families = [counted, *([name] for name in found.values if not name.startswith("share:"))]
    for reference in np.unique(against):
        for family in families:
            members = np.isin(names, family) & (against == reference)
            result[members] = holm(pvalues[members])
    rows = rows.with_columns(pl.Series("holm", result, dtype=pl.Float64).fill_nan(None))
    if len(counted) == 1:
        of_counted = rows.filter(quantity=counted[0]).select(*keys, pl.col("holm").alias("mirror"))
        share = pl.col("quantity").str.starts_with("share:")
        rows = rows.join(of_counted, on=keys, how="left", maintain_order="left").with_columns(
            pl.when(share).then("mirror").otherwise("holm").alias("holm")
        )
    return rows.drop("mirror", strict=False).sort("quantity", *keys, maintain_order=True)


def compare(found: Outcomes, leaning: str, regimes: Sequence[str], against: str) -> pl.DataFrame:
    """Compare regimes with one of them, at the last generation that both can show.

    Parameters
    ----------
    found
        The outcomes.
    leaning
        The leaning whose share is compared; empty for none.
    regimes
        The regimes, in the order to show.
    against
        The regime that they are compared with, such as ``synthetic``.

    Returns
    -------
    pl.DataFrame
        `COMPARISONS`; only seeds that both regimes have count.
    """
    names = [name for name in (f"share:{leaning}", "quality") if name in found.values]
    rows: list[tuple[object, ...]] = []
    for regime in regimes:
        for quantity in names if regime != against else ():
            common = set(found.generations(regime)) & set(found.generations(against)) - {0}
            for generation in sorted(common, reverse=True):
                less = change_less(found, quantity, regime, generation, against)
                if less is None:
                    continue
                ends = less.interval() if less.error > 0 else (None, None)
                figures = (less.value, *ends, less.pvalue, None, less.articles, less.chains)
                rows.append((quantity, regime, against, generation, *figures))
                break
    frame = pl.DataFrame(rows, schema=COMPARISONS, orient="row")
    corrected = holm(frame["pvalue"].to_numpy())
    return frame.with_columns(pl.Series("holm", corrected, dtype=pl.Float64))
