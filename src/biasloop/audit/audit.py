"""Hold a synthetic set against real articles: leaning, quality, and what would hold it."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
)
from biasloop.audit.copies import copied
from biasloop.audit.needed import NEEDED, needed_table
from biasloop.audit.unpaired import Difference, mean_difference, share_difference
from biasloop.config import ReportConfig
from biasloop.errors import InputError
from biasloop.loop import ScoredSets
from biasloop.seeds import generator
from biasloop.tables import CHAIN, LEANING_SCORES, REAL, SCORES, SET_SCORES, conform

#: One row per leaning: shares as read (0 to 1) in the real and in the synthetic set, the
#: difference with its 95 % interval, its p-value, that after Holm over leanings, and both shares
#: corrected for the classifier's errors (null where they cannot be).
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
    tolerance
        That it is for, 0 to 1.
    detectable
        The smallest difference of a share of one half that these sizes show with 80 % power; None
        where fewer than two synthetic articles are left.
    warnings
        What to know of the instruments first.
    """

    real: int
    synthetic: int
    copies: int
    of_seen: int
    leans: pl.DataFrame
    withheld: str
    distance: tuple[float, float] | None
    text: dict[str, Difference]
    needed: pl.DataFrame
    refused: str
    tolerance: float
    detectable: float | None
    warnings: tuple[str, ...]


def audit(
    judged: ScoredSets,
    tolerance: float = 0.05,
    outside_share: float = _DEFAULTS.outside_share,
    seed: int = 0,
) -> Audit:
    """Audit a synthetic set.

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

    Raises
    ------
    InputError
        If there are fewer than two articles on a side.
    """
    sizes = judged.real.height, judged.given.height
    if min(sizes) < 2:
        raise InputError(f"{sizes[0]} real and {sizes[1]} synthetic articles: at least 2 of each")
    judged, copies, of_seen = _without_copies(judged)
    sizes = judged.real.height, judged.given.height
    none = pl.DataFrame(schema=LEANS), pl.DataFrame(schema=NEEDED)
    if sizes[1] < 2:
        why = "fewer than 2 of the synthetic articles are not real ones again"
        counts = (*sizes, copies, of_seen)
        return Audit(*counts, none[0], why, None, {}, none[1], "", tolerance, None, ())
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
    if withheld:
        return Audit(
            *sizes,
            copies,
            of_seen,
            none[0],
            withheld,
            None,
            text,
            none[1],
            "",
            tolerance,
            detectable,
            tuple(warnings),
        )
    hits = {label: both(f"share:{label}") for label in judged.labels}
    real, synthetic = (
        np.array([hits[label][side].sum() for label in judged.labels]) for side in (0, 1)
    )
    confusion = instrument_confusion(judged.cards, judged.labels)
    corrected, needed = pl.DataFrame(), pl.DataFrame(schema=NEEDED)
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
    return Audit(
        *sizes,
        copies,
        of_seen,
        _leans(judged.labels, real, synthetic, corrected),
        "",
        (
            float(total_variation(real / real.sum(), synthetic / synthetic.sum())),
            float(jensenshannon(real, synthetic, base=2)),
        ),
        text,
        needed,
        refused,
        tolerance,
        detectable,
        tuple(warnings),
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
    table = pl.DataFrame(rows, schema=LEANS, orient="row")
    return table.with_columns(pl.Series("holm", holm(table["pvalue"].to_numpy())))
