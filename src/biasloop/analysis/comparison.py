"""Did one regime change less than another? Paired by article and seed. Judges no single regime.

Fine-tuning on real articles alone is such a regime, and its change is subtracted from the others':
`comparable` says of which chains that can be done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from biasloop.analysis.contrasts import GENERATION_0, inferred, keys_of
from biasloop.analysis.outcomes import Outcomes
from biasloop.analysis.paired import Inference, holm

#: ``value`` is the change from Generation 0 to ``generation`` in ``regime`` less that in
#: ``against``: of the share (0 to 1), or of quality (0 to 3); its interval is null where every
#: article changed by the same. ``holm`` corrects for every row of the table.
COMPARISONS = pl.Schema(
    {
        "quantity": pl.String,
        "regime": pl.String,
        "against": pl.String,
        "generation": pl.Int64,
        "value": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "pvalue": pl.Float64,
        "holm": pl.Float64,
        "articles": pl.Int64,
        "chains": pl.Int64,
    }
)


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
    if not seeds or len(own) < len(seeds) or len(other) < len(seeds):
        return None
    return inferred(
        found,
        quantity,
        [[*one, *two] for one, two in zip(own, other, strict=True)],
        lambda means: means[..., 0] - means[..., 1] - means[..., 2] + means[..., 3],
    )


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


def reached(found: Outcomes, regime: str, quantity: str) -> dict[int, set[int]]:
    """List the seeds whose chain has a score, by generation."""
    result: dict[int, set[int]] = {}
    there = found.scored(quantity)
    for row, (name, seed, generation) in enumerate(found.keys):
        if name == regime and generation >= 0 and there[row].any():
            result.setdefault(generation, set()).add(seed)
    return result
