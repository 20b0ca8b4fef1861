"""The rules that a pair of controls has to pass, fixed beforehand. Runs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from biasloop.analysis import Verdict

#: The regime in which amplification is planted.
PLANTED = "synthetic"
#: Those of which at least one has to hold it back.
MITIGATIONS = ("preservation", "accumulation")


@dataclass(frozen=True)
class Judged:
    """What a control's run says of itself.

    Attributes
    ----------
    verdicts
        By regime, of the planted leaning.
    comparisons
        `analysis.COMPARISONS`, against `PLANTED`.
    """

    verdicts: Mapping[str, Verdict]
    comparisons: pl.DataFrame


@dataclass(frozen=True)
class Check:
    """One rule: what is asked, whether it holds, and what was found."""

    asked: str
    passed: bool
    found: str


def judge(positive: Judged, negative: Judged, leaning: str) -> tuple[Check, ...]:
    """Hold what both controls say against what was planted.

    Parameters
    ----------
    positive
        The control in which ``leaning`` is made to grow.
    negative
        The control in which nothing is.
    leaning
        The planted leaning.
    """
    return (
        _amplified(positive, leaning),
        _readable(positive, negative),
        _quiet(negative),
        _held_back(positive, leaning),
    )


def _amplified(positive: Judged, leaning: str) -> Check:
    verdict = positive.verdicts.get(PLANTED)
    change = verdict.leaning_change if verdict else None
    return Check(
        f"positive control: {PLANTED} is called amplified, with {leaning} growing",
        bool(verdict and change and verdict.amplified == "yes" and change.value > 0),
        f"amplified: {verdict.amplified if verdict else 'no verdict'}"
        + (f", {leaning} {100 * change.value:+.1f} points" if change else ""),
    )


def _readable(positive: Judged, negative: Judged) -> Check:
    withheld = [
        f"{name} {regime}"
        for name, judged in (("positive", positive), ("negative", negative))
        for regime, verdict in judged.verdicts.items()
        if verdict.amplified == "withheld" or verdict.leaning_change is None
    ]
    return Check(
        "no leaning figure is withheld",
        not withheld,
        ", ".join(withheld) or "none",
    )


def _quiet(negative: Judged) -> Check:
    called = [regime for regime, v in negative.verdicts.items() if v.amplified == "yes"]
    return Check(
        "negative control: no regime is called amplified",
        not called and bool(negative.verdicts),
        ", ".join(called) or "none",
    )


def _held_back(positive: Judged, leaning: str) -> Check:
    rows = positive.comparisons.filter(
        (pl.col("quantity") == f"share:{leaning}")
        & (pl.col("against") == PLANTED)
        & pl.col("regime").is_in(MITIGATIONS)
    )
    holding = rows.filter(pl.col("high") < 0)["regime"].to_list()
    found = []
    for regime, *figures in rows.select("regime", "value", "low", "high").iter_rows():
        value, low, high = (None if figure is None else 100 * figure for figure in figures)
        interval = "" if low is None or high is None else f" ({low:.1f} to {high:.1f})"
        found.append(f"{regime} {value:+.1f} points{interval}")
    return Check(
        f"positive control: {' or '.join(MITIGATIONS)} moves less than {PLANTED}",
        bool(holding),
        "; ".join(found) or "not compared",
    )
