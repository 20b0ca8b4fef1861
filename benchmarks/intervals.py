"""Do the intervals cover and the tests keep their level? On score tables whose truth is known.

    python benchmarks/intervals.py [--simulations 1000] [--json intervals.json]

Every row is a share of simulations: of intervals that hold the truth (95 % is wanted), or of
tests that see a change where there is none (5 % is wanted). Tests of a level of 5 % are run ten
times as often, since at 1,000 chance alone moves it by up to 1.4 points. Takes some 20 minutes on
one core.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from biasloop.analysis import (
    Design,
    Inference,
    Outcomes,
    Tables,
    Verdict,
    article_weights,
    articles_needed,
    articles_to_hold,
    judge,
    outcomes,
    paired_mean,
    percentile_interval,
    power,
    prevalence,
)
from biasloop.analysis.bootstrap import joined_interval, weighted_means
from biasloop.analysis.classifier_errors import Confusion
from biasloop.analysis.collapse import collapse_signs
from biasloop.analysis.inference import tost
from biasloop.analysis.trends import linear_trend, mann_kendall, paired_kendall
from biasloop.metrics.diversity import bleus, self_bleu
from biasloop.metrics.embedding import mauve_values, vendi_values
from biasloop.metrics.evaluation import design_effect
from biasloop.metrics.quantification import saerens_shares
from biasloop.tables import LEANING_SCORES, REAL, SCORES, SET_SCORES

LABELS = ("left", "center", "right")
#: P(read | is) of a classifier with macro-F1 0.77.
RATES = np.array([[0.80, 0.12, 0.08], [0.10, 0.75, 0.15], [0.07, 0.15, 0.78]])
BEFORE = np.array([0.25, 0.40, 0.35])
AFTER = np.array([0.20, 0.35, 0.45])
DRIFT = AFTER[2] - BEFORE[2]


def pairs(
    random: np.random.Generator, articles: int, kept: float, shares: tuple[np.ndarray, ...]
) -> np.ndarray:
    """True labels, shape (generations, articles); an article keeps its place with chance kept."""
    place = random.random(articles)
    rows = []
    for share in shares:
        moved = random.random(articles) >= kept
        place = np.where(moved, random.random(articles), place)
        rows.append(np.searchsorted(np.cumsum(share), place).clip(0, len(share) - 1))
    return np.stack(rows)


def read(random: np.random.Generator, truth: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """What the classifier makes of true labels."""
    level = random.random(truth.shape)[..., None]
    return (level > np.cumsum(rates, axis=1)[truth]).sum(axis=-1).clip(0, len(rates) - 1)


def score_tables(seen: np.ndarray) -> Tables:
    """Put readings into a run's tables: one regime, one seed, a generation a row."""
    generations, articles = seen.shape
    probability = np.where(np.arange(3) == seen[..., None], 0.9, 0.05)
    size = generations * articles * 3
    frame = pl.DataFrame(
        {
            "regime": ["synthetic"] * size,
            "seed": np.zeros(size, dtype=np.int64),
            "generation": np.repeat(np.arange(generations), articles * 3),
            "article_id": np.tile(
                np.repeat([f"a{i:05d}" for i in range(articles)], 3), generations
            ),
            "leaning": np.tile(LABELS, generations * articles),
            "probability": probability.reshape(-1),
        },
        schema=LEANING_SCORES,
    )
    return Tables(LABELS, pl.DataFrame(schema=SCORES), frame, pl.DataFrame(schema=SET_SCORES))


def coverage(simulations: int, seed: int = 1, articles: int = 400, each: int = 150) -> dict:
    """Share of intervals that hold the true share, and the true change, corrected or not."""
    random = np.random.default_rng(seed)
    hits = {"adjusted share": 0, "adjusted change": 0, "share as read": 0, "change as read": 0}
    for number in range(simulations):
        seen = read(random, pairs(random, articles, 0.5, (BEFORE, AFTER)), RATES)
        counts = np.stack([random.multinomial(each, row) for row in RATES])
        tables = score_tables(seen)
        rows = prevalence(
            tables, outcomes(tables), Confusion(counts, "articles"), 1000, number, likelihood=False
        )
        row = rows.filter((pl.col("generation") == 1) & (pl.col("leaning") == "right")).row(
            0, named=True
        )
        moved = paired_mean((seen[1] == 2).astype(float) - (seen[0] == 2))
        low, high = moved.interval()
        hits["adjusted share"] += row["adjusted_low"] <= AFTER[2] <= row["adjusted_high"]
        hits["adjusted change"] += row["change_low"] <= DRIFT <= row["change_high"]
        hits["share as read"] += row["read_low"] <= AFTER[2] <= row["read_high"]
        hits["change as read"] += low <= DRIFT <= high
    return {name: count / simulations for name, count in hits.items()}


def drifting(random: np.random.Generator, kind: str, articles: int, generations: int) -> np.ndarray:
    """Values without a drift in the mean, shape (generations, articles)."""
    if kind == "binary, 80 % kept":
        shares = (BEFORE,) * generations
        return (pairs(random, articles, 0.8, shares) == 2).astype(float)
    noise = random.normal(size=(generations, articles))
    if kind == "random walk of each article":
        return noise.cumsum(axis=0)
    return 3 * random.normal(size=articles) + noise  # intra-article correlation 0.9


KINDS = ("article effect 0.9", "binary, 80 % kept", "random walk of each article")


def false_trends(simulations: int, seed: int = 2, articles: int = 72, generations: int = 6) -> dict:
    """Share of trend tests at 5 % that see one where there is none."""
    from scipy import stats

    random = np.random.default_rng(seed)
    when = np.arange(generations)
    result = {}
    for kind in KINDS:
        seen = dict.fromkeys(("linear trend", "paired Kendall", "Mann-Kendall", "naive"), 0)
        for _ in range(simulations):
            values = drifting(random, kind, articles, generations)
            slope, kendall = linear_trend(values, when), paired_kendall(values)
            naive = stats.linregress(np.repeat(when, articles), values.reshape(-1))
            seen["linear trend"] += slope.pvalue < 0.05
            seen["paired Kendall"] += kendall.pvalue < 0.05
            seen["Mann-Kendall"] += mann_kendall(values.mean(axis=1)).pvalue < 0.05
            seen["naive"] += naive.pvalue < 0.05
        result |= {f"{name} ({kind})": count / simulations for name, count in seen.items()}
    return result


def edges(simulations: int, seed: int = 3, articles: int = 60) -> dict:
    """Coverage of a change of share near the edge, by our interval and by the percentile one."""
    random = np.random.default_rng(seed)
    after = np.array([0.005, 0.045, 0.95])
    before = np.array([0.005, 0.015, 0.98])
    truth = after[2] - before[2]
    hits = {"one more that rose, one that fell": 0, "percentile bootstrap": 0}
    for _ in range(simulations):
        first, last = pairs(random, articles, 0.5, (before, after)) == 2
        moved = last.astype(float) - first
        low, high = paired_mean(moved, shares=True).interval()
        hits["one more that rose, one that fell"] += low <= truth <= high
        draws = article_weights(np.arange(articles), 1000, random) @ moved / articles
        low, high = np.quantile(draws, (0.025, 0.975))
        hits["percentile bootstrap"] += low <= truth <= high
    return {f"{name} (share 98 to 95 %, n 60)": count / simulations for name, count in hits.items()}


def over_seeds(simulations: int, seed: int = 7, articles: int = 600, resamples: int = 300) -> dict:
    """Coverage of a change's interval where chains differ, and of a bootstrap of seeds instead.

    Each chain's true change is one of a normal distribution around 10 points; articles keep their
    place within a chain by half.
    """
    random = np.random.default_rng(seed)
    result = {}
    for chains, between in ((2, 0.05), (3, 0.05), (5, 0.05), (3, 0.0)):
        hits = {"joined": 0, "seeds resampled": 0}
        for _ in range(simulations):
            place = random.random(articles)
            changes = np.empty((chains, articles))
            for row, top in enumerate(0.45 + between * random.normal(size=chains)):
                moved = np.where(random.random(articles) < 0.5, place, random.random(articles))
                changes[row] = (moved < top).astype(float) - (place < 0.35)
            draws = weighted_means(changes, article_weights(np.arange(articles), resamples, random))
            ends = percentile_interval(draws.mean(axis=1, keepdims=True))
            low, high = joined_interval(changes.mean(axis=1), ends[0][0], ends[1][0], articles)
            hits["joined"] += low <= 0.1 <= high
            drawn = article_weights(np.arange(chains), resamples, random)
            ends = percentile_interval((draws * drawn).sum(axis=1, keepdims=True) / chains)
            hits["seeds resampled"] += ends[0][0] <= 0.1 <= ends[1][0]
        where = f"{chains} seeds, {100 * between:g} points apart"
        result |= {f"{name} ({where})": count / simulations for name, count in hits.items()}
    return result


def few_chains(
    simulations: int, seed: int = 13, tail: float = 0.025, sources: int = 100, common: float = 0.5
) -> dict:
    """Errors and power of rules for the t of a variance of two parts, of which chains give one.

    Per rule: how often the truth lies beyond one given end of an interval, and how often a change
    of 3 true standard errors is shown. Mean squares of a balanced crossed design: of the articles'
    part ``common`` is the same in every chain; the ratio is of the variance that chains add to it.
    """
    from scipy import special

    random = np.random.default_rng(seed)
    rest, size = 1 - common, sources - 1
    result = {}
    for chains in (2, 3, 4, 5):
        ours, theirs = (-special.stdtrit(freedom, tail) for freedom in (size, chains - 1))
        for ratio in (0.0, 0.25, 1.0, 4.0, 16.0):
            own = random.chisquare(size, simulations) / size
            between = (ratio + rest) * random.chisquare(chains - 1, simulations) / (chains - 1)
            total, true = own + between, np.sqrt(1 + ratio)
            joined = total**2 / (own**2 / size + between**2 / (chains - 1))
            rules = {
                "Satterthwaite": -special.stdtrit(joined, tail),
                "Cochran and Cox": (own * ours + between * theirs) / total,
                "chains - 1": np.full(simulations, theirs),
            }
            value = true * random.normal(size=simulations)
            for rule, critical in rules.items():
                half = critical * np.sqrt(total)
                where = f"{rule} ({chains} chains, ratio {ratio:g}"
                result[f"{where}): beyond one end"] = np.mean(np.abs(value) > half) / 2
                result[f"{where}): shown"] = np.mean(value + 3 * true > half)
    return result


def false_equivalence(simulations: int, seed: int = 4, articles: int = 200) -> dict:
    """Share of equivalence tests that call a change of just the margin held."""
    random = np.random.default_rng(seed)
    result = {}
    for margin, wide in ((0.1, "1.4"), (0.5, "7")):
        held = 0
        for _ in range(simulations):
            found = paired_mean(margin + random.normal(size=articles))
            assert isinstance(found, Inference)
            held += tost(found, margin).answer == "yes"
        result[f"TOST at the margin, {wide} standard errors"] = held / simulations
    return result


def powers(simulations: int, seed: int = 5) -> dict:
    """Power by the closed form and by simulation, at the number of articles it asks for."""
    random = np.random.default_rng(seed)
    result = {}
    for share, change, kept in ((0.35, 0.1, 0.5), (0.5, 0.05, 0.7)):
        # Places kept: the labels' correlation is kept times that of thresholds of one place.
        top = share + change
        correlation = kept * (share - share * top) / np.sqrt(share * (1 - share) * top * (1 - top))
        design = Design(share, correlation)
        articles = articles_needed(design, change)
        before, after = np.array([1 - share, share]), np.array([1 - top, top])
        shown = 0
        for _ in range(simulations):
            first, last = pairs(random, articles, kept, (before, after)) == 1
            shown += paired_mean(last.astype(float) - first).pvalue < 0.05
        name = f"{100 * change:g} points from {100 * share:g} %, {articles} articles"
        result[f"power, {name}: closed form"] = power(design, change, articles)
        result[f"power, {name}: simulated"] = shown / simulations
    for accuracy in (1.0, 0.84, 0.75):
        design = Design(0.5, youden=2 * accuracy - 1)
        sizes = {"as read": articles_needed(Design(0.5), 0.1), "": articles_needed(design, 0.1)}
        for plan, articles in sizes.items():
            shown = 0
            for _ in range(simulations):
                true = random.random((2, articles)) < np.array([[0.5], [0.6]])
                seen = np.where(random.random((2, articles)) < accuracy, true, ~true).astype(float)
                shown += paired_mean(seen[1] - seen[0]).pvalue < 0.05
            name = f"true 10 points at accuracy {accuracy:g}, {articles} articles"
            result[f"power, {name}{plan and f' ({plan})'}"] = shown / simulations
        held, articles = 0, articles_to_hold(design, 0.05)
        for _ in range(simulations):
            true = random.random((2, articles)) < 0.5
            seen = np.where(random.random((2, articles)) < accuracy, true, ~true).astype(float)
            found = paired_mean((seen[1] - seen[0]) / design.youden)
            held += tost(found, 0.05).answer == "yes"
        result[f"held within 5 at accuracy {accuracy:g}, {articles} articles"] = held / simulations
    return result


def written(random: np.random.Generator, kind: str, articles: int) -> list[list[str]]:
    """Articles that share frequent words, whole sentences, or a loop in one of five."""
    often = 1 / np.arange(1, 301)
    often /= often.sum()
    if kind == "sentences shared":
        known = np.random.default_rng(9).choice(300, (150, 8), p=often)
        sizes = random.integers(5, 9, articles)
        return [known[random.integers(0, 150, size)].ravel().astype(str).tolist() for size in sizes]
    texts = [
        random.choice(300, size, p=often).astype(str).tolist()
        for size in random.integers(60, 120, articles)
    ]
    looped = random.random(articles) < (0.2 if kind == "loops in one of five" else 0)
    return [
        ["i'm", "here", "tonight"] * (len(text) // 3) if loops else text
        for text, loops in zip(texts, looped, strict=True)
    ]


def self_bleus(simulations: int, seed: int = 8, articles: int = 30) -> dict:
    """Coverage of self-BLEU's t interval: of articles' own BLEUs, and of the jackknife's values.

    The truth is the expectation for sets of that size: the mean over the simulations.
    """
    random = np.random.default_rng(seed)
    result = {}
    for kind in ("words shared", "loops in one of five", "sentences shared"):
        found = []
        for _ in range(simulations):
            texts = written(random, kind, articles)
            own = paired_mean(np.diagonal(bleus(texts)))
            jackknife = paired_mean(np.array(self_bleu(texts)))
            found.append((own.value, *own.interval(), *jackknife.interval()))
        values = np.array(found).T
        truth = values[0].mean()
        for row, name in ((1, "articles' own"), (3, "jackknife")):
            held = (values[row] <= truth) & (truth <= values[row + 1])
            result[f"self-BLEU, {name} ({kind})"] = held.mean()
    return result


def embeddings(simulations: int, seed: int = 12, articles: int = 60, mauve: bool = True) -> dict:
    """Coverage of the t intervals of the Vendi score and of MAUVE, by their jackknife's values.

    Vectors around twelve centres, whose shares differ from the real ones; the real articles are
    the same throughout. The truth is the mean over the simulations, as of self-BLEU.
    """
    random = np.random.default_rng(seed)
    centres, shares = random.normal(size=(12, 40)), random.dirichlet(np.ones(12))

    def vectors(shares: np.ndarray) -> np.ndarray:
        rows = centres[random.choice(12, articles, p=shares)]
        rows = rows + 0.7 * random.normal(size=rows.shape)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    real, found = vectors(np.full(12, 1 / 12)), []
    for _ in range(simulations):
        own = vectors(shares)
        both = np.concatenate([real, own])
        values = [vendi_values(own @ own.T)]
        values += [mauve_values(both @ both.T, articles, range(5))] if mauve else []
        found.append([(mean.value, *mean.interval()) for mean in map(paired_mean, values)])
    value, low, high = np.array(found).transpose(2, 0, 1)
    truth = value.mean(axis=0)
    held = ((low <= truth) & (truth <= high)).mean(axis=0)
    return dict(zip(("Vendi score", "MAUVE"), held.tolist(), strict=False))


def likelihood_error(simulations: int, seed: int = 6, articles: int = 400) -> dict:
    """Mean error of the share by EM from calibrated probabilities, and of the share as read."""
    random = np.random.default_rng(seed)
    errors = []
    for _ in range(simulations):
        truth = pairs(random, articles, 0.0, (AFTER,))[0]
        # Gaussian classes with means one apart: the posterior under even priors is known.
        point = truth + 0.6 * random.normal(size=articles)
        likelihood = np.exp(-((point[:, None] - np.arange(3)) ** 2) / (2 * 0.36))
        probability = likelihood / likelihood.sum(axis=1, keepdims=True)
        by_likelihood = saerens_shares(probability, np.full(3, 1 / 3))[2]
        errors.append((by_likelihood - AFTER[2], (probability.argmax(1) == 2).mean() - AFTER[2]))
    mean = np.mean(errors, axis=0)
    return {"mean error of the share by EM": mean[0], "mean error of the share as read": mean[1]}


def made_outcomes(
    real: np.ndarray, regimes: dict[str, np.ndarray], labels: tuple[str, ...]
) -> Outcomes:
    """Make outcomes of label indices: (articles,), and (chains, generations, articles)."""
    keys, rows = [(REAL, 0, -1)], [real]
    for regime, chains in regimes.items():
        for number, chain in enumerate(chains):
            keys += [(regime, number, g) for g in range(len(chain))]
            rows += list(chain)
    grid = np.stack(rows)
    read = {label: (grid == index).astype(float) for index, label in enumerate(labels)}
    values = {f"share:{label}": hit for label, hit in read.items()}
    sources = dict.fromkeys(values, np.arange(grid.shape[1]))
    return Outcomes(tuple(keys), values, labels, sources, read=read)


def wandering(
    random: np.random.Generator, chains: int, step: float, articles: int, generations: int = 5
) -> np.ndarray:
    """Chains whose true share of the second label walks from a half without a direction."""
    share = np.full(chains, 0.5)
    place = random.random(articles)
    result = []
    for _ in range(generations + 1):
        moved = random.random((chains, articles)) < 0.5
        own = np.where(moved, random.random((chains, articles)), place)
        result.append((own < share[:, None]).astype(int))
        share = np.clip(share + step * random.normal(size=chains), 0.02, 0.98)
    return np.stack(result, axis=1)


def judged(
    random: np.random.Generator, chains: int, step: float, articles: int, regimes: int, seed: int
) -> tuple[Verdict, ...]:
    """Verdicts on regimes that wander, beside real articles of even shares."""
    real = (random.random(articles) < 0.5).astype(int)
    names = [f"regime {number}" for number in range(regimes)]
    given = {name: wandering(random, chains, step, articles) for name in names}
    return judge(made_outcomes(real, given, ("left", "right")), "right", names, seed=seed)


def false_verdicts(simulations: int, seed: int = 8) -> dict:
    """Share of runs with a headline yes though no regime has a direction."""
    random = np.random.default_rng(seed)
    result = {}
    for articles, steps in ((500, (0.0, 0.02, 0.05, 0.08)), (72, (0.05,))):
        for step in steps:
            for chains in (1, 2, 3, 5):
                found = [
                    judged(random, chains, step, articles, 1, n)[0] for n in range(simulations)
                ]
                where = f"{chains} seeds, {100 * step:g} points a step, {articles} articles"
                result[f"yes ({where})"] = np.mean([v.amplified == "yes" for v in found])
    for chains in (3, 5):
        found = [judged(random, chains, 0.02, 200, 4, n) for n in range(simulations)]
        any_yes = [any(v.amplified == "yes" for v in four) for four in found]
        result[f"any yes of four regimes ({chains} seeds, 2 points a step)"] = np.mean(any_yes)
    return result


def within_sources(
    random: np.random.Generator, sources: np.ndarray, icc: float, shape: tuple[int, ...] = ()
) -> np.ndarray:
    """Uniform numbers that hang together within a source by a normal latent correlation."""
    from scipy import stats

    own = random.normal(size=(*shape, len(sources)))
    common = random.normal(size=(*shape, int(sources.max()) + 1))[..., sources]
    return stats.norm.cdf(np.sqrt(icc) * common + np.sqrt(1 - icc) * own)


def clustered(simulations: int, seed: int = 9) -> dict:
    """Coverage where articles of one source hang together, as sources and as articles."""
    random = np.random.default_rng(seed)
    result = {}
    outlets = np.repeat(np.arange(24), 25)
    ids = [f"a{i:05d}" for i in range(len(outlets))]
    for icc in (0.0, 0.1, 0.3):
        hits = {"sources": 0, "articles": 0}
        for number in range(simulations):

            def read_by(truth: np.ndarray, icc: float = icc) -> np.ndarray:
                level = within_sources(random, outlets, icc)
                return (level[:, None] > np.cumsum(RATES, axis=1)[truth]).sum(axis=1).clip(0, 2)

            known = random.permutation(np.repeat(np.arange(3), 200))
            predicted = read_by(known)
            counts = np.zeros((3, 3))
            np.add.at(counts, (known, predicted), 1)
            names = outlets.astype(str)
            effects = [design_effect(predicted[known == k], names[known == k]) for k in range(3)]
            seen = read_by(random.choice(3, size=len(outlets), p=AFTER))
            plain = score_tables(seen[None])
            by_source = replace(plain, sources=dict(zip(ids, names, strict=True)))
            for name, tables, own in (
                ("sources", by_source, effects), ("articles", plain, None)
            ):  # fmt: skip
                confusion = Confusion(counts, "sources", "", own)
                rows = prevalence(
                    tables, outcomes(tables), confusion, 500, number, likelihood=False
                )
                row = rows.filter(pl.col("leaning") == "right").row(0, named=True)
                hits[name] += row["adjusted_low"] <= AFTER[2] <= row["adjusted_high"]
        for name, count in hits.items():
            result[f"corrected share by {name} (24 outlets, ICC {icc:g})"] = count / simulations
    few = np.sort(np.arange(500) % 12)
    for icc in (0.0, 0.05, 0.15):
        hits = {"sources": 0, "articles": 0}
        for _ in range(10 * simulations):
            before, after = within_sources(random, few, icc, (2,)) < np.array([[0.4], [0.5]])
            moved = after.astype(float) - before
            for name, codes in (("sources", few), ("articles", None)):
                low, high = paired_mean(moved, codes, shares=True).interval()
                hits[name] += low <= 0.1 <= high
        for name, count in hits.items():
            where = f"500 articles in 12 sources, ICC {icc:g}"
            result[f"paired change by {name} ({where})"] = count / (10 * simulations)
    return result


def distances(simulations: int, seed: int = 10) -> dict:
    """Coverage of the distance from the real shares, and of the bootstrap that it replaced."""
    random = np.random.default_rng(seed)
    result = {}
    for away in (0.0, 0.1):
        shares = np.array([0.4 - away, 0.3, 0.3 + away])
        for articles in (72, 200, 500):
            hits = {"debiased": 0, "percentile bootstrap": 0}
            for _ in range(simulations):
                real = random.choice(3, size=articles, p=(0.4, 0.3, 0.3))
                own = random.choice(3, size=articles, p=shares)
                found = made_outcomes(real, {"s": own[None, None]}, LABELS)
                low, high = distance_of(found)
                hits["debiased"] += low <= away <= high
                weights = article_weights(np.arange(articles), 300, random) / articles
                drawn = np.abs(weights @ (np.eye(3)[own] - np.eye(3)[real])).sum(axis=1) / 2
                low, high = np.quantile(drawn, (0.025, 0.975))
                hits["percentile bootstrap"] += low <= away <= high
            for name, count in hits.items():
                where = f"{100 * away:g} points, {articles} articles"
                result[f"{name} ({where})"] = count / simulations
    return result


def distance_of(found: Outcomes) -> tuple[float, float]:
    """Interval of the distance of the only set."""
    from biasloop.analysis.summary import distance_estimate

    (estimate,) = distance_estimate(found)
    return float(estimate.edges[0, 1]), float(estimate.edges[1, 1])


def false_collapse(simulations: int, seed: int = 11, articles: int = 100) -> dict:
    """Share of "yes" at a true fall of quality of exactly what is negligible."""
    random = np.random.default_rng(seed)
    result = {}
    for chains, between in ((1, 0.0), (3, 0.02)):
        yes = 0
        for _ in range(simulations):
            level = random.normal(2, 0.4, articles)
            fall = 0.05 + between * random.normal(size=(chains, 1))
            later = level - fall + random.normal(0, 0.15, (chains, articles))
            keys = tuple(("s", c, g) for c in range(chains) for g in (0, 1))
            rows = np.stack([row for own in later for row in (level, own)])
            found = Outcomes(keys, {"quality": rows}, (), {"quality": np.arange(articles)})
            (sign,) = collapse_signs(found, "s", 1)
            yes += sign.answer == "yes"
        result[f"yes ({chains} seeds)"] = yes / simulations
    return result


def run(simulations: int) -> dict[str, dict[str, float]]:
    """Everything; name of the question -> name of the row -> share of simulations."""
    parts = {
        "coverage of 95 % intervals, true drift 10 points": coverage(simulations),
        "false alarms at 5 %, no drift, ten times as many": false_trends(10 * simulations),
        "coverage near the edge": edges(simulations),
        "coverage over several seeds": over_seeds(simulations),
        "t of few chains, 100 times as many": few_chains(100 * simulations),
        "a yes where no regime has a direction": false_verdicts(simulations),
        "coverage where sources hang together": clustered(max(simulations // 2, 20)),
        "coverage of the distance from the real shares": distances(simulations),
        "collapse at exactly what is negligible, ten times as many": false_collapse(
            10 * simulations
        ),
        "false equivalence at 5 %, ten times as many": false_equivalence(10 * simulations),
        "coverage of self-BLEU, 30 articles, half as many": self_bleus(max(simulations // 2, 20)),
        "coverage by embeddings, 60 articles, half as many": embeddings(max(simulations // 2, 20)),
        "power, 80 % asked for": powers(simulations),
        "bias of the estimate (a share, not a rate)": likelihood_error(max(simulations // 5, 20)),
    }
    return {part: {n: round(float(v), 4) for n, v in rows.items()} for part, rows in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    start = time.perf_counter()
    found = run(given.simulations)
    for part, rows in found.items():
        print(f"\n{part} ({given.simulations} simulations)")
        for name, value in rows.items():
            print(f"  {name:<62}{value:8.4f}")
    print(f"\n{time.perf_counter() - start:.0f} s", file=sys.stderr)
    if given.json:
        given.json.write_text(json.dumps({"simulations": given.simulations, **found}, indent=1))


if __name__ == "__main__":
    main()
