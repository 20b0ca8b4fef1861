"""Do intervals from a few labels and every reading cover the true share, and the true change?

Run: python benchmarks/labelling.py [--simulations N] [--json FILE]. Of each of ARTICLES prompts
Generation 0 and the last generation wrote an article; of two leanings the first has 50 % in
Generation 0 and 62 % in the last, and articles of one prompt mostly lean alike. The classifier
reads Generation 0 with sensitivity 0.85 and specificity 0.80, the last generation with 0.60 and
0.90: it reads a fall where there is a rise. *Labels* articles of either generation, of the same
prompts, are coded, by chance, without error. Cases that differ: *unpaired* codes other prompts in
either generation; *nothing moved* has 50 % twice; *reads well* a classifier of 0.95 and 0.93, then
0.92 and 0.96; *25 sources* articles whose leanings and readings hang together by source; *rare*
shares of 6 and 10 %.

An interval hits where it holds the true share of the last generation, or the true change. Compared:
the classifier alone (every reading, taken for the truth), labels alone (the coded articles), and
prediction-powered inference, all by `biasloop.coding` and so with one jackknife; and ppi-python's
own interval. Takes some two minutes on one core.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats

from biasloop.coding.prediction_powered import CodedSet, ShareEstimates, estimates

ARTICLES = 500
SOURCES = 25
LABELS = (25, 50, 100, 200)
#: Sensitivity and specificity in Generation 0 and in the last one.
DRIFTING = ((0.85, 0.80), (0.60, 0.90))
GOOD = ((0.95, 0.93), (0.92, 0.96))
#: Standard deviations, in the normal scale of a probit: of prompts, and of sources.
PROMPT, SOURCE = 1.0, 0.5
#: Of how many repetitions arrays are made at once.
AT_ONCE = 100

#: Truth, reading and what was coded, each of shape (repetitions, articles).
Made = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Case:
    """What is simulated."""

    ends: tuple[float, float] = (0.50, 0.62)
    rates: tuple[tuple[float, float], ...] = DRIFTING
    clustered: bool = False
    paired: bool = True


CASES = {
    "paired": Case(),
    "unpaired": Case(paired=False),
    "nothing moved": Case(ends=(0.50, 0.50)),
    "reads well": Case(rates=GOOD),
    "25 sources": Case(clustered=True),
    "rare": Case(ends=(0.06, 0.10)),
}


def simulate(
    case: Case, labels: int, repetitions: int, random: np.random.Generator
) -> tuple[np.ndarray, list[Made]]:
    """Draw runs: the articles' clusters, and what there is of either generation."""
    shape = (repetitions, ARTICLES)
    source = np.arange(ARTICLES) % SOURCES
    of_sources = SOURCE * case.clustered

    def by_source() -> np.ndarray:
        return of_sources * random.normal(size=(repetitions, SOURCES))[:, source]

    def coded() -> np.ndarray:
        return random.random(shape).argsort(axis=1).argsort(axis=1) < labels

    leans = PROMPT * random.normal(size=shape) + by_source()
    hard = by_source()
    same = coded()
    made = []
    for share, (sensitivity, specificity) in zip(case.ends, case.rates, strict=True):
        spread = np.sqrt(1 + PROMPT**2 + of_sources**2)
        truth = leans + random.normal(size=shape) < spread * stats.norm.ppf(share)
        wanted = stats.norm.ppf(np.where(truth, sensitivity, specificity))
        right = random.normal(size=shape) + hard < np.sqrt(1 + of_sources**2) * wanted
        made.append((truth, np.where(right, truth, ~truth), same if case.paired else coded()))
    return source if case.clustered else np.arange(ARTICLES), made


def both(first: np.ndarray) -> np.ndarray:
    """From one leaning to both, shape (..., articles, 2)."""
    return np.stack([first, 1 - first], axis=-1)


def figures(
    clusters: np.ndarray, made: list[Made]
) -> dict[str, tuple[ShareEstimates, ShareEstimates]]:
    """Share of the last generation and change, by each way."""
    found = {}
    for name in ("classifier alone", "labels alone", "prediction-powered"):
        sets = []
        for truth, read, coded in made:
            own = read.astype(float)
            said = np.where(coded, truth, np.nan)
            if name == "classifier alone":
                said = own
            if name == "labels alone":
                own = np.zeros_like(own)
            sets.append(CodedSet(clusters, both(own), both(said)))
        found[name] = (estimates(sets[1]), estimates(*sets))
    return found


def own_interval(made: Made) -> tuple[np.ndarray, np.ndarray]:
    """Give ppi-python's interval of a share."""
    with warnings.catch_warnings():  # its import silences every warning
        from ppi_py import ppi_mean_ci
    truth, read, coded = (values.astype(float) for values in made)
    ends = [
        ppi_mean_ci(said[there], own[there], own[~there], alpha=0.05)
        for said, own, there in zip(truth, read, coded > 0, strict=True)
    ]
    low, high = np.array(ends).reshape(-1, 2).T
    return low, high


def rows(simulations: int, seed: int = 0) -> list[dict[str, object]]:
    """Simulate every case and number of labels: coverage and mean width of each interval."""
    found = []
    for (name, case), labels in itertools.product(CASES.items(), LABELS):
        random = np.random.default_rng([seed, labels, *name.encode()])
        hits: dict[str, list[np.ndarray]] = {}

        def note(figure: str, low: np.ndarray, high: np.ndarray, true: float) -> None:
            hit = np.stack([(low <= true) & (true <= high), high - low])
            hits.setdefault(figure, []).append(hit)  # noqa: B023 - called in this turn only

        for _ in range(simulations // AT_ONCE):
            clusters, made = simulate(case, labels, AT_ONCE, random)
            last, moved = case.ends[1], case.ends[1] - case.ends[0]
            for way, (share, change_of) in figures(clusters, made).items():
                note(f"share, {way}", *(end[..., 0] for end in share.intervals()), last)
                note(f"change, {way}", *(end[..., 0] for end in change_of.intervals()), moved)
            note("share, ppi-python's own", *own_interval(made[1]), last)
        for figure, parts in hits.items():
            covered, width = np.concatenate(parts, axis=1).mean(axis=1)
            found.append(
                {
                    "case": name,
                    "labels": labels,
                    "figure": figure,
                    "coverage": float(covered),
                    "width": float(width),
                }
            )
    return found


def show(found: list[dict[str, object]], console: Console) -> None:
    for kind in ("share", "change"):
        names = list(dict.fromkeys(r["figure"] for r in found if r["figure"].startswith(kind)))
        table = Table(title=f"{kind}: coverage in % (mean width in points)")
        table.add_column("case")
        table.add_column("labels")
        for name in names:
            table.add_column(name.split(", ", 1)[1])
        for case in CASES:
            for labels in LABELS:
                cells = [
                    f"{100 * r['coverage']:.1f} ({100 * r['width']:.0f})"
                    for name in names
                    for r in found
                    if (r["case"], r["labels"], r["figure"]) == (case, labels, name)
                ]
                table.add_row(case, str(labels), *cells)
        console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--json", type=Path, default=None)
    chosen = parser.parse_args()
    begun = time.perf_counter()
    found = rows(chosen.simulations)
    show(found, Console(width=130))
    print(f"{time.perf_counter() - begun:.0f} s", file=sys.stderr)
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
