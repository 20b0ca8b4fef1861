"""The metric ``quality``: the text quality index of Wang et al. 2024, 0 (noise) to 3 (clean).

Each sentence is graded noise 0, word salad 1, mild gibberish 2 or clean 3; its index is the value
of the likeliest grade times that grade's probability; an article's is the mean over its sentences
(`tokenization.sentences`), and 0 for an article without a sentence. The grader is the Gibberish
Detector (or any sequence classifier with those four labels), or the built-in one, which is trained
on real sentences and graded corruptions of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from biasloop import seeds
from biasloop.config import QualityConfig
from biasloop.errors import InputError, StoreError
from biasloop.files import write_json
from biasloop.metrics.base import Card, FitContext, Scored, scored
from biasloop.metrics.evaluation import evaluate
from biasloop.metrics.pretrained import load_classifier
from biasloop.metrics.quality_classifier import GRADES, Pool, examples, fit_quality, load_quality
from biasloop.metrics.tokenization import at_full_stops, sentences
from biasloop.tables import as_given

#: Graded examples that a detector by id is measured on.
MEASURED_EXAMPLES = 600

_VALUES = np.arange(len(GRADES), dtype=float)
_META = "quality.json"
#: Articles graded together, so that a large set does not fill the memory.
_AT_ONCE = 500
_WEAK_MACRO_F1 = 0.6

_SHARED_NOTES = (
    "an article without a sentence scores 0",
    "held-out figures are on real sentences and on corruptions of them made by seed, not on text "
    "that a model wrote",
)
_BUILTIN_NOTES = (
    "neither the n-gram models that read a held-out sentence nor the examples of the regression "
    "that graded it included its article",
    "noise is scrambled letters, random characters and sentences without a letter or digit; word "
    "salad is shuffled or randomly drawn words, phrases in a loop and a sentence said for the "
    "third time or more; mild gibberish is swapped, dropped, doubled and replaced words, Markov "
    "chains of word pairs, stutters, misjoined words and a sentence said for the second time",
    "unlike the paper's detector it reads a sentence against the article so far, so loops of "
    "whole sentences count as word salad; a real slogan chanted three times does too",
    "it measures word order, word forms and repetition against this corpus's real text; it does "
    "not measure whether a well-formed sentence means anything, is true, or follows from the one "
    "before, and copied real text reads as clean",
    "a sentence of fewer than four words has no order to lose and is seldom graded below clean "
    "but for unknown words or repetition",
)
_SPLIT = {"punctuation": sentences, "full-stop": at_full_stops}
_FULL_STOP_NOTE = (
    "articles are cut at every full stop (metrics.quality.sentence_end), so that pieces of "
    "numbers and abbreviations count as sentences; the errors here are on whole sentences"
)
_TITLE_NOTE = "titles are graded, too, which are real text in every generation"
_DETECTOR_NOTES = (
    "the detector came trained; it reads each sentence by itself, so a loop of good sentences is "
    "clean to it: read the repetition rate beside it",
)


def quality_index(probabilities: np.ndarray) -> float:
    """Text quality index of one article.

    Parameters
    ----------
    probabilities
        Of `quality_classifier.GRADES`, shape (sentences, 4).

    Returns
    -------
    float
        0 to 3; 0 where there is no sentence.
    """
    if not len(probabilities):
        return 0.0
    grade = probabilities.argmax(axis=1)
    return float((_VALUES[grade] * probabilities.max(axis=1)).mean())


@dataclass(frozen=True)
class Quality:
    """The metric, ready to score.

    Attributes
    ----------
    grade
        For each article its sentences -> for each article probabilities, shape (sentences, 4).
    settings
        The config's section: what is graded, and where a sentence ends.
    """

    grade: Callable[[Sequence[Sequence[str]]], list[np.ndarray]]
    settings: QualityConfig

    def score(self, articles: pl.DataFrame) -> Scored:
        """Score articles: ``quality``, 0 to 3."""
        split = _SPLIT[self.settings.sentence_end]
        values = [
            quality_index(graded)
            for some in articles.select("title", "body").iter_slices(_AT_ONCE)
            for graded in self.grade(
                [split(as_given(self.settings.input, *row)) for row in some.iter_rows()]
            )
        ]
        return scored(articles["article_id"].to_list(), {"quality": values})


class QualityKind:
    """The registry's entry: fits the grader that the config names."""

    whole_set = False

    def fit(self, context: FitContext, folder: Path) -> None:
        """Fit or load the grader, measure its error, and write both.

        Raises
        ------
        InputError
            If there are fewer than two instrument articles with text, or a detector by id cannot
            be had or does not have the four grades.
        """
        bodies = [body for body in context.articles["body"] if sentences(body)]
        if len(bodies) < 2:
            raise InputError(
                "metrics.quality: the instrument part has fewer than two articles with text, so "
                "no quality classifier can be trained or measured; raise "
                "corpus.instrument_fraction or give more articles"
            )
        settings = context.config.quality
        name = settings.classifier
        as_config = [_FULL_STOP_NOTE] if settings.sentence_end == "full-stop" else []
        as_config += [_TITLE_NOTE] if "{title}" in settings.input else []
        meta: dict[str, Any] = {"classifier": name, "revision": None}
        if name == "builtin":
            fitted = fit_quality(bodies, context.seed)
            fitted.classifier.save(folder)
            truth, probabilities, trained_on = fitted.truth, fitted.probabilities, len(fitted.truth)
            instrument = "sentence features (n-gram models, repetition) + logistic regression"
            notes: Sequence[str] = _BUILTIN_NOTES
        else:
            detector = load_classifier(name, GRADES, {}, "quality", precision=settings.precision)
            meta["revision"] = detector.revision
            texts, truth = _measured_examples(bodies, context.seed)
            probabilities, trained_on = detector.probabilities(texts, settings.batch_size), 0
            instrument = f"{name} (transformers sequence classifier)"
            notes = [*_DETECTOR_NOTES, *detector.notes]
        measured = evaluate(GRADES, truth, probabilities)
        warning = (
            f"macro-F1 {measured['macro_f1']:.2f} over the four grades: differences in quality "
            "are hardly measured"
        )
        card = Card(
            metric="quality",
            instrument=instrument,
            labels=GRADES,
            trained_on=trained_on,
            by_article=measured,
            warnings=[warning] if measured["macro_f1"] < _WEAK_MACRO_F1 else [],
            notes=[*notes, *as_config, *_SHARED_NOTES],
        )
        write_json(folder / _META, meta)
        card.write(folder)

    def load(self, context: FitContext, folder: Path) -> Quality:
        """Read back what `fit` wrote."""
        settings = context.config.quality
        try:
            meta = json.loads((folder / _META).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"{folder}: the quality instrument cannot be read: {error}") from error
        if meta["classifier"] == "builtin":
            return Quality(load_quality(folder).probabilities, settings)
        detector = load_classifier(
            meta["classifier"], GRADES, {}, "quality", meta["revision"], settings.precision
        )

        def grade(articles: Sequence[Sequence[str]]) -> list[np.ndarray]:
            flat = [sentence for article in articles for sentence in article]
            ends = np.cumsum([len(article) for article in articles])
            return np.split(detector.probabilities(flat, settings.batch_size), ends[:-1])

        return Quality(grade, settings)


def _measured_examples(bodies: Sequence[str], seed: int) -> tuple[list[str], np.ndarray]:
    """Graded sentences for a detector that reads each by itself: none that only repeats."""
    rng = seeds.generator(seed, "corruption")
    pool = Pool(sentence for body in bodies for sentence in sentences(body))
    found = []
    for row in seeds.generator(seed, "quality").permutation(len(bodies)):
        made = examples(sentences(bodies[row]), pool, rng)
        found += [example for example in made if not example.repeats]
        if len(found) >= MEASURED_EXAMPLES:
            break
    found = found[:MEASURED_EXAMPLES]
    return [example.sentence for example in found], np.array([example.grade for example in found])
