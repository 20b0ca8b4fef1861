"""Hold a synthetic set against real articles: leaning, quality, and what would hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy.spatial.distance import jensenshannon

from biasloop.analysis import (
    SHIFT_MEASURES,
    Tables,
    damage_curve,
    holm,
    instrument_confusion,
    leaning_readings,
    outcomes,
    prevalence,
    total_variation,
    validity,
    wilson,
)
from biasloop.audit.copies import copied
from biasloop.audit.needed import NEEDED, needed_table
from biasloop.config import ReportConfig
from biasloop.errors import InputError
from biasloop.loop import ScoredSets
from biasloop.seeds import generator
from biasloop.tables import CHAIN, LEANING_SCORES, REAL, SCORES, SET_SCORES, conform

#: One row per leaning: shares as read (0 to 1) in the real and in the synthetic set, the
#: difference with its 95 % interval, its p-value, that after Holm over leanings of all axes, and
#: both shares corrected for the classifier's errors (null where they cannot be).
LEANS = pl.Schema(
    {
        "leaning": pl.String,
        "real": pl.Float64,
        "synthetic": pl.Float64,
        "difference": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "pvalue": pl.Float64,
        "holm": pl.Float64,
        "real_corrected": pl.Float64,
        "corrected": pl.Float64,
        "corrected_low": pl.Float64,
        "corrected_high": pl.Float64,
    }
)

_SYNTHETIC = "synthetic"
_DEFAULTS = ReportConfig()
#: Two-sided 5 % and power 80 %: the normal quantiles of both.
_SHOWN = 1.959964 + 0.841621


class Difference(NamedTuple):
    """Second less first, its 95 % interval and the two-sided p-value of none."""

    value: float
    low: float
    high: float
    pvalue: float


def share_difference(hits: tuple[int, int], sizes: tuple[int, int]) -> Difference:
    """Compare two shares.

    Parameters
    ----------
    hits, sizes
        Of the first and of the second sample; sizes above 0.

    Returns
    -------
    Difference
        Newcombe's hybrid score interval (1998, method 10), Fisher's exact p-value.
    """
    from scipy import stats

    first, second = hits[0] / sizes[0], hits[1] / sizes[1]
    (low_1, high_1), (low_2, high_2) = (wilson(h, n) for h, n in zip(hits, sizes, strict=True))
    value = second - first
    low = value - float(np.hypot(second - low_2, high_1 - first))
    high = value + float(np.hypot(high_2 - second, first - low_1))
    table = [[hits[0], sizes[0] - hits[0]], [hits[1], sizes[1] - hits[1]]]
    return Difference(value, low, high, float(stats.fisher_exact(table).pvalue))


def mean_difference(first: np.ndarray, second: np.ndarray) -> Difference | None:
    """Compare two means (Welch 1947); NaN is left out, None where fewer than two are left."""
    from scipy import stats

    first, second = first[~np.isnan(first)], second[~np.isnan(second)]
    if min(len(first), len(second)) < 2:
        return None
    value = float(second.mean() - first.mean())
    if first.var() + second.var() == 0:
        return Difference(value, value, value, float(value == 0))
    found = stats.ttest_ind(second, first, equal_var=False)
    low, high = found.confidence_interval()
    return Difference(value, float(low), float(high), float(found.pvalue))


@dataclass(frozen=True)
class Audit:
    """What can be said of a synthetic set before anything trains on it.

    Attributes
    ----------
    real, synthetic
        How many articles each side has; the real ones are those that the classifier has not seen,
        the synthetic ones those that are no copies.
    copies, of_seen
        How many of the synthetic set's articles are real ones again (`copies`), which are left out
        of everything else; and how many of these the classifier was trained on.
    tolerance
        That `needed` is for, 0 to 1.
    leans
        `LEANS`; empty where the leaning figures are withheld.
    withheld
        Why they are; empty where they are not.
    distance
        Total variation and Jensen-Shannon distance between the shares; None where withheld.
    text
        ``quality`` and ``distinct_2``: synthetic less real.
    needed
        `needed.NEEDED`, of the shares corrected for the classifier's errors, those of every level
        of damage for the articles on it; empty where withheld or refused.
    refused
        Why the real data needed cannot be told though the lean is; empty where it can.
    detectable
        The smallest difference of a share of one half that these sizes show with 80 % power; None
        where fewer than two synthetic articles are left.
    warnings
        What to know of the instruments first.
    axes
        The same by name of a further axis, of the articles that it reads; without ``text``.
    """

    real: int
    synthetic: int
    copies: int
    of_seen: int
    tolerance: float
    leans: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LEANS))
    withheld: str = ""
    distance: tuple[float, float] | None = None
    text: dict[str, Difference] = field(default_factory=dict)
    needed: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=NEEDED))
    refused: str = ""
    detectable: float | None = None
    warnings: tuple[str, ...] = ()
    axes: Mapping[str, Audit] = field(default_factory=dict)


def audit(
    judged: ScoredSets,
    tolerance: float = 0.05,
    outside_share: float = _DEFAULTS.outside_share,
    seed: int = 0,
    axes: Mapping[str, ScoredSets] | None = None,
) -> Audit:
    """Audit a synthetic set, on every axis; the leanings of all are corrected together.

    Parameters
    ----------
    judged
        As from `loop.score_beside_real`.
    tolerance
        How far any leaning's share may be from its real one in the next generation, 0 to 1.
    outside_share
        Leaning figures are withheld where more than this share of the articles cannot be read.
    seed
        Of resamples.
    axes
        The same sets by name of a further axis.

    Raises
    ------
    InputError
        If there are fewer than two articles on a side.
    """
    sizes = judged.real.height, judged.given.height
    if min(sizes) < 2:
        raise InputError(f"{sizes[0]} real and {sizes[1]} synthetic articles: at least 2 of each")
    every = [judged, *(axes or {}).values()]
    main, *further = _corrected([_audit(one, tolerance, outside_share, seed) for one in every])
    return replace(main, axes=dict(zip(axes or {}, further, strict=True)))


def _corrected(audits: Sequence[Audit]) -> list[Audit]:
    """Fill in Holm's p-values over all leanings of all."""
    joint = holm(np.concatenate([one.leans["pvalue"].to_numpy() for one in audits]))
    parts = np.split(joint, np.cumsum([one.leans.height for one in audits])[:-1])
    return [
        replace(one, leans=one.leans.with_columns(pl.Series("holm", part)))
        for one, part in zip(audits, parts, strict=True)
    ]


def _audit(judged: ScoredSets, tolerance: float, outside_share: float, seed: int) -> Audit:
    """Audit a synthetic set on one axis, its p-values uncorrected."""
    judged, copies, of_seen = _without_copies(judged)
    sizes = judged.real.height, judged.given.height
    audited = Audit(*sizes, copies, of_seen, tolerance)
    if min(sizes) < 2:
        side = "synthetic articles are not real ones again" if sizes[1] < 2 else "real articles"
        return replace(audited, withheld=f"fewer than 2 of the {side}, as far as it reads them")
    tables = _tables(judged, outside_share)
    found = outcomes(tables)
    checked = validity(tables).filter(pl.col("withheld"))
    names = {(REAL, 0, -1): "the real articles", (_SYNTHETIC, 0, 0): "the synthetic set"}
    withheld = "; ".join(
        f"{names[row['regime'], row['seed'], row['generation']]}: {row['reason']}"
        for row in checked.iter_rows(named=True)
    )

    def both(name: str) -> tuple[np.ndarray, np.ndarray]:
        pair = (found.row(name, (REAL, 0, -1)), found.row(name, (_SYNTHETIC, 0, 0)))
        return pair[0][~np.isnan(pair[0])], pair[1][~np.isnan(pair[1])]

    text = {
        name: difference
        for name in ("quality", "distinct_2")
        if name in found.values and (difference := mean_difference(*both(name)))
    }
    detectable = _SHOWN * 0.5 * float(np.sqrt(1 / sizes[0] + 1 / sizes[1]))
    warnings = [f"{card['metric']}: {w}" for card in judged.cards for w in card.get("warnings", ())]
    warnings += _shifted(tables)
    audited = replace(audited, text=text, detectable=detectable, warnings=tuple(warnings))
    if withheld:
        return replace(audited, withheld=withheld)
    hits = {label: both(f"share:{label}") for label in judged.labels}
    real, synthetic = (
        np.array([hits[label][side].sum() for label in judged.labels]) for side in (0, 1)
    )
    confusion = instrument_confusion(judged.cards, judged.labels)
    corrected = pl.DataFrame()
    refused = confusion.problem if confusion else "how the classifier errs was not measured"
    if refused:
        warnings.append(f"shares are not corrected for the classifier's errors: {refused}")
    elif confusion:
        corrected = prevalence(tables, found, confusion, 1000, seed, likelihood=False)
        readings = leaning_readings(tables, found, confusion, 2000, seed)
        sides = (found.keys.index(key) for key in ((_SYNTHETIC, 0, 0), (REAL, 0, -1)))
        counts = (readings.composition(row) for row in sides)
        random = generator(seed, "audit")
        needed = needed_table(*counts, readings.corrections, tolerance, random)
        audited = replace(audited, needed=needed)
    return replace(
        audited,
        leans=_leans(judged.labels, real, synthetic, corrected),
        distance=(
            float(total_variation(real / real.sum(), synthetic / synthetic.sum())),
            float(jensenshannon(real, synthetic, base=2)),
        ),
        refused=refused,
        warnings=tuple(warnings),
    )


def _without_copies(judged: ScoredSets) -> tuple[ScoredSets, int, int]:
    """Leave out the synthetic articles that are real ones; count them, and those of ``seen``."""
    texts = judged.given["body"].to_list()
    copies = copied(texts, judged.originals)
    if not copies.any():
        return judged, 0, 0
    of_seen = copied([texts[row] for row in np.flatnonzero(copies)], judged.seen)
    kept = judged.given.filter(pl.Series(~copies))
    scores, leanings, _ = judged.given_tables
    ids = kept["article_id"].to_list()
    tables = (
        scores.filter(pl.col("article_id").is_in(ids)),
        leanings.filter(pl.col("article_id").is_in(ids)),
        pl.DataFrame(schema=judged.given_tables[2].schema),  # of the whole set, copies and all
    )
    without = replace(judged, given=kept, given_tables=tables)
    return without, int(copies.sum()), int(of_seen.sum())


def _shifted(tables: Tables) -> list[str]:
    """Warn where the classifier is less sure, or less agreed with, than on the real articles."""
    words = {
        "confidence": "the classifier's mean confidence",
        "agreement": "the share of articles that a second classifier reads alike",
    }
    found = []
    for measure, (metric, tolerable) in SHIFT_MEASURES.items():
        own = tables.scores.filter(pl.col("metric") == metric)
        sides = [own.filter(pl.col("regime") == name)["value"] for name in (REAL, _SYNTHETIC)]
        moved = mean_difference(*(side.drop_nulls().to_numpy() for side in sides))
        if moved and moved.value < -tolerable and moved.high < 0:
            found.append(
                f"leaning: {words[measure]} is {-100 * moved.value:.1f} points lower on the "
                f"synthetic set (95 % {-100 * moved.high:.1f} to {-100 * moved.low:.1f}): its "
                "errors there may be others than those that were measured"
            )
    return found


def _tables(judged: ScoredSets, outside_share: float) -> Tables:
    """Put both sets into one; ids are told apart, since the sets are independent samples."""
    cards = [card for card in judged.cards if card["metric"] == "leaning"]
    sides = ((judged.real_tables, REAL, -1), (judged.given_tables, _SYNTHETIC, 0))
    schemas = (SCORES, LEANING_SCORES, SET_SCORES)
    frames = []
    for place, schema in enumerate(schemas):
        parts = []
        for tables, regime, generation in sides:
            frame = tables[place].with_columns(
                pl.lit(regime).alias("regime"),
                pl.lit(0, pl.Int64).alias("seed"),
                pl.lit(generation, pl.Int64).alias("generation"),
            )
            if "article_id" in schema:
                frame = frame.with_columns(pl.lit(f"{regime}:") + pl.col("article_id"))
            parts.append(conform(frame.with_columns(pl.col(list(CHAIN))), schema))
        frames.append(pl.concat(parts))
    return Tables(
        judged.labels,
        *frames,
        domain=cards[0].get("domain", {}) if cards else {},
        outside_share=outside_share,
        curve=damage_curve(judged.cards, judged.labels),
    )


def _leans(
    labels: tuple[str, ...], real: np.ndarray, synthetic: np.ndarray, corrected: pl.DataFrame
) -> pl.DataFrame:
    sizes = int(real.sum()), int(synthetic.sum())
    rows = []
    for place, label in enumerate(labels):
        difference = share_difference((int(real[place]), int(synthetic[place])), sizes)
        own: list[float | None] = [None] * 4
        if corrected.height:
            of_label = corrected.filter(pl.col("leaning") == label)
            before = of_label.filter(pl.col("regime") == REAL)["adjusted"]
            after = of_label.filter(pl.col("regime") == _SYNTHETIC)
            own = [before[0], *after.select("adjusted", "adjusted_low", "adjusted_high").row(0)]
        shares = real[place] / sizes[0], synthetic[place] / sizes[1]
        rows.append((label, *map(float, shares), *difference, None, *own))
    return pl.DataFrame(rows, schema=LEANS, orient="row")
