"""The metric ``leaning``: probabilities over the label set, and whether they mean anything.

The classifier is trained here, on words or on an encoder's embeddings, or came trained: a sequence
classifier (Wang et al. 2024 use a RoBERTa-base on the first 500 tokens), a judge, or a model of
inference. What an article says again is not read: a loop is no opinion.
The error on held-out articles and held-out sources goes on its card, and so does that on articles
damaged level by level; every article is placed on those levels.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from biasloop import seeds
from biasloop.config import AxisConfig, LeaningConfig
from biasloop.errors import InputError, StoreError, nearest, registered
from biasloop.files import write_json
from biasloop.metrics.base import Card, FitContext, Scored, scored
from biasloop.metrics.classifier import (
    CANDIDATES,
    DESCRIPTIONS,
    BuiltinClassifier,
    Candidate,
    Encoder,
    fit_builtin,
    fit_second,
    load_builtin,
)
from biasloop.metrics.damage import (
    TAIL,
    DamageCurve,
    Domain,
    Level,
    Reader,
    fit_curve,
    fit_domain,
    measure,
    read_by_all,
)
from biasloop.metrics.evaluation import Folds, by_article, evaluate, exchanged, group_ids, macro_f1
from biasloop.metrics.pretrained import TrainedClassifier, load_sequence
from biasloop.metrics.sentence_encoder import EmbeddingCandidate, SentenceEncoder
from biasloop.metrics.tokenization import sentences
from biasloop.metrics.zero_shot import load_entailment, load_judge
from biasloop.tables import as_given

#: A label with fewer instrument articles gives no instrument.
LEAST_ARTICLES = 10

_FEW_ARTICLES = 50
_SOURCE_GAP = 0.1
_NEAR_CHANCE = 0.1
_FOLDS = 5
_META = "leaning.json"
_SECOND = "second"
_EMBEDDING = "embedding"
_BUILTIN = "metrics/classifier.py"
_ONCE = "what an article says again is not read, here and in every generation"


@dataclass(frozen=True)
class Leaning:
    """A loaded instrument.

    Attributes
    ----------
    labels
        The label set, in the order of the probabilities.
    classify
        Texts -> probabilities, shape (texts, labels).
    domain
        The levels of damage.
    readable
        On which of them the labels are told apart, shape (levels,), bool.
    settings
        The config's section: how much is read of an article, and what the classifier is given.
    second
        Another classifier, to see where the two part; None where there is none.
    """

    labels: tuple[str, ...]
    classify: Callable[[Sequence[str]], np.ndarray]
    domain: Domain
    readable: np.ndarray
    settings: LeaningConfig
    second: BuiltinClassifier | None = None

    def score(self, articles: pl.DataFrame) -> Scored:
        """Score articles: probabilities, confidence, and how damaged they are.

        Where there are ``mentions``, only the articles that have one are scored, and ``mentions``
        is 1.0 of these and 0.0 of the others.

        Returns
        -------
        Scored
            ``leaning_scores`` with a row per article per label; ``scores`` with
            ``leaning_confidence``, ``leaning_agreement`` (1.0 where the second classifier's
            likeliest label is the same, else 0.0), ``domain_words``, ``domain_oov``,
            ``domain_distinct_3``, ``domain_repetition``, ``damage_level`` (an index into the
            levels; -1 beyond them) and ``outside_domain`` (1.0 where it cannot be read, else 0.0).
            Without levels, there is nothing of damage.
        """
        mentions = self.settings.mentions if isinstance(self.settings, AxisConfig) else ()
        if not mentions:
            return self._score(articles)
        told = mentioning(articles, mentions)
        found = self._score(told)
        ids = articles["article_id"]
        said = scored(
            ids.to_list(),
            {"mentions": ids.is_in(told["article_id"].implode()).cast(pl.Float64).to_list()},
        )
        return replace(found, scores=pl.concat([found.scores, said.scores]))

    def _score(self, articles: pl.DataFrame) -> Scored:
        bodies = articles["body"].to_list()
        texts = read_by_all(bodies, self.settings.max_tokens)
        ids = articles["article_id"].to_list()
        if not texts:
            return scored([], {})
        pairs = zip(articles["title"], texts, strict=True)
        probabilities = self.classify([as_given(self.settings.input, *pair) for pair in pairs])
        columns = {"leaning_confidence": probabilities.max(axis=1)}
        if self.second:
            read = self.second.probabilities(texts).argmax(axis=1)
            columns["leaning_agreement"] = (read == probabilities.argmax(axis=1)).astype(float)
        if self.domain.levels:
            measures = measure(texts, self.domain.vocabulary, bodies)
            columns |= {f"domain_{n}": v for n, v in measures.items()}
            level = self.domain.place(measures)
            columns["damage_level"] = level.astype(float)
            # One that cannot read even sound articles has a problem of its own: see its card.
            can = self.readable[level] | ~self.readable[0]
            columns["outside_domain"] = 1.0 - ((level >= 0) & can)
        by_leaning = pl.DataFrame(
            {
                "article_id": np.repeat(np.array(ids, dtype=object), len(self.labels)).tolist(),
                "leaning": list(self.labels) * len(ids),
                "probability": probabilities.ravel(),
            }
        )
        return scored(ids, columns, by_leaning)


def mentioning(articles: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Keep of articles (`tables.ARTICLES`) the sentences that have one of some names.

    An article without one is left out. No name keeps everything.
    """
    if not names:
        return articles
    name = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, names))})(?!\w)")
    kept = [" ".join(filter(name.search, sentences(text))) for text in articles["body"]]
    return articles.with_columns(body=pl.Series(kept, dtype=pl.String)).filter(pl.col("body") != "")


class LeaningKind:
    """The registry's entry: fits the instrument that the config names."""

    whole_set = False

    def fit(self, context: FitContext, folder: Path) -> None:
        """Fit or load the classifier, measure its error, and write both.

        Raises
        ------
        InputError
            If a label has fewer than 10 instrument articles, a candidate is unknown, or a
            classifier by id cannot be had or does not have our labels.
        """
        settings = context.config.leaning
        if isinstance(settings, AxisConfig) and settings.data is None:
            _untested(context, settings, folder)
            return
        truth = _truth(context)
        texts = read_by_all(context.articles["body"].to_list(), settings.max_tokens)
        here = settings.classifier == "builtin" or settings.kind == "embedding"
        (_fit_builtin if here else _measure_external)(context, texts, truth, folder)

    def load(self, context: FitContext, folder: Path) -> Leaning:
        """Read back what `fit` wrote."""
        try:
            meta = json.loads((folder / _META).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"{folder}: the leaning instrument cannot be read: {error}") from error
        levels = tuple(Level.from_json(level) for level in meta["levels"])
        domain = Domain(frozenset(meta["vocabulary"]), levels)
        labels = tuple(meta["labels"])
        settings = context.config.leaning
        if meta["classifier"]:
            classify = _load_trained(settings, labels, meta["classifier"]["revision"])[1]
        else:
            classify = load_builtin(folder, _known(settings)).probabilities
        second = load_builtin(folder / _SECOND) if (folder / _SECOND).exists() else None
        readable = np.array(meta["readable"], dtype=bool)
        return Leaning(labels, classify, domain, readable, settings, second)


def _write(
    folder: Path, card: Card, classifier: dict[str, Any], domain: Domain, readable: Sequence[bool]
) -> None:
    meta = {
        "labels": list(card.labels),
        "classifier": classifier,
        "vocabulary": sorted(domain.vocabulary),
        "levels": [level.to_json() for level in domain.levels],
        "readable": list(readable),
    }
    write_json(folder / _META, meta)
    card.write(folder)


def _untested(context: FitContext, settings: AxisConfig, folder: Path) -> None:
    """Take a classifier that came trained as it is, of whose errors nothing is known."""
    classifier, _ = _load_trained(settings, context.labels)
    card = Card(
        metric="leaning",
        instrument=f"{settings.classifier} ({classifier.what})",
        labels=context.labels,
        trained_on=0,
        by_article={},
        warnings=[
            "there are no labelled articles to measure its errors on: shares are judged as they "
            "are read, and a change of its errors cannot be told from one of what is written"
        ],
        notes=[*classifier.notes, *_title_notes(settings.input), _ONCE],
    )
    meta = {"name": settings.classifier, "revision": classifier.revision}
    _write(folder, card, meta, Domain(frozenset(), ()), ())


def _truth(context: FitContext) -> np.ndarray:
    names = context.config.leaning.candidates
    for name in names:
        if name not in CANDIDATES:
            raise InputError(
                f"metrics.leaning.candidates: unknown candidate '{name}'; "
                f"{nearest(name, CANDIDATES)}"
            )
    if len(context.labels) < 2:
        raise InputError(
            "metrics.leaning: a leaning needs at least two labels; the corpus has "
            f"{', '.join(context.labels) or 'none'}"
        )
    counts = Counter(context.articles["label"].to_list())
    short = [
        f"{label} ({counts[label]})" for label in context.labels if counts[label] < LEAST_ARTICLES
    ]
    if short:
        raise InputError(
            f"metrics.leaning: a label needs at least {LEAST_ARTICLES} articles in the instrument "
            f"part; too few: {', '.join(short)}. Give more articles, raise "
            "corpus.instrument_fraction, or leave the label out of corpus.labels"
        )
    stray = sorted(set(counts) - set(context.labels))
    if stray:
        raise InputError(
            f"metrics.leaning: the instrument part has labels that are not in the label set: "
            f"{', '.join(stray)}"
        )
    place = {label: index for index, label in enumerate(context.labels)}
    return np.array([place[label] for label in context.articles["label"]])


def _given(context: FitContext, texts: Sequence[str]) -> list[str]:
    """Say what the classifier is given of the instrument articles, of which ``texts`` are read."""
    template, titles = context.config.leaning.input, context.articles["title"]
    return [as_given(template, *pair) for pair in zip(titles, texts, strict=True)]


def _fit_builtin(context: FitContext, texts: list[str], truth: np.ndarray, folder: Path) -> None:
    labels, settings = context.labels, context.config.leaning
    known = _known(settings)
    candidates = [_EMBEDDING] if _EMBEDDING in known else settings.candidates
    sources = context.articles["source"].fill_null("").to_list()
    given = _given(context, texts)
    fitted = fit_builtin(given, truth, sources, len(labels), candidates, context.seed, known)
    chosen = fitted.classifier.candidate
    fitted.classifier.save(folder)
    fit_second(texts, truth, len(labels), chosen).save(folder / _SECOND)
    by_articles = evaluate(labels, truth, fitted.by_article.probabilities, sources)
    by_sources, errors = None, settings.errors
    held_out = (fitted.by_source if errors == "sources" else None) or fitted.by_article
    if fitted.by_source:
        rows = fitted.by_source.rows
        own = [sources[row] for row in rows]
        by_sources = evaluate(labels, truth[rows], fitted.by_source.probabilities, own)

    def read(fold: int, versions: Sequence[str]) -> np.ndarray:
        return held_out.classifiers[fold].probabilities(versions).argmax(axis=1)

    _finish(
        context,
        (texts, truth, held_out.folds, read),
        held_out.probabilities,
        folder,
        {},
        instrument=f"sentence embeddings of {settings.classifier} + logistic regression"
        if chosen == _EMBEDDING
        else registered(DESCRIPTIONS, chosen, f"DESCRIPTIONS of {_BUILTIN}"),
        trained_on=len(texts),
        by_article=by_articles,
        by_source=by_sources,
        candidates=[
            {"name": name, "macro_f1": score, "chosen": name == chosen}
            for name, score in fitted.macro_f1.items()
        ],
        errors=errors,
        warnings=_warnings(by_articles, by_sources, errors),
        notes=[
            *_builtin_notes(sources, truth, by_sources is not None),
            *_encoder_notes(fitted.classifier.encoder),
            *_title_notes(settings.input),
        ],
    )


def _finish(
    context: FitContext,
    articles: tuple[list[str], np.ndarray, Folds, Reader],
    probabilities: np.ndarray,
    folder: Path,
    classifier: dict[str, Any],
    notes: Sequence[str],
    **own: Any,  # noqa: ANN401 - fields of a card
) -> None:
    """Measure the error on damaged articles, and write the instrument with its card."""
    texts, truth, folds, read = articles
    titles, template = context.articles["title"].to_list(), context.config.leaning.input
    domain = fit_domain(texts, folds)
    curve = fit_curve(
        context.labels,
        texts,
        truth,
        group_ids(context.articles["source"].fill_null("").to_list()),
        domain,
        folds,
        read,
        context.config.leaning.damage_articles,
        seeds.generator(context.seed, "damage"),
        lambda row, text: as_given(template, titles[row], text),
    )
    card = Card(
        metric="leaning",
        labels=context.labels,
        domain=_bounds(curve, probabilities),
        damage=curve.to_json(),
        notes=[*notes, *context.notes],
        **own,
    )
    _write(folder, card, classifier, domain, curve.readable.tolist())


def _known(settings: LeaningConfig) -> Mapping[str, Candidate]:
    """List the features that a classifier trained here can have."""
    if settings.kind != "embedding":
        return CANDIDATES
    return {_EMBEDDING: EmbeddingCandidate(_EMBEDDING, settings.strength, settings)}


def _encoder_notes(encoder: Encoder) -> list[str]:
    if not isinstance(encoder, SentenceEncoder):
        return []
    return [
        f"embeddings are pooled by {' and '.join(encoder.pooling)}; of an article longer than the "
        "encoder reads, pieces are embedded and averaged",
        "the encoder came trained; which articles and sources its authors trained on is not known",
    ]


def _bounds(curve: DamageCurve, probabilities: np.ndarray) -> dict[str, dict[str, float | None]]:
    """Say what can be read, measure by measure: the hull of the levels that can."""
    can = [level for level, ok in zip(curve.levels, curve.readable, strict=True) if ok]
    confidence = float(np.quantile(probabilities.max(axis=1), TAIL))
    return {
        "words": {"low": min((x.words[0] for x in can), default=None), "high": None},
        "oov": {"low": None, "high": max((x.oov[1] for x in can), default=None)},
        "confidence": {"low": confidence, "high": None},
    }


def _warnings(
    by_articles: dict[str, Any], by_sources: dict[str, Any] | None, errors: str = "sources"
) -> list[str]:
    found = []
    fewest = min(sum(row) for row in by_articles["confusion"])
    if fewest < _FEW_ARTICLES:
        found.append(f"a label has only {fewest} instrument articles: these errors are rough")
    honest = by_sources or by_articles
    chance = 1 / len(honest["labels"])
    where = "sources" if by_sources else "articles"
    if honest["macro_f1"] < chance + _NEAR_CHANCE:
        found.append(
            f"macro-F1 {honest['macro_f1']:.2f} on unseen {where} is hardly above chance "
            f"({chance:.2f}): a leaning read from text of unseen {where} means next to nothing"
        )
    if by_sources and by_articles["macro_f1"] - by_sources["macro_f1"] > _SOURCE_GAP:
        found.append(
            f"macro-F1 is {by_articles['macro_f1']:.2f} on unseen articles of known sources but "
            f"{by_sources['macro_f1']:.2f} on unseen sources: the classifier has partly learnt "
            "who wrote, not which way it leans"
        )
    if by_sources and errors == "articles":
        found.append(
            "shares are corrected by the errors on unseen articles of known sources "
            "(metrics.leaning.errors): they hold for text as of these sources"
        )
    return found


def _builtin_notes(sources: list[str], truth: np.ndarray, have_sources: bool) -> list[str]:
    notes = [
        "held-out figures are out-of-fold predictions; choosing the features and fitting the "
        "temperature happened again inside each training part, without the held-out articles",
        "features are chosen and confidence is calibrated with whole sources held out where that "
        "can be done, so probabilities are as cautious as unseen sources demand",
        "every label counts the same in training, however many articles it has",
        _ONCE,
    ]
    missing = sum(not source for source in sources)
    if missing == len(sources):
        notes.append("sources are not known: no figure on held-out sources can be given")
    elif not have_sources:
        notes.append(
            "a label has too few sources, or too few articles outside one, to hold whole sources "
            "out and still train on it"
        )
    else:
        if missing:
            notes.append(
                f"{missing} of {len(sources)} articles have no source and are left out of the "
                "figure on held-out sources"
            )
        if _confounded(sources, truth):
            notes.append(
                "most sources have articles of one label only, so source and label are "
                "confounded: the figure on held-out sources is the honest one"
            )
    return notes


def _confounded(sources: list[str], truth: np.ndarray) -> bool:
    table = pl.DataFrame({"source": sources, "label": truth}).filter(pl.col("source") != "")
    several = table.group_by("source").agg(pl.len(), pl.col("label").n_unique())
    several = several.filter(pl.col("len") > 1)
    return int((several["label"] == 1).sum()) > several.height / 2


#: How a classifier by id is loaded. One line adds a kind.
_LOADERS = {"sequence": load_sequence, "judge": load_judge, "entailment": load_entailment}
#: Where the config says which of its labels is which of ours.
_NAMED_IN = {
    "sequence": "metrics.leaning.label_map",
    "judge": "metrics.leaning.label_names",
    "entailment": "metrics.leaning.label_names",
}


def _load_trained(
    settings: LeaningConfig, labels: Sequence[str], revision: str | None = None
) -> tuple[TrainedClassifier, Callable[[Sequence[str]], np.ndarray]]:
    """Load the classifier that a config names, and give texts -> probabilities as configured."""
    load = registered(_LOADERS, settings.kind, "_LOADERS of metrics/leaning.py")
    found = load(settings, labels, revision)
    return found, lambda texts: found.probabilities(texts, settings.batch_size, settings.max_tokens)


def _measure_external(
    context: FitContext, texts: list[str], truth: np.ndarray, folder: Path
) -> None:
    settings = context.config.leaning
    named_in = registered(_NAMED_IN, settings.kind, "_NAMED_IN of metrics/leaning.py")
    classifier, classify = _load_trained(settings, context.labels)
    given = _given(context, texts)
    probabilities = classify(given)
    sources = context.articles["source"].fill_null("").to_list()
    by_articles = evaluate(context.labels, truth, probabilities, sources)
    folds = by_article(truth, _FOLDS, context.seed)
    cut = classifier.cut(given, settings.max_tokens)
    _finish(
        context,
        # It was trained on none of the folds.
        (texts, truth, folds, lambda _, versions: classify(versions).argmax(axis=1)),
        probabilities,
        folder,
        {"name": settings.classifier, "revision": classifier.revision},
        instrument=f"{settings.classifier} ({classifier.what})",
        trained_on=0,
        by_article=by_articles,
        warnings=[
            *_mistaken(context.labels, by_articles, named_in),
            *_warnings(by_articles, None),
        ],
        notes=[
            "the classifier came trained; its error here is on the whole instrument part, which "
            "it was not trained on here",
            "which articles and sources its authors trained on is not known, so no figure on "
            "held-out sources can be given",
            "its probabilities are taken as they come, not recalibrated",
            f"{cut:,} of {len(given):,} articles have more tokens than it reads, and were cut",
            *classifier.notes,
            *_title_notes(settings.input),
            _ONCE,
        ],
    )
    fit_second(texts, truth, len(context.labels), None).save(folder / _SECOND)


def _mistaken(labels: Sequence[str], by_articles: Mapping[str, Any], key: str) -> list[str]:
    confusion = np.array(by_articles["confusion"])
    meant = exchanged(confusion)
    if meant is None:
        return []
    said, read = np.indices(confusion.shape).reshape(2, -1)
    better = macro_f1(said, np.array(meant)[read], len(labels), confusion.ravel())
    as_it_is = by_articles["macro_f1"]
    below = "far below" if as_it_is < 1 / len(labels) - _NEAR_CHANCE else "against"
    pairs = [
        f"what it calls '{labels[theirs]}' is mostly '{labels[ours]}'"
        for theirs, ours in enumerate(meant)
        if theirs != ours
    ]
    return [
        f"macro-F1 {as_it_is:.2f} is {below} chance ({1 / len(labels):.2f}), and would be "
        f"{better:.2f} if labels were exchanged: {', '.join(pairs)}. Is {key} the wrong way round?"
    ]


def _title_notes(template: str) -> list[str]:
    if "{title}" not in template:
        return []
    return [
        "it is given titles, too; a generated article has the title of the real one that prompted "
        "it, so part of what is read is real text, and a change of leaning shows less"
    ]
