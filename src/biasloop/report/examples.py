"""Articles to read: the real prompt beside what every generation made of it.

The text is untrusted: it is cut and its control characters made visible here, and escaped by the
page's template.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from biasloop import seeds
from biasloop.loop.results import Results
from biasloop.report import formatting as fmt
from biasloop.tables import BASE

#: Longer texts are cut for showing.
SHOWN_CHARACTERS = 2_500

#: Article, regime, generation.
_Key = tuple[str, str, int]


def examples(results: Results, checked: pl.DataFrame) -> list[dict[str, Any]]:
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
    shown = (pl.col("seed") == results.config.loop.seeds[0]) | (pl.col("regime") == BASE)
    ours = shown & pl.col("article_id").is_in(ids)
    bodies = _by_text(results.articles.filter(ours))
    remarks = _remarks(results, checked.filter(shown), ours)
    real = {row["article_id"]: row for row in results.real.iter_rows(named=True)}
    regimes = [BASE, *(regime.label for regime in results.config.regimes)]
    return [
        {
            **{name: real[article][name] or "" for name in ("title", "label", "source")},
            "real": _text("real article", real[article]["body"]),
            "written": [
                (fmt.SETS.get(regime) or fmt.name(regime), own)
                for regime in regimes
                if (own := _written(article, regime, bodies, remarks))
            ],
        }
        for article in ids
    ]


def _written(
    article: str,
    regime: str,
    bodies: dict[_Key, dict[str, Any]],
    remarks: dict[_Key, tuple[str, ...]],
) -> list[dict[str, Any]]:
    """Give what a regime made of an article, by generation."""
    return [
        _text(
            "untouched" if regime == BASE else f"Generation {key[2]}",
            bodies[key]["body"],
            remarks.get(key, ()),
        )
        for key in sorted(bodies)
        if key[:2] == (article, regime)
    ]


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


def _text(name: str, body: str | None, remarks: tuple[str, ...] = ()) -> dict[str, Any]:
    """Give what is shown, how many characters are not, and what the instruments say."""
    shown, left_out = fmt.cut(body or "", SHOWN_CHARACTERS)
    return {"name": name, "body": shown, "left_out": left_out, "remarks": remarks}


def _by_text(rows: pl.DataFrame) -> dict[_Key, dict[str, Any]]:
    return {
        (row["article_id"], row["regime"], row["generation"]): row
        for row in rows.iter_rows(named=True)
    }


def _remarks(results: Results, checked: pl.DataFrame, ours: pl.Expr) -> dict[_Key, tuple[str, ...]]:
    """Say what the instruments make of single texts."""
    best = results.leaning_scores.filter(ours).sort("probability", descending=True)
    best = best.unique(["article_id", "regime", "generation"], keep="first")
    held = set(checked.filter("withheld").select("regime", "generation").iter_rows())
    scores = {
        metric: _by_text(results.scores.filter(ours, metric=metric))
        for metric in ("outside_domain", "quality", "perplexity")
    }
    found: dict[_Key, list[str]] = {}
    for key, leaning in _by_text(best).items():
        outside = scores["outside_domain"].get(key)
        shown = fmt.name(leaning["leaning"])
        told = f"read as “{shown}”, {fmt.percent(leaning['probability'], 0)}"
        if (outside and outside["value"]) or key[1:] in held:
            told = "leaning not read: too damaged"
        found[key] = [told]
    for metric in ("quality", "perplexity"):
        for key, row in scores[metric].items():
            if row["value"] is not None:
                found.setdefault(key, []).append(f"{metric} {fmt.scaled(row['value'], 2)}")
    return {key: tuple(told) for key, told in found.items()}
