"""Stages that score: an instrument per metric, and each set of articles by each instrument.

Every metric is scored by stages of its own, so that one more reads old articles and writes none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from biasloop.config import AxisConfig, Config, without_folders
from biasloop.corpus.load import fingerprint, load_corpus
from biasloop.corpus.split import PARTED_ARTICLES
from biasloop.errors import InputError
from biasloop.files import write_json
from biasloop.loop.generation_stages import read_labels, read_part
from biasloop.loop.stage import (
    UNIT,
    Paths,
    Progress,
    ShardedStage,
    Stage,
    in_shards,
)
from biasloop.metrics import CONTENTS, MODEL_METRICS, metric_kind
from biasloop.metrics.base import SCORED, SCORED_LEANINGS, SCORED_SETS, FitContext, Metric
from biasloop.metrics.detector import detect
from biasloop.metrics.leaning import LEAST_ARTICLES, mentioning
from biasloop.metrics.perplexity import perplexities
from biasloop.models.load import load_model
from biasloop.stages.generate import prompted_by
from biasloop.tables import ARTICLES, conform, read_table, write_table

#: Beside a detector's scores: its measured error.
DETECTOR = "detector.json"

#: Raise a metric's when what its instrument fits changes; where there is none it is 1.
INSTRUMENT_VERSIONS = {"leaning": 2}

_TABLES = {"scores": SCORED, "leaning_scores": SCORED_LEANINGS, "set_scores": SCORED_SETS}


def instrument_settings(config: Config, metric: str) -> dict[str, Any]:
    """Return a metric's own settings; what came later only where it is not what it always was."""
    section = getattr(without_folders(config).metrics, metric, None)
    settings = section.model_dump(mode="json") if section else {}
    settings.pop("name", None)  # of an axis: what it is called
    always = {"errors": "sources"}
    return {name: value for name, value in settings.items() if always.get(name, ...) != value}


@contextmanager
def named_axis(config: Config) -> Generator[None]:
    """Say in an error of input which axis it is of, if `config` is one of `Config.axes`."""
    axis = config.metrics.leaning
    try:
        yield
    except InputError as error:
        if not isinstance(axis, AxisConfig):
            raise
        raise InputError(f"metrics.axes, axis '{axis.name}': {error}") from error


def axis_articles(
    axis: AxisConfig, seed: int, corpus: Path | None = None
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Read the labelled articles of an axis (`tables.ARTICLES`); none where it has no data.

    Beside them stands what is to be known of them.

    Parameters
    ----------
    axis, seed
        The axis, and the run's seed.
    corpus
        The corpus stage's output: what the loop reads, trains on or holds out of its texts is left
        out, since an instrument must not have seen what it reads.

    Raises
    ------
    InputError
        If the data cannot be read, or have too few articles of a label.
    """
    if axis.data is None:
        return ARTICLES.to_frame(), ()
    try:
        read = load_corpus(axis.corpus(), seed)
    except InputError as error:
        raise InputError(f"its data, whose keys are those of corpus: {error}") from error
    of_loop = pl.DataFrame(schema=ARTICLES)
    if corpus:
        parts = read_table(corpus / "articles.parquet", PARTED_ARTICLES)
        of_loop = parts.filter(pl.col("part") != "instrument")
    apart = read.articles.join(of_loop, on="body", how="anti", maintain_order="left")
    told = mentioning(apart, axis.mentions)
    articles = told.unique("body", keep="first", maintain_order=True)
    left_out = {
        "rows of its data could not be used": read.bad_rows.height,
        "articles of its data are articles of the loop": read.articles.height - apart.height,
        "articles of its data have none of the names": apart.height - told.height,
        "articles of its data say what another says": told.height - articles.height,
    }
    notes = tuple(f"{count:,} {what}: left out" for what, count in left_out.items() if count)
    counts = Counter(articles["label"])
    few = [f"{label} ({counts[label]})" for label in axis.labels if counts[label] < LEAST_ARTICLES]
    if few:
        why = f" ({'; '.join(notes)})" if notes else ""
        raise InputError(
            f"a label needs at least {LEAST_ARTICLES} articles; too few: {', '.join(few)}{why}. "
            "Give more in data.source, or leave the label out of labels"
        )
    return articles, notes


def _context(
    config: Config, paths: Paths, articles: pl.DataFrame, notes: tuple[str, ...] = ()
) -> FitContext:
    """Say what a metric's instrument is made from."""
    leaning = config.metrics.leaning
    own = leaning.labels if isinstance(leaning, AxisConfig) else None
    return FitContext(
        config=config.metrics,
        labels=own or read_labels(paths["corpus"]),
        articles=articles,
        base_model=str(paths["base"] / "model"),
        seed=config.seed,
        notes=notes,
    )


@dataclass(frozen=True, eq=False)
class Instrument(Stage):
    """Fit a metric's instrument on the part of ``corpus`` kept for it, or on ``base``."""

    kind = "instrument"
    metric: str
    content: Mapping[str, Any]

    @property
    def what(self) -> str:
        """What it reads, in words: a metric, or an axis."""
        axis = self.config.metrics.leaning
        return f"axis {axis.name}" if isinstance(axis, AxisConfig) else self.metric

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The metric's own, and the hash of what they point to."""
        own = instrument_settings(self.config, self.metric)
        named: dict[str, Any] = {"metric": self.metric, "metrics": own}
        if self.metric in INSTRUMENT_VERSIONS:
            named["version"] = INSTRUMENT_VERSIONS[self.metric]
        return {**named, "content": self.content, "seed": self.config.seed}

    def run(self, out: Path, paths: Paths, progress: Progress, scratch: Path) -> None:
        """Write what the metric loads again, and its card."""
        folder = out / "instrument"
        folder.mkdir()
        axis, notes = self.config.metrics.leaning, ()
        with named_axis(self.config):
            if not isinstance(axis, AxisConfig):
                articles = read_part(paths["corpus"], "instrument")
            elif axis.data and fingerprint(axis.corpus()) != self.content["data"]:
                raise InputError("its data have changed since the run began")
            else:
                articles, notes = axis_articles(axis, self.config.seed, paths["corpus"])
            context = _context(self.config, paths, articles, notes)
            metric_kind(self.metric).fit(context, folder)

    def load(self, paths: Paths, folder: Path) -> Metric:
        """Load the metric from the stage's output ``folder``."""
        context = _context(self.config, paths, pl.DataFrame(schema=ARTICLES))
        with named_axis(self.config):
            return metric_kind(self.metric).load(context, folder / "instrument")


@dataclass(frozen=True, eq=False)
class Score(ShardedStage):
    """Score ``articles``, or the real ones of ``corpus``, by the ``instrument`` of a metric."""

    kind = "score"
    instrument: Instrument

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The metric's own section only, so that another classifier scores nothing else anew."""
        metrics = without_folders(self.config).metrics.model_dump(
            mode="json", exclude={"names", "axes"}
        )
        own = {key: value for key, value in metrics.items() if not isinstance(value, dict)}
        metric = self.instrument.metric
        if section := instrument_settings(self.config, metric):
            own[metric] = section
        named = {"metric": metric, "metrics": own, "seed": self.config.seed}
        return named | self.shard.settings

    def run(self, out: Path, paths: Paths, progress: Progress, scratch: Path) -> None:
        """Write the three tables of scores."""
        instrument = self.instrument.load(paths, paths["instrument"])
        if "articles" in paths:
            articles = read_table(paths["articles"] / "articles.parquet", ARTICLES)
        else:
            articles = read_part(paths["corpus"], "real")
        whole = metric_kind(self.instrument.metric).whole_set
        part = articles[self.shard.rows(articles.height, UNIT)]
        parts = [articles] if whole else [*part.iter_slices(UNIT)] or [part]
        scored = [instrument.score(part) for part in parts]
        _write(
            out,
            pl.concat(one.scores for one in scored),
            pl.concat(one.leaning_scores for one in scored),
            pl.concat(one.set_scores for one in scored),
        )

    @staticmethod
    def join(shards: Sequence[Path], out: Path) -> None:
        """Put scores together: metric by metric, and in each the articles in order."""
        _write(
            out,
            *(
                pl.concat([read_table(one / f"{table}.parquet", schema) for one in shards])
                for table, schema in _TABLES.items()
            ),
        )


def _write(out: Path, scores: pl.DataFrame, *others: pl.DataFrame) -> None:
    by_metric = scores.partition_by("metric", maintain_order=True) or [scores]
    tables = (pl.concat(by_metric), *others)
    for (name, schema), table in zip(_TABLES.items(), tables, strict=True):
        write_table(out / f"{name}.parquet", conform(table, schema))


@dataclass(frozen=True, eq=False)
class ScoreHoldout(Stage):
    """Score a ``model`` on the held-out real articles of ``corpus``."""

    kind = "score"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """How perplexity is read."""
        metrics = self.config.metrics
        return {"holdout": [metrics.perplexity_batch_size, metrics.perplexity_precision]}

    def run(self, out: Path, paths: Paths, progress: Progress, scratch: Path) -> None:
        """Write the three tables of scores, of which two are empty."""
        articles, metrics = read_part(paths["corpus"], "holdout"), self.config.metrics
        scores = SCORED.to_frame()
        if articles.height:
            folder = paths["model"] / "model"
            loaded = load_model(str(folder), precision=metrics.perplexity_precision)
            values = perplexities(
                loaded.model,
                loaded.tokenizer,
                articles["body"].to_list(),
                metrics.perplexity_batch_size,
            )
            value = pl.Series("value", values, pl.Float64).fill_nan(None)
            metric = pl.lit("holdout_perplexity").alias("metric")
            scores = articles.select("article_id", metric, value)
        _write(out, scores, SCORED_LEANINGS.to_frame(), SCORED_SETS.to_frame())


@dataclass(frozen=True, eq=False)
class ScoreModel(Stage):
    """Score a ``model``, which wrote ``articles``, by a metric of models."""

    kind = "score"
    metric: str
    content: Mapping[str, Any]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The metric's own, how models are read, and the hash of what the metric points to."""
        metrics = self.config.metrics
        own = instrument_settings(self.config, self.metric)
        read = [metrics.perplexity_batch_size, metrics.perplexity_precision]
        named = {"metric": self.metric, "metrics": own, "read": read}
        return {**named, "content": self.content, "seed": self.config.seed}

    def run(self, out: Path, paths: Paths, progress: Progress, scratch: Path) -> None:
        """Write the three tables of scores."""
        metrics = self.config.metrics
        if self.metric in CONTENTS and CONTENTS[self.metric](metrics) != self.content:
            raise InputError(
                f"metrics.{self.metric}: what it reads has changed since the run began; what is "
                "finished is kept"
            )
        articles = read_table(paths["articles"] / "articles.parquet", ARTICLES)
        loaded = load_model(str(paths["model"] / "model"), precision=metrics.perplexity_precision)
        found = MODEL_METRICS[self.metric](loaded, articles, metrics, self.config.seed)
        _write(out, found.scores, found.leaning_scores, found.set_scores)


@dataclass(frozen=True, eq=False)
class Detect(Stage):
    """Say of ``articles`` how likely each is human text, by a detector trained on ``corpus``, too.

    The real articles are those of the classifiers' part, which is never scored.
    """

    kind = "score"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The seed of its folds."""
        return {"detector": "word-tfidf", "seed": self.config.seed}

    def run(self, out: Path, paths: Paths, progress: Progress, scratch: Path) -> None:
        """Write ``scores`` (metric ``human``), and its error on articles that it has not seen."""
        articles = read_table(paths["articles"] / "articles.parquet", ARTICLES)
        prompts = prompted_by(articles["article_id"], self.config.generation)
        real = read_part(paths["corpus"], "instrument")["body"].to_list()
        seed = self.config.seed
        found = detect(real, articles["body"].to_list(), prompts.to_list(), seed)
        human = pl.Series("value", found.human, pl.Float64)
        table = articles.select("article_id", pl.lit("human").alias("metric"), human)
        write_table(out / "scores.parquet", conform(table, SCORED))
        write_json(out / DETECTOR, found.errors)


@dataclass(frozen=True, eq=False)
class JoinScores(Stage):
    """Put all scores of a set of articles together, in the order of the inputs."""

    kind = "join"

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The order of the metrics."""
        return {"order": list(self.inputs)}

    def run(self, out: Path, paths: Paths, progress: Progress, scratch: Path) -> None:
        """Write the three tables of scores."""
        Score.join([paths[name] for name in self.inputs], out)


def score_by(name: str, inputs: Mapping[str, Stage], instrument: Instrument) -> Stage:
    """Lay out how a set of articles, called ``name``, is scored by one instrument."""
    config, read = instrument.config, {**inputs, "instrument": instrument}
    whole = Score(config, f"{name}: score {instrument.what}", read, instrument)
    if metric_kind(instrument.metric).whole_set:
        return whole
    return in_shards(whole, f"{name}: join {instrument.what}")


def score_set(
    name: str,
    inputs: Mapping[str, Stage],
    instruments: Mapping[str, Instrument],
    model: Stage | None = None,
    of_model: Mapping[str, Mapping[str, Any]] | None = None,
) -> Stage:
    """Lay out how a set of articles is scored.

    Parameters
    ----------
    name
        What to call the set.
    inputs
        ``corpus`` and ``base``, and the set's ``articles`` where they are not the real ones.
    instruments
        By metric.
    model
        Which wrote the set, and is to be scored on held-out text.
    of_model
        Metrics that it is scored by, too, each with the content of what it points to.
    """
    parts = {f"{m}-0": score_by(name, inputs, one) for m, one in instruments.items()}
    config = inputs["corpus"].config
    if model:
        read = {"corpus": inputs["corpus"], "model": model}
        parts["holdout"] = ScoreHoldout(config, f"{name}: score on held-out text", read)
        for metric, content in (of_model or {}).items():
            read = {"articles": inputs["articles"], "model": model}
            title = f"{name}: score {metric} of the model"
            parts[metric] = ScoreModel(config, title, read, metric, content)
    return JoinScores(config, f"{name}: join scores", parts)
