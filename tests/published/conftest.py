"""Made-up results in the authors' formats: other regimes, other labels."""

import csv

import numpy as np
import pytest

ARTICLES, GENERATIONS = 40, 4


def write(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([header, *rows])


class Folder:
    """A folder of made-up results; ``scores`` and ``values`` hold what was written."""

    def __init__(self, path, first=1, labels=("Red", "Blue", "Green")):
        self.path, self.first, self.labels = path, first, labels
        self.scores, self.values = {}, {}
        path.mkdir(exist_ok=True)

    def bias(self, regime, random, generations=GENERATIONS, articles=ARTICLES):
        drawn = random.dirichlet(np.ones(len(self.labels)), size=(generations, articles))
        self.scores[regime.lower()] = drawn.round(9)
        header = ["Generation", "Article_ID", *(f"{label}_Score" for label in self.labels)]
        rows = [
            [g + self.first, a + 1, *self.scores[regime.lower()][g, a]]
            for g in range(generations)
            for a in range(articles)
        ]
        write(self.path / f"{regime}_Bias_Performance.csv", header, rows)

    def metric(self, regime, random, kind="quality", counts=(ARTICLES,) * GENERATIONS):
        ending, column, low, high = {
            "quality": ("Generation_Quality", "GibberishLevel", 0, 3),
            "perplexity": ("Perplexity", "Perplexity", 1, 40),
        }[kind]
        drawn = [random.uniform(low, high, n).round(9) for n in counts]
        self.values[kind, regime.lower()] = drawn
        rows = [[g + self.first, v] for g, values in enumerate(drawn) for v in values]
        write(self.path / f"{regime}_{ending}.csv", ["Generation", column], rows)

    def base(self, random, name="tiny", articles=ARTICLES):
        self.scores["base"] = random.dirichlet(np.ones(len(self.labels)), size=articles).round(9)
        header = ["Model", "Article_ID", *(f"{label}_Score" for label in self.labels)]
        rows = [[name, a + 1, *self.scores["base"][a]] for a in range(articles)]
        write(self.path / f"{name}_Bias_Performance.csv", header, rows)

    def neurons(self, random, metric="Bias Performance", figure="p_value", layers=2, width=30):
        places = [(n, layer) for layer in range(1, layers + 1) for n in range(1, width + 1)]
        if figure == "p_value":
            header = ["neuron_id", "layer", "beta_coefficient", "p_value"]
            drawn = random.uniform(size=len(places)) ** 4
            rows = [[*place, 1.5, p] for place, p in zip(places, drawn, strict=True)]
            title = "Regression and Statistical Tests for Relationship"
        else:
            header = ["neuron_id", "layer", "pearson_correlation"]
            drawn = random.uniform(-1, 1, len(places))
            rows = [[*place, r] for place, r in zip(places, drawn, strict=True)]
            title = "Pearson Correlation"
        write(self.path / f"{title} Between Neuron Weight and {metric}.csv", header, rows)
        return drawn


@pytest.fixture
def random():
    return np.random.default_rng(7)


@pytest.fixture
def make_folder(tmp_path):
    return lambda name="released", **how: Folder(tmp_path / name, **how)


@pytest.fixture
def folder(make_folder):
    return make_folder()


@pytest.fixture
def whole(folder, random):
    """Two regimes with everything, a base model and both neuron tables."""
    for regime in ("Fresh", "Stale_Mix"):
        folder.bias(regime, random)
        folder.metric(regime, random)
        folder.metric(regime, random, "perplexity")
    folder.base(random)
    for metric in ("Bias Performance", "Generation Quality"):
        folder.neurons(random, metric)
        folder.neurons(random, metric, "pearson")
    return folder
