"""Articles to read: the real prompt beside what every generation made of it.

The text is untrusted: it is cut and its control characters made visible here, and escaped by the
page's template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from biasloop import seeds
from biasloop.loop.results import Results
from biasloop.report import words
from biasloop.tables import BASE

#: Longer texts are cut for showing.
SHOWN_CHARACTERS = 2_500


@dataclass(frozen=True)
class Text:
    """One text: what is shown, how many characters are not, and what the instruments say."""

    name: str
    body: str
    left_out: int
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Example:
    """A real article, and the texts that were generated from it, by regime."""

    title: str
    label: str
    source: str
    real: Text
    written: tuple[tuple[str, tuple[Text, ...]], ...]


def examples(results: Results, checked: pl.DataFrame) -> tuple[Example, ...]:
    """Choose ``config.report.examples`` articles, by seed and spread over the labels.

    Parameters
    ----------
    results
        The run; of several seeds the first is shown.
    checked
        What `analysis.validity` made of it: no leaning is shown of a set whose leaning figures
        are withheld, nor of an article too damaged to read.
    """
    ids = _choose(results)
    seed = results.config.loop.seeds[0]
    shown = results.articles.filter(
        pl.col("article_id").is_in(ids) & ((pl.col("seed") == seed) | (pl.col("regime") == BASE))
    )
    texts = {
        (row["article_id"], row["regime"], row["generation"]): row["body"]
        for row in shown.iter_rows(named=True)
    }
    remarks = _Remarks(results, checked, ids, seed)
    real = {row["article_id"]: row for row in results.real.iter_rows(named=True)}
    regimes = [BASE, *(regime.label for regime in results.config.regimes)]
    return tuple(
        Example(
            words.visible(real[article]["title"] or ""),
            words.visible(real[article]["label"]),
            words.visible(real[article]["source"] or ""),
            _text("real article", real[article]["body"]),
            _written(article, regimes, texts, remarks),
        )
        for article in ids
    )


def _choose(results: Results) -> list[str]:
    """Take turns through the labels, in a random order of their articles."""
    piles = []
    for label in results.labels:
        own = results.real.filter(pl.col("label") == label)["article_id"].sort().to_list()
        order = seeds.generator(results.config.seed, "examples", label).permutation(len(own))
        piles.append([own[index] for index in order])
    turns = [pile[turn] for turn in range(max(map(len, piles), default=0))
             for pile in piles if turn < len(pile)]  # fmt: skip
    return turns[: results.config.report.examples]


def _written(
    article: str,
    regimes: Sequence[str],
    texts: Mapping[tuple[str, str, int], str],
    remarks: _Remarks,
) -> tuple[tuple[str, tuple[Text, ...]], ...]:
    found = []
    for regime in regimes:
        generations = sorted(g for a, r, g in texts if a == article and r == regime)
        own = tuple(
            _text(
                "untouched" if regime == BASE else f"Generation {generation}",
                texts[(article, regime, generation)],
                remarks.of(article, regime, generation),
            )
            for generation in generations
        )
        if own:
            found.append(("base model" if regime == BASE else words.name(regime), own))
    return tuple(found)


def _text(name: str, body: str | None, remarks: tuple[str, ...] = ()) -> Text:
    shown, left_out = words.cut(body or "", SHOWN_CHARACTERS)
    return Text(name, shown, left_out, remarks)


class _Remarks:
    """What the instruments say of single articles."""

    def __init__(
        self, results: Results, checked: pl.DataFrame, ids: Sequence[str], seed: int
    ) -> None:
        ours = pl.col("article_id").is_in(ids) & (
            (pl.col("seed") == seed) | (pl.col("regime") == BASE)
        )
        self._scores = {
            (row["article_id"], row["regime"], row["generation"], row["metric"]): row["value"]
            for row in results.scores.filter(ours).iter_rows(named=True)
        }
        best = results.leaning_scores.filter(ours).sort("probability", descending=True)
        best = best.unique(["article_id", "regime", "generation"], keep="first")
        self._leanings = {
            (row["article_id"], row["regime"], row["generation"]): row
            for row in best.iter_rows(named=True)
        }
        held = checked.filter(
            pl.col("withheld") & ((pl.col("seed") == seed) | (pl.col("regime") == BASE))
        )
        self._held = set(held.select("regime", "generation").iter_rows())

    def of(self, article: str, regime: str, generation: int) -> tuple[str, ...]:
        """Write what is known of one text."""
        found = []
        leaning = self._leanings.get((article, regime, generation))
        outside = self._scores.get((article, regime, generation, "outside_domain"))
        if leaning and (outside or (regime, generation) in self._held):
            found.append("leaning not read: too damaged")
        elif leaning:
            shown = words.name(leaning["leaning"])
            found.append(f"read as “{shown}”, {words.percent(leaning['probability'], 0)}")
        for metric in ("quality", "perplexity"):
            value = self._scores.get((article, regime, generation, metric))
            if value is not None:
                found.append(f"{metric} {words.scaled(value, 2)}")
        return tuple(found)
