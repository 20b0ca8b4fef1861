"""Published data sets by their columns: which column holds what, in which order labels stand.

A layout is recognised by column names alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from biasloop.config import Columns
from biasloop.corpus.records import Source


@dataclass(frozen=True)
class Layout:
    """How a published data set is read.

    Attributes
    ----------
    match
        Takes the columns found and returns which of them hold an article's fields, or null if
        this is another data set.
    needs
        The columns that it must have, for messages.
    source
        Its labels, citation and licence, without columns and records. Its name is the value of
        ``corpus.format`` that asks for it, and the corpus's name in the report.
    """

    match: Callable[[Sequence[str]], Columns | None]
    needs: str
    source: Source


def _first(columns: Sequence[str], *names: str) -> str | None:
    return next((name for name in names if name in columns), None)


def _webis(columns: Sequence[str]) -> Columns | None:
    if not {"original_title", "original_body", "bias"} <= set(columns):
        return None
    return Columns(
        article_id=_first(columns, "article_id", "id", "ID"),
        title="original_title",
        body="original_body",
        label="bias",
        source=_first(columns, "source", "outlet", "publisher", "news_source"),
    )


def _article_bias_prediction(columns: Sequence[str]) -> Columns | None:
    found = set(columns)
    if {"ID", "title", "content", "bias_text", "source"} <= found:
        return Columns(article_id="ID", body="content", label="bias_text")
    # The same articles as one table, with the two splits as columns.
    if {"id", "title", "body", "label", "source", "random_split", "media_split"} <= found:
        return Columns()
    return None


#: The layouts by the name that ``corpus.format`` gives them.
LAYOUTS: dict[str, Layout] = {
    layout.source.name: layout
    for layout in (
        Layout(
            _webis,
            "original_title, original_body, bias",
            Source(
                name="webis",
                labels=("left", "center", "right"),
                label_map={
                    "From the Left": "left",
                    "From the Center": "center",
                    "From the Right": "right",
                },
                citation="Webis-Bias-Flipper-18: Chen, Wachsmuth, Al-Khatib and Stein (2018), "
                "Learning to Flip the Bias of News Headlines, INLG",
                licence="the articles belong to their publishers",
            ),
        ),
        Layout(
            _article_bias_prediction,
            "ID, title, content, bias_text, source",
            Source(
                name="article-bias-prediction",
                labels=("left", "center", "right"),
                citation="Article-Bias-Prediction: Baly, Da San Martino, Glass and Nakov (2020), "
                "We Can Detect Your Bias: Predicting the Political Ideology of News Articles, "
                "EMNLP",
                licence="Apache-2.0 (repository); the articles belong to their publishers",
            ),
        ),
    )
}
