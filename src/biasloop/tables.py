"""The tables on disk: one schema each, and reading and writing them as Parquet."""

from __future__ import annotations

import io
import re
from pathlib import Path

import polars as pl

from biasloop.errors import StoreError
from biasloop.files import write_bytes

#: One row per article. ``title`` may be empty, ``source`` may be empty where it is not known.
ARTICLES = pl.Schema(
    {
        "article_id": pl.String,
        "title": pl.String,
        "body": pl.String,
        "label": pl.String,
        "source": pl.String,
    }
)


def as_given(template: str, title: str | None, body: str) -> str:
    """Put an article's title and body into their places of a text, in one pass."""
    values = {"{title}": title or "", "{body}": body}
    return re.sub(r"\{(?:title|body)\}", lambda place: values[place[0]], template)


#: The event that a real article is about, where ``corpus.columns.event`` is named and says it.
EVENTS = pl.Schema({"article_id": pl.String, "event": pl.String})

#: Identifies a set of articles in a run. ``regime`` is a regime's name, or ``real`` for the real
#: articles themselves, or ``base`` for what the untouched base model writes; these two have
#: generation -1.
CHAIN = {"regime": pl.String, "seed": pl.Int64, "generation": pl.Int64}

#: One row per article per metric.
SCORES = pl.Schema({**CHAIN, "article_id": pl.String, "metric": pl.String, "value": pl.Float64})

#: One row per article per leaning; the probabilities of an article sum to 1.
LEANING_SCORES = pl.Schema(
    {**CHAIN, "article_id": pl.String, "leaning": pl.String, "probability": pl.Float64}
)

#: One row per set of articles per metric that only a whole set has (its vocabulary, say), with
#: the metric's own 95 % interval.
SET_SCORES = pl.Schema(
    {**CHAIN, "metric": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
)

#: One row per prompt of a generated article, in order: its tokens, and those that the model wrote,
#: the end-of-sequence token included where it ended there.
BLOCKS = pl.Schema(
    {
        "article_id": pl.String,
        "block": pl.Int64,
        "prompt": pl.List(pl.Int64),
        "continuation": pl.List(pl.Int64),
    }
)

#: One row per fine-tuned model: the tokens that it was trained on, epochs included.
TRAINED = pl.Schema({**CHAIN, "tokens": pl.Int64})

#: One row per neuron that a regime edited in a model before it wrote: how far the weights and bias
#: that feed it were moved (restored), or the standard deviation of the activation that was held.
EDITS = pl.Schema({**CHAIN, "layer": pl.Int64, "neuron": pl.Int64, "size": pl.Float64})

#: One row per article that a model was trained on, of those that the generation before wrote and
#: its regime chose among: how often it stood in the training set, or what its loss weighed.
CHOSEN = pl.Schema({**CHAIN, "article_id": pl.String, "times": pl.Float64})

#: One row per set of articles that a detector of generated text read: its error on articles that
#: it had not seen. See `metrics.detector`.
DETECTORS = pl.Schema(
    {
        **CHAIN,
        "auc": pl.Float64,
        "taken_for_human": pl.Float64,
        "taken_for_generated": pl.Float64,
    }
)

#: One row per model and leaning: the projection of the update that made it (from the generation
#: before, or the base model) on the bias direction. See `stages.update` for ``direction`` and the
#: units of ``projection``; ``norm`` is the update's Euclidean length.
UPDATES = pl.Schema(
    {
        **CHAIN,
        "leaning": pl.String,
        "direction": pl.String,
        "projection": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "cosine": pl.Float64,
        "norm": pl.Float64,
    }
)

#: One row per neuron, site and quantity of one model. See `stages.neurons`.
NEURONS = pl.Schema(
    {
        **CHAIN,
        "layer": pl.Int64,
        "neuron": pl.Int64,
        "site": pl.String,
        "quantity": pl.String,
        "value": pl.Float64,
    }
)

#: One row per neuron, site, quantity and metric: how it goes with the metric over model versions.
#: See `neurons.associate`.
ASSOCIATIONS = pl.Schema(
    {
        "layer": pl.Int64,
        "neuron": pl.Int64,
        "site": pl.String,
        "quantity": pl.String,
        "metric": pl.String,
        "pearson": pl.Float64,
        "coef": pl.Float64,
        "stderr": pl.Float64,
        "pvalue": pl.Float64,
        "qvalue": pl.Float64,
    }
)

REAL = "real"
BASE = "base"


def conform(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Select a schema's columns, in its order, cast to its types.

    Raises
    ------
    StoreError
        If a column is missing or cannot be cast.
    """
    try:
        return frame.select(pl.col(name).cast(kind) for name, kind in schema.items())
    except pl.exceptions.PolarsError as error:
        raise StoreError(f"a table does not have the columns {list(schema)}: {error}") from error


def write_table(path: Path, frame: pl.DataFrame) -> None:
    """Write a table as Parquet, atomically; equal tables give equal bytes."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    write_bytes(path, buffer.getvalue())


def read_table(path: Path, schema: pl.Schema | None = None) -> pl.DataFrame:
    """Read a Parquet table, and hold it against a schema where one is given.

    Raises
    ------
    StoreError
        If the file is missing, is not Parquet, or does not have the schema's columns.
    """
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StoreError(f"{path}: cannot be read as a Parquet table: {error}") from error
    return frame if schema is None else conform(frame, schema)
