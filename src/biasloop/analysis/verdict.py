"""What each regime shows: did the bias move, did its chains collapse? Reads summaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from biasloop.analysis.collapse import Answer, Change, Sign, change_at, collapse_signs, collapsed
from biasloop.config import Config
from biasloop.errors import InputError, nearest
from biasloop.tables import BASE, REAL

#: A change of share whose whole interval is within this is called none.
NEGLIGIBLE_SHARE = 0.02


@dataclass(frozen=True)
class Verdict:
    """What one regime shows between its first and last generation.

    Attributes
    ----------
    regime, leaning
        The regime, and the leaning whose share is followed.
    last
        The last generation that every chain of the regime has reached.
    chains, articles
        How many seeds, and articles of one set, the figures rest on.
    leaning_change
        Change of the leaning's share (0 to 1); None when withheld or not measured.
    signs
        What each measure of collapse shows; see `collapse`.
    moved
        Did the share move? ``yes``: its interval excludes 0. ``no``: its whole interval is
        negligible.
    collapsed
        Did the chains collapse? ``yes`` where any sign says so, ``no`` where all say no.
    withheld, reason
        Whether and why the leaning figure is withheld; ``reason`` also says what was not measured.
    readable
        When withheld: the change up to the last generation that can be read, where there is one.
    """

    regime: str
    leaning: str
    last: int
    chains: int
    articles: int
    leaning_change: Change | None
    signs: tuple[Sign, ...]
    moved: Answer
    collapsed: Answer
    withheld: bool
    reason: str
    readable: Change | None = None

    @property
    def amplified(self) -> Answer:
        """Did the leaning grow? As ``moved``, but a share that is shown to have fallen is no."""
        if self.moved == "yes" and self.leaning_change and self.leaning_change.value < 0:
            return "no"
        return self.moved


def followed_leaning(config: Config, labels: Sequence[str]) -> str:
    """Choose the leaning that verdicts and the first figure follow.

    Returns
    -------
    str
        ``config.report.leaning``; else the label most present in the pre-training mix of a model
        from scratch; else the last of the label set.

    Raises
    ------
    InputError
        If ``config.report.leaning`` is not in the label set, or that set is empty.
    """
    if not labels:
        raise InputError("the label set is empty: there is no leaning to report on")
    wanted = config.report.leaning
    if wanted is not None:
        if wanted not in labels:
            raise InputError(
                f"report.leaning: '{wanted}' is not in the label set; {nearest(wanted, labels)}"
            )
        return wanted
    mix = config.base.scratch.pretraining.mix if config.base.model == "scratch" else {}
    known = {label: share for label, share in mix.items() if label in labels}
    if known and len(set(known.values())) > 1:
        return max(known, key=lambda label: known[label])
    return labels[-1]


def verdicts(
    summary: pl.DataFrame,
    leaning: str,
    regimes: Sequence[str] | None = None,
    negligible_share: float = NEGLIGIBLE_SHARE,
) -> tuple[Verdict, ...]:
    """Judge every regime.

    Parameters
    ----------
    summary
        What `summarise` returned.
    leaning
        The leaning whose share is followed.
    regimes
        Which, in this order; None takes all, sorted.
    negligible_share
        A change of share whose whole interval is within this is called none.

    Returns
    -------
    tuple
        One verdict per regime that has any figure.
    """
    pooled = summary.filter(pl.col("seed").is_null())
    found = set(pooled["regime"].unique()) - {REAL, BASE}
    order = sorted(found) if regimes is None else [name for name in regimes if name in found]
    return tuple(
        _verdict(
            pooled.filter(pl.col("regime") == regime),
            regime,
            leaning,
            negligible_share,
        )
        for regime in order
    )


def _verdict(
    rows: pl.DataFrame,
    regime: str,
    leaning: str,
    negligible_share: float,
) -> Verdict:
    share, quality = _of(rows, f"share:{leaning}"), _of(rows, "quality")
    moves = _of(rows, f"change:{leaning}")
    level = share if share.height else quality
    chains = _largest(level["chains"])
    complete = level.filter((pl.col("chains") == chains) & (pl.col("generation") >= 0))
    last = _largest(complete["generation"])
    withheld, reason = _standing(share, moves, last)
    leaning_change = change_at(rows, f"share:{leaning}", f"change:{leaning}", last)
    signs = collapse_signs(rows, last)
    readable = moves.filter(~pl.col("withheld") & (pl.col("chains") == chains))["generation"]
    return Verdict(
        regime=regime,
        leaning=leaning,
        last=last,
        chains=chains,
        articles=_largest(complete["n"]) // max(chains, 1),
        leaning_change=leaning_change,
        signs=signs,
        moved="withheld" if withheld else moved_answer(leaning_change, negligible_share),
        collapsed=collapsed(signs),
        withheld=withheld,
        reason=reason,
        readable=change_at(rows, f"share:{leaning}", f"change:{leaning}", _largest(readable))
        if withheld
        else None,
    )


def _standing(share: pl.DataFrame, moves: pl.DataFrame, last: int) -> tuple[bool, str]:
    """Say whether the leaning figure is withheld, and what keeps it from being given."""
    if not share.height:
        return False, "leaning was not scored"
    rows = (share if last == 0 else moves).filter(pl.col("generation") == last)
    held = rows.filter(pl.col("withheld"))["reason"].to_list()
    reasons = list(held)
    if last == 0:
        reasons.append("only Generation 0: there is no later generation to compare it with")
    elif not rows.height:
        reasons.append("Generation 0 was not scored, so there is nothing to compare with")
    return bool(held), "; ".join(reasons)


def _largest(column: pl.Series) -> int:
    return max((int(value) for value in column.to_list() if value is not None), default=0)


def _of(rows: pl.DataFrame, quantity: str) -> pl.DataFrame:
    return rows.filter(pl.col("quantity") == quantity).sort("generation")


def moved_answer(change: Change | None, negligible: float) -> Answer:
    """Say whether a change is shown, shown to be negligible, or neither."""
    if change is None:
        return "not measured"
    if change.low is None or change.high is None:
        return "not shown"
    if change.low > 0 or change.high < 0:
        return "yes"
    return "no" if -negligible <= change.low and change.high <= negligible else "not shown"
