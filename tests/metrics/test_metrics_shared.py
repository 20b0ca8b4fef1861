"""On real news: the card must say that the classifier has learnt the outlet."""

import json
from pathlib import Path

import polars as pl
import pytest

from biasloop.metrics import METRICS
from biasloop.metrics.base import CARD_FILE
from biasloop.tables import ARTICLES, conform

NEWS = Path(__file__).parents[3] / "shared/data/allsides/articles.parquet"


@pytest.mark.shared
@pytest.mark.skipif(not NEWS.is_file(), reason="../shared is absent")
def test_news_classifiers_learn_the_outlet(make_context, tmp_path):
    frame = pl.read_parquet(NEWS).rename({"id": "article_id"}).sample(600, seed=0, shuffle=True)
    articles = conform(frame, ARTICLES)
    context = make_context(
        articles,
        labels=("left", "center", "right"),
        leaning={"candidates": ("word-tfidf",), "max_tokens": 300},
    )
    METRICS["leaning"].fit(context, tmp_path)
    card = json.loads((tmp_path / CARD_FILE).read_text())
    by_article, by_source = card["held_out"]["articles"], card["held_out"]["sources"]
    assert by_article["macro_f1"] > by_source["macro_f1"] + 0.1
    assert any("who wrote" in warning for warning in card["warnings"])
    assert any("confounded" in note for note in card["notes"])
