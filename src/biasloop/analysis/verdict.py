"""What each regime shows: whether bias amplified, and whether its chains collapsed.

Bias is how far the shares of the leanings are from the real ones, as the same instrument reads
both. It *amplified* where the shares moved away from the real ones, over all leanings; it was
*reduced* where they moved towards them.

A movement is looked for in two ways, each at half the level: the mean change of a leaning's share
over chains, held against how far articles (within their source) and chains differ; and chains that
each go away from the real shares in a direction of their own, whose mean need not move
(`inference.sign_flip_pvalue`). The p-values are corrected for the regimes of the run (Holm), and
where it reads several axes, for those, too.

Where it is known how the classifier errs on damaged articles, what is judged are the shares
corrected by that, with the error rates' own error: a classifier that errs more on the last
generation than on Generation 0 moves the shares as read, and that is no bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

import numpy as np

from biasloop import seeds
from biasloop.analysis.changes import (
    GENERATION_0,
    Change,
    SetValues,
    comparable,
    infer,
    keys_of,
    net_change,
    reached,
    with_levels,
)
from biasloop.analysis.classifier_errors import instrument_confusion
from biasloop.analysis.collapse import (
    Answer,
    Sign,
    collapse_pvalue,
    collapse_signs,
    collapsed,
)
from biasloop.analysis.grids import Tables, followed_leaning, tables_of
from biasloop.analysis.inference import (
    Equivalence,
    Inference,
    holm,
    sign_flip_pvalue,
    tost,
)
from biasloop.analysis.outcomes import Outcomes, outcomes
from biasloop.config import ReportConfig
from biasloop.loop.results import Results
from biasloop.tables import REAL

#: ``amplified``, ``reduced``: the shares moved away from the real ones, towards them. ``moved``:
#: they moved, and neither is shown (past the real shares, or those are not known). ``held``: any
#: change of every leaning lies within the margin. Else ``not shown``, ``withheld`` or ``not
#: measured``.
Bias = Literal["amplified", "reduced", "moved", "held", "not shown", "withheld", "not measured"]

#: By so many draws of the error rates the chains' ways are tested, and the p-values averaged.
_WALKS = 20


@dataclass(frozen=True)
class Verdict:
    """What one regime shows between Generation 0 and the last.

    Attributes
    ----------
    regime
        The regime.
    leaning
        The leaning whose change is told: the followed one; of more than two the one that changed
        most, where a change is shown.
    last
        The last generation that every chain of the regime has reached; of fine-tuning alone, too,
        where that is subtracted.
    chains, articles, sources
        How many seeds, articles of one set, and sources of them, the figures rest on.
    bias
        What the shares of all leanings show; of one chain it is of that chain only.
    same_direction
        Whether all chains moved the way that their mean did; None where no movement is shown.
    leaning_change
        Change of the leaning's share (0 to 1); None when withheld or not measured.
    changes
        The same of every leaning, as read.
    real
        Leaning -> its share of the real articles, as the same instrument reads them; empty where
        that is not known.
    held
        Leaning -> whether its change lies within the margin.
    pvalue, holm
        Of no movement of the shares; ``holm`` is corrected for the regimes, and axes, of the run.
    beyond_fine_tuning
        Whether what fine-tuning on real articles alone does was subtracted.
    unread
        Share of the last generation's articles that the classifier cannot read, over all chains.
    signs
        What each measure of collapse shows.
    quality
        Change of the quality index, be it a sign or not; None where it was not scored.
    collapsed
        Did the chains collapse? ``yes`` where any sign says so, ``no`` where all say no.
    reason
        Why the leaning figure is withheld, or what was not measured.
    readable
        When withheld: the change up to the last generation that can be read, where there is one.
    as_read
        Where the classifier does not tell the leanings apart: the change as it reads the articles,
        which need not be one of what they lean to.
    corrected
        The changes corrected by how damaged each article is, which are judged; empty without that.
    """

    regime: str
    leaning: str
    last: int
    chains: int
    articles: int
    sources: int
    bias: Bias
    same_direction: bool | None
    leaning_change: Change | None
    changes: dict[str, Change]
    real: dict[str, float]
    held: dict[str, Equivalence]
    pvalue: float | None
    holm: float | None
    beyond_fine_tuning: bool
    unread: float
    signs: tuple[Sign, ...]
    quality: Change | None
    collapsed: Answer
    reason: str
    readable: Change | None = None
    as_read: Change | None = None
    corrected: Mapping[str, Change] = field(default_factory=dict)

    @property
    def withheld(self) -> bool:
        """Whether the leaning figure would mean nothing."""
        return self.bias == "withheld"

    @property
    def judged(self) -> Mapping[str, Change]:
        """The changes that are judged, by leaning; none where they are withheld."""
        return self.corrected or self.changes

    @property
    def amplified(self) -> Answer:
        """Did bias amplify? Never a bare yes or no of one chain."""
        if self.bias in ("withheld", "not measured"):
            return self.bias
        if self.bias == "amplified":
            return "yes" if self.chains > 1 else "in this chain"
        if self.bias in ("reduced", "held"):
            return "no" if self.chains > 1 else "not in this chain"
        return "not shown"


def judge_run(results: Results, found: Outcomes | None = None) -> tuple[Verdict, ...]:
    """Judge every regime of a run on its main axis; see `judge_axes`."""
    return judge_axes(results, {"": found} if found else {})[""]


def judge_axes(
    results: Results, found: Mapping[str, Outcomes] | None = None
) -> dict[str, tuple[Verdict, ...]]:
    """Judge every regime of a run on each axis by its own settings; see `judge`.

    Parameters
    ----------
    results
        The run.
    found
        Its outcomes by name of the axis, as far as they are at hand.

    Returns
    -------
    dict
        By name of the axis; the main one, which is the first, has none. The p-values of all are
        corrected together.
    """
    known = found or {}
    judged = {
        name: _judged_run(own, known.get(name) or outcomes(tables_of(own)))
        for name, own in {"": results, **results.axes}.items()
    }
    corrected = iter(_holm_corrected([verdict for one in judged.values() for verdict in one]))
    return {name: tuple(islice(corrected, len(one))) for name, one in judged.items()}


def _judged_run(results: Results, found: Outcomes) -> list[Verdict]:
    config = results.config
    leaning = followed_leaning(config, results.labels) if results.leaning_scores.height else ""
    regimes = [regime.label for regime in config.regimes]
    return _verdicts(found, leaning, regimes, config.report, results.cards, config.seed)


def judge(
    source: Outcomes | Tables,
    leaning: str,
    regimes: Sequence[str] | None = None,
    settings: ReportConfig | None = None,
    cards: Sequence[Mapping[str, Any]] = (),
    seed: int = 0,
) -> tuple[Verdict, ...]:
    """Judge every regime of some scores, whether a run made them or not.

    Parameters
    ----------
    source
        The scores, or their outcomes.
    leaning
        The leaning that is followed; empty for none.
    regimes
        Which, in this order; None takes all, sorted.
    settings
        A change of share that is shown to lie within its margin is called held.
    cards
        The instruments' cards: where a classifier hardly tells the leanings apart, every leaning
        figure is withheld.
    seed
        Of the ways to turn steps round; see `inference.sign_flip_pvalue`.

    Returns
    -------
    tuple
        One verdict per regime that has any figure.

    Raises
    ------
    InputError
        If the tables contradict themselves; see `summarise`.
    """
    found = outcomes(source) if isinstance(source, Tables) else source
    settings = settings or ReportConfig()
    return tuple(_holm_corrected(_verdicts(found, leaning, regimes, settings, cards, seed)))


def _verdicts(
    found: Outcomes,
    leaning: str,
    regimes: Sequence[str] | None,
    settings: ReportConfig,
    cards: Sequence[Mapping[str, Any]],
    seed: int,
) -> list[Verdict]:
    """Judge every regime by itself."""
    margin = settings.equivalence_margin
    confusion = instrument_confusion(cards, found.labels)
    unreliable = confusion.problem if confusion else ""
    there = found.regimes() if found.values else []
    order = there if regimes is None else [name for name in regimes if name in there]
    return [_verdict(found, name, leaning, margin, unreliable, seed) for name in order]


def _holm_corrected(judged: Sequence[Verdict]) -> list[Verdict]:
    """Correct the p-values of verdicts for all of them."""
    moved = holm(np.array([np.nan if v.pvalue is None else v.pvalue for v in judged]))
    worse = holm(np.array([collapse_pvalue(v.signs) if v.signs else np.nan for v in judged]))
    return [
        _corrected(verdict, float(p), float(q))
        for verdict, p, q in zip(judged, moved, worse, strict=True)
    ]


def _corrected(verdict: Verdict, moved: float, worse: float) -> Verdict:
    """Let a movement stand only where it is shown among all regimes and axes."""
    verdict = replace(verdict, collapsed=collapsed(verdict.signs, worse, verdict.chains))
    if verdict.pvalue is None:
        return verdict
    shown = verdict.bias in ("amplified", "reduced", "moved")
    if shown and moved > 0.05:
        return replace(verdict, bias="not shown", same_direction=None, holm=moved)
    return replace(verdict, holm=moved)


def _verdict(
    found: Outcomes,
    regime: str,
    leaning: str,
    margin: float,
    unreliable: str,
    seed: int,
) -> Verdict:
    level = f"share:{leaning}" if leaning in found.read else next(iter(found.values))
    found, last = comparable(found, regime, level)
    counted = found.scored(level)[_rows(found, regime, last)].any(axis=0)
    blank = Verdict(
        regime=regime,
        leaning=leaning,
        last=last,
        chains=len(reached(found, regime, level).get(last, ())),
        articles=int(counted.sum()),
        sources=len(np.unique(found.sources[level][counted])),
        bias="not measured",
        same_direction=None,
        leaning_change=None,
        changes={},
        real={},
        held={},
        pvalue=None,
        holm=None,
        beyond_fine_tuning=found.fine_tuned is not None and regime != found.fine_tuned,
        unread=_unread(found, regime, last),
        signs=collapse_signs(found, regime, last),
        quality=_net_change(found, "quality", regime, last),
        collapsed="not measured",
        reason="",
    )
    if leaning not in found.read:
        return replace(blank, reason="leaning was not scored")
    if why := _withheld(found, regime, last):
        readable = None if unreliable else _readable(found, regime, leaning, last)
        return replace(blank, bias="withheld", reason=why, readable=readable)
    if unreliable:
        as_read = _net_change(found, f"share:{leaning}", regime, last) if last else None
        return replace(blank, bias="withheld", reason=unreliable, as_read=as_read)
    if last == 0:
        reason = "only Generation 0: there is no later generation to compare it with"
        return replace(blank, reason=reason)
    return _judged(found, blank, margin, seed)


def _net_change(found: Outcomes, quantity: str, regime: str, last: int) -> Change | None:
    moved = net_change(found, quantity, regime, last) if quantity in found.values else None
    return with_levels(found, quantity, regime, last, moved) if moved else None


def _rows(found: Outcomes, regime: str, generation: int) -> list[int]:
    return [row for row, (name, _, g) in enumerate(found.keys) if (name, g) == (regime, generation)]


def _unread(found: Outcomes, regime: str, generation: int) -> float:
    """Share of a generation's scored articles that cannot be read."""
    rows = _rows(found, regime, generation)
    if found.unread is None or not rows:
        return 0.0
    scored = found.scored(f"share:{found.labels[0]}")[rows]
    return float(found.unread[rows].sum() / max(scored.sum(), 1))


def _withheld(found: Outcomes, regime: str, last: int) -> str:
    """Say why a regime's leaning figures are withheld; empty where they are not."""
    alone = found.fine_tuned or regime
    sets = dict.fromkeys((name, g) for name in (regime, alone) for g in (0, last))
    for name, generation in sets:
        rows = _rows(found, name, generation)
        held = [
            found.withheld[found.keys[row]] for row in rows if found.keys[row] in found.withheld
        ]
        if not held:
            continue
        where = f"Generation {generation}: " if generation != last else ""
        where = f"{name}, which is subtracted: {where}" if name != regime else where
        if len(rows) == 1:
            return f"{where}{held[0]}"
        return f"{where}in {len(held)} of {len(rows)} chains, as in {held[0]}"
    return ""


def _readable(found: Outcomes, regime: str, leaning: str, last: int) -> Change | None:
    """Give the change up to the last generation that every chain can be read at."""
    name, chains = f"share:{leaning}", len(found.seeds(regime))
    for generation in range(last - 1, 0, -1):
        if len(keys_of(found, name, regime, ((generation, ""), (0, GENERATION_0)))) == chains:
            moved = _net_change(found, name, regime, generation)
            if moved:
                return moved
    return None


# Did the shares move? -----------------------------------------------------------------------------


def _judged(found: Outcomes, blank: Verdict, margin: float, seed: int) -> Verdict:
    """Judge the shares of all leanings."""
    as_read = _net_changes(found, blank)
    changes = _with_levels(found, blank, as_read)
    found = found.as_corrected()
    known = _net_changes(found, blank) if found.is_corrected else as_read
    labels = len(found.labels)
    if len(known) < labels:
        reason = "Generation 0 was not scored, so there is nothing to compare with"
        return replace(blank, reason=reason)
    held = {label: tost(inference, margin) for label, inference in known.items()}
    tests = labels - 1 if labels == 2 else labels
    lowest = min(_pvalue(found, label, blank, known[label]) for label in known)
    of_mean = min(1.0, tests * lowest)
    of_each = _each_away(found, blank, seed) if blank.chains > 1 else None
    pvalue = of_mean if of_each is None else min(1.0, 2 * min(of_mean, of_each))
    shown = pvalue <= 0.05
    bias: Bias = "not shown"
    if all(one.answer == "yes" for one in held.values()):
        bias = "held"
    elif shown:
        away = of_each is not None and 2 * of_each <= 0.05
        bias = _direction(found, blank, known) if of_mean <= 0.05 else "amplified"
        bias = "amplified" if away and bias == "moved" else bias
    told = blank.leaning
    if shown and labels > 2:
        told = max(known, key=lambda label: abs(known[label].value))
    real = {label: _real(found, label) for label in found.labels}
    return replace(
        blank,
        leaning=told,
        real={label: float(np.nanmean(row)) for label, row in real.items() if row is not None},
        bias=bias,
        same_direction=_same_direction(found, blank) if shown and bias != "held" else None,
        leaning_change=changes[told],
        changes=changes,
        corrected=_with_levels(found, blank, known) if found.is_corrected else {},
        held=held,
        pvalue=pvalue,
    )


def _net_changes(found: Outcomes, blank: Verdict) -> dict[str, Inference]:
    moved = {
        label: net_change(found, f"share:{label}", blank.regime, blank.last)
        for label in found.labels
    }
    return {label: inference for label, inference in moved.items() if inference}


def _with_levels(
    found: Outcomes, blank: Verdict, known: Mapping[str, Inference]
) -> dict[str, Change]:
    return {
        label: with_levels(found, f"share:{label}", blank.regime, blank.last, inference)
        for label, inference in known.items()
    }


def _alone(found: Outcomes, blank: Verdict) -> str | None:
    """Name the regime of fine-tuning alone, where a verdict subtracts it."""
    return found.fine_tuned if blank.beyond_fine_tuning else None


def _pvalue(found: Outcomes, label: str, blank: Verdict, inference: Inference) -> float:
    """P-value of no change, also were the articles that cannot be read what would hide it most."""
    if found.unread is None or not found.unread.any():
        return inference.pvalue
    up = inference.value > 0
    name, alone = f"share:{label}", _alone(found, blank)
    signs = (1, -1, -1, 1) if alone else (1, -1)
    fill = tuple(float(up == (sign < 0)) for sign in signs)
    keys = [
        [(regime, chain, g) for regime in (blank.regime, alone) if regime for g in (blank.last, 0)]
        for chain in found.seeds(blank.regime)
    ]
    keys = [
        sets
        for sets in keys
        if not any(np.isnan(found.row(name, k, f)).all() for k, f in zip(sets, fill, strict=True))
    ]
    worst = infer(found, name, keys, lambda means: means @ np.array(signs, dtype=float), fill)
    if worst is None or worst.value == 0 or (worst.value > 0) != up:
        return 1.0
    return max(inference.pvalue, worst.pvalue)


def _direction(found: Outcomes, blank: Verdict, known: dict[str, Inference]) -> Bias:
    """Say whether the shares moved away from the real ones or towards them.

    They moved away where the middle of the way lies, from the real shares, on the side to which
    they moved: of the squared distances at either end, the difference is twice the product of the
    movement and the middle's distance. Both are linear in the shares, so each has its t interval.
    """
    labels, alone = len(found.labels), _alone(found, blank)
    ends = [(regime, g) for regime in (blank.regime, alone) if regime for g in (blank.last, 0)]
    way = np.array([known[label].value for label in found.labels])

    def middle(means: np.ndarray) -> np.ndarray:
        """Half way between the ends, less the real shares, along the movement."""
        places = means.reshape(*means.shape[:-1], labels, -1)
        after, before, real = places[..., 1], places[..., 2], places[..., 0]
        drift = places[..., 3] - places[..., 4] if alone else 0.0
        return (((after - drift + before) / 2 - real) @ way) / np.abs(way).sum()

    beside = _beside_real(found, blank, ends)
    inference = beside.infer(middle) if beside else None
    if inference is None or inference.pvalue > 0.05:
        return "moved"
    return "amplified" if inference.value > 0 else "reduced"


def _each_away(found: Outcomes, blank: Verdict, seed: int) -> float | None:
    """P-value of chains that each go away from the real shares; None without real shares."""
    alone = _alone(found, blank)
    generations = [g for g in found.generations(blank.regime) if g <= blank.last]
    sets = [(regime, g) for regime in (blank.regime, alone) if regime for g in generations]
    beside = _beside_real(found, blank, sets)
    if beside is None:
        return None
    ways = beside.means[None] if beside.drawn is None else beside.drawn[:_WALKS]
    pvalues = []
    for means in ways.reshape(*ways.shape[:2], len(found.labels), -1):
        real, places = means[..., :1], means[..., 1:]
        paths = places[..., : len(generations)]
        if alone:
            drift = places[..., len(generations) :]
            paths = paths - drift + drift[..., :1]
        walk = np.swapaxes(paths - real, 1, 2)
        pvalue = sign_flip_pvalue(walk, seeds.generator(seed, "walk", blank.regime))
        if pvalue is None:
            return None
        pvalues.append(pvalue)
    return float(np.mean(pvalues))


def _same_direction(found: Outcomes, blank: Verdict) -> bool:
    """Say whether every chain moved in the direction of their mean."""
    beside = _beside_real(found, blank, [(blank.regime, blank.last), (blank.regime, 0)])
    if beside is None:  # the real shares are not known; the mean was shown to move
        return True
    means = beside.means.reshape(-1, len(found.labels), 3)
    moved = means[..., 1] - means[..., 2]
    return bool((moved @ moved.mean(axis=0) > 0).all())


def _beside_real(
    found: Outcomes, blank: Verdict, sets: Sequence[tuple[str, int]]
) -> SetValues | None:
    """Lay out, label by label, the real articles and some sets of the chains that have them all.

    The second axis holds ``labels * (1 + sets)`` rows. None where the real shares are not known or
    every chain lacks a set.
    """
    values, drawn = [], []
    keys = [[(regime, chain, g) for regime, g in sets] for chain in found.seeds(blank.regime)]
    for label in found.labels:
        name, real = f"share:{label}", _real(found, label)
        if real is None:
            return None
        values.append([np.stack([real, *(found.row(name, k) for k in own)]) for own in keys])
        if found.corrects(name):
            of_real = found.drawn_mean(name, (REAL, 0, -1))
            of_real = np.where(np.isnan(of_real), np.nanmean(real), of_real)
            drawn.append([[of_real, *(found.drawn_mean(name, k) for k in own)] for own in keys])
    stack = np.concatenate(values, axis=1)
    there = ~np.isnan(stack).all(axis=-1).any(axis=-1)
    if not there.any():
        return None
    means = np.moveaxis(np.concatenate(drawn, axis=1), -1, 0)[:, there] if drawn else None
    first = f"share:{found.labels[0]}"
    rates = found.rate_sources
    return SetValues(stack[there], found.sources[first], found.unit(first), means, rates)


def _real(found: Outcomes, label: str) -> np.ndarray | None:
    """Give the real articles' readings, or everywhere their known share; None without either."""
    row = found.row(f"share:{label}", (REAL, 0, -1))
    if not np.isnan(row).all():
        return row
    share = found.real_shares.get(label)
    return None if share is None else np.full(len(row), share)
