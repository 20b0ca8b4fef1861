"""Does the interval of the least dose hold what it says? Planted dose-response curves, no models.

    python benchmarks/dose.py [SIMULATIONS=1000]   # an hour on one core
    python benchmarks/dose.py --looks [SIMULATIONS=1000]   # stopping early against one look

Every run has sources of articles of one chance each of being read as "b", and chains; at dose d
that chance is higher by f(d), plus what the source and the chain add of their own. docs/dose.md
has the figures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np

from biasloop.analysis import Change, LeastDose, Outcomes, least_dose, level_of_look, looks_at
from biasloop.analysis.changes import change, estimate_of

DOSES = (0.0, 0.05, 0.1, 0.2, 0.5)
MARGIN = 0.05
#: Curve -> f(d), and the least dose that holds; infinite where none does.
CURVES: dict[str, tuple[Callable[[float], float], float]] = {
    "exponential": (lambda d: 0.2 * np.exp(-d / 0.1), 0.1 * float(np.log(4))),
    "just beyond the margin at 0.1": (lambda d: 0.0501 if d <= 0.1 else 0.0, np.nextafter(0.1, 1)),
    "just within the margin from 0.1": (lambda d: 0.15 if d < 0.1 else 0.0499, 0.1),
    "beyond at every dose": (lambda d: 0.06, np.inf),
    "nothing moves": (lambda d: 0.0, 0.0),
}


def simulated(
    curve: Callable[[float], float],
    random: np.random.Generator,
    sources: int = 150,
    per_source: int = 20,
    seeds: int = 5,
    apart: float = 0.01,
) -> Outcomes:
    """Draw one run: `sources` of `per_source` articles, chains ``apart`` by that much."""
    articles = sources * per_source
    source = np.repeat(np.arange(sources), per_source)
    chance = 0.4 + np.clip(random.normal(0, 0.05, sources), -0.1, 0.1)[source]
    pull = np.clip(random.normal(0, 0.04, sources), -0.08, 0.08)[source]
    keys, rows = [], []
    for seed in range(seeds):
        before = random.random(articles) < chance
        own = random.normal(0, apart * 0.7)
        for dose in DOSES:
            moved = curve(dose) + pull + own + random.normal(0, apart * 0.7)
            after = random.random(articles) < np.clip(chance + moved, 0, 1)
            for generation, reading in enumerate((before, after)):
                keys.append((f"{dose:g}", seed, generation))
                rows.append(reading.astype(float))
    return Outcomes(tuple(keys), {"share:b": np.array(rows)}, ("a", "b"), {"share:b": source})


def change_at(
    found: Outcomes, dose: float, chains: Sequence[int] | None = None, level: float = 0.95
) -> dict[str, Change]:
    """Estimate a dose's change, as a verdict does; of two leanings one says all."""
    moved = change(found, "share:b", f"{dose:g}", 1, chains=chains)
    assert moved is not None
    levels = (float("nan"), float("nan"))  # not looked at
    return {"b": Change(0, 1, *levels, *estimate_of(moved, "share:b", level))}


def looked_at(found: Outcomes, seeds: int, looks: int) -> tuple[LeastDose, float]:
    """Look as `biasloop dose --looks` does; also say how many chains a dose had on average."""
    clear: dict[float, int] = {}
    for batch in looks_at(range(seeds), looks):
        chains = {dose: range(clear.get(dose, len(batch))) for dose in DOSES}
        changes = [change_at(found, d, own, level_of_look(looks)) for d, own in chains.items()]
        least = least_dose(DOSES, changes, "b", MARGIN)
        for dose, held in zip(DOSES, least.held, strict=True):
            if held in ("held", "beyond"):
                clear.setdefault(dose, len(batch))
        if len(clear) == len(DOSES):
            break
    return least, float(np.mean([len(own) for own in chains.values()]))


def coverage(
    name: str, simulations: int, seed: int, looks: int = 1, seeds: int = 5, **design: float
) -> dict[str, float]:
    """Count how often the interval holds the least dose, and what is wrong with it where not.

    Returns
    -------
    dict
        Shares of simulations: ``covers``; ``false held`` (a dose below the least one is told to
        be enough), ``false beyond``; ``bounded`` (both ends are told). And ``chains`` per dose.
    """
    curve, truth = CURVES[name]
    random = np.random.default_rng(seed)
    each = [
        looked_at(simulated(curve, random, seeds=seeds, **design), seeds, looks)
        for _ in range(simulations)
    ]
    found = [least for least, _ in each]
    held = np.array([one.high is not None and one.high < truth for one in found])
    beyond = np.array([one.low is not None and one.low >= truth for one in found])
    return {
        "covers": float((~held & ~beyond).mean()),
        "false held": float(held.mean()),
        "false beyond": float(beyond.mean()),
        "bounded": float(np.mean([one.bounded for one in found])),
        "chains": float(np.mean([chains for _, chains in each])),
    }


#: Chains, how far apart (standard deviation), and looks.
FIXED = ((3, 0.01, 1), (5, 0.01, 1), (12, 0.02, 1))
EARLY = tuple((*chains, looks) for chains in ((9, 0.01), (9, 0.03), (12, 0.02)) for looks in (1, 3))

if __name__ == "__main__":
    given = [one for one in sys.argv[1:] if one != "--looks"]
    runs = int(given[0]) if given else 1000
    for name in CURVES:
        for seeds, apart, looks in EARLY if "--looks" in sys.argv else FIXED:
            figures = coverage(name, runs, 1, looks, seeds, apart=apart)
            chains = figures.pop("chains")
            shown = ", ".join(f"{what} {100 * value:.1f} %" for what, value in figures.items())
            print(
                f"{name}, {seeds} seeds {100 * apart:g} points apart, looks {looks}: {shown}, "
                f"{chains:.1f} chains",
                flush=True,
            )
