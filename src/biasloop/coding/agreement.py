"""Do coders agree with each other, and with the classifier? Knows labels, not whose run it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from biasloop.analysis import article_weights, percentile_interval
from biasloop.errors import InputError

#: No interval is given of fewer articles.
LEAST_ARTICLES = 10


@dataclass(frozen=True)
class Agreement:
    """How far readers agree.

    Attributes
    ----------
    value, low, high
        Krippendorff's alpha or Cohen's kappa with its 95 % interval over articles; None where
        there is none, and ``reason`` says why.
    agree
        The share of pairs of readings of one article that are the same, 0 to 1.
    articles
        How many articles it rests on.
    reason
        Why there is no value, or no interval.
    """

    value: float | None
    low: float | None
    high: float | None
    agree: float | None
    articles: int
    reason: str = ""


def between_coders(
    codes: pl.DataFrame, options: Sequence[str], resamples: int, random: np.random.Generator
) -> Agreement:
    """Give Krippendorff's alpha (nominal), with a percentile bootstrap over articles.

    Parameters
    ----------
    codes
        `codes.CODES`.
    options
        What could be chosen.
    resamples, random
        Of the bootstrap.

    Raises
    ------
    InputError
        If the package krippendorff is not installed.
    """
    counts = _value_counts(codes, options)
    counts = counts[counts.sum(axis=1) > 1]
    if not len(counts):
        return Agreement(None, None, None, None, 0, "no article was coded by two coders")
    pairs = counts.sum(axis=1) * (counts.sum(axis=1) - 1)
    agree = float(((counts * (counts - 1)).sum(axis=1) / pairs).mean())
    value = _alpha(counts)
    if value is None:
        reason = "every reading is the same label: agreement by chance cannot be told apart"
        return Agreement(None, None, None, agree, len(counts), reason)
    if len(counts) < LEAST_ARTICLES:
        reason = f"fewer than {LEAST_ARTICLES} articles were coded twice: no interval"
        return Agreement(value, None, None, agree, len(counts), reason)
    if agree == 1:
        reason = "there is no disagreement to resample: no interval"
        return Agreement(value, None, None, agree, len(counts), reason)
    drawn = random.integers(len(counts), size=(resamples, len(counts)))
    found = [_alpha(counts[rows]) for rows in drawn]
    low, high = percentile_interval(np.array([[np.nan if v is None else v] for v in found]))
    return Agreement(value, float(low[0]), float(high[0]), agree, len(counts))


def _value_counts(codes: pl.DataFrame, options: Sequence[str]) -> np.ndarray:
    """How many coders gave each article each label, shape (articles, options)."""
    wide = codes.group_by("id", "label").len().pivot(on="label", index="id", values="len")
    wide = wide.sort("id")
    columns = [
        wide[option].fill_null(0).to_numpy() if option in wide.columns else np.zeros(wide.height)
        for option in options
    ]
    return np.stack(columns, axis=1).astype(int)


def _alpha(counts: np.ndarray) -> float | None:
    try:
        import krippendorff
    except ImportError as error:
        raise InputError(
            "the agreement of coders needs krippendorff: pip install 'biasloop[label]'"
        ) from error
    if (counts.sum(axis=0) > 0).sum() < 2:  # nothing could have been disagreed on
        return None
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


@dataclass(frozen=True)
class AgainstClassifier:
    """How far coders and classifier agree on some articles.

    Attributes
    ----------
    agreement
        Cohen's kappa; an article counts once, divided among its coders.
    confusion
        Articles by what people say (rows) and what the classifier reads (columns); fractions of an
        article are its coders'.
    """

    agreement: Agreement
    confusion: np.ndarray


def against_classifier(
    said: np.ndarray,
    read: np.ndarray,
    articles: np.ndarray,
    options: int,
    resamples: int,
    random: np.random.Generator,
) -> AgainstClassifier:
    """Hold coders' labels against the classifier's readings.

    Parameters
    ----------
    said, read
        Index of each label by a coder and by the classifier, shape (labels,).
    articles
        Which article it is of.
    options
        How many labels there are.
    resamples, random
        Of the bootstrap over articles.
    """
    from sklearn.metrics import confusion_matrix

    if not len(said):
        none = Agreement(None, None, None, None, 0, "no article was coded and read")
        return AgainstClassifier(none, np.zeros((options, options)))
    _, place, counts = np.unique(articles, return_inverse=True, return_counts=True)
    share = 1 / counts[place]
    confusion = confusion_matrix(said, read, labels=np.arange(options), sample_weight=share)
    agree, kappa = agree_and_kappa(said, read, share[None], options)[0]
    size = len(counts)
    if not np.isfinite(kappa):
        reason = "people and classifier always give the same one label"
        return AgainstClassifier(Agreement(None, None, None, float(agree), size, reason), confusion)
    if size < LEAST_ARTICLES:
        reason = f"fewer than {LEAST_ARTICLES} articles: no interval"
        return AgainstClassifier(
            Agreement(float(kappa), None, None, float(agree), size, reason), confusion
        )
    weights = article_weights(np.arange(size), resamples, random)[:, place] * share
    low, high = percentile_interval(agree_and_kappa(said, read, weights, options)[:, 1:])
    found = Agreement(float(kappa), float(low[0]), float(high[0]), float(agree), size)
    return AgainstClassifier(found, confusion)


def agree_and_kappa(
    one: np.ndarray, two: np.ndarray, weights: np.ndarray, labels: int
) -> np.ndarray:
    """How far two readings agree, and Cohen's kappa, under every resample.

    By hand, since scikit-learn's ``cohen_kappa_score`` takes one resample at a time.

    Parameters
    ----------
    one, two
        Index of each article's label by either reader, shape (articles,).
    weights
        How often each counts, shape (resamples, articles).
    labels
        How many there are.

    Returns
    -------
    np.ndarray
        Shape (resamples, 2); kappa is NaN where agreement by chance is certain.
    """
    total = weights.sum(axis=1)
    agree = weights @ (one == two).astype(float) / total
    eye = np.eye(labels)
    by_chance = ((weights @ eye[one]) * (weights @ eye[two])).sum(axis=1) / total**2
    room = 1 - by_chance
    kappa = np.divide(agree - by_chance, room, out=np.full_like(room, np.nan), where=room > 1e-12)
    return np.stack([agree, kappa], axis=1)
