"""What coded articles say of a run: agreement, and shares and changes corrected by the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from biasloop import seeds
from biasloop.analysis import (
    Inference,
    article_grid,
    article_weights,
    holm,
    outcomes,
    percentile_interval,
    set_keys,
    source_codes,
    tables_of,
)
from biasloop.coding.prediction_powered import LEAST_LABELS, CodedSet, inferences
from biasloop.coding.sheets import Key, options_of
from biasloop.errors import InputError
from biasloop.loop import Results
from biasloop.tables import BASE, REAL

#: No interval is given of fewer articles.
LEAST_ARTICLES = 10


@dataclass(frozen=True)
class Reliability:
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
) -> Reliability:
    """Give Krippendorff's alpha (nominal), with a percentile bootstrap over articles.

    Parameters
    ----------
    codes
        `CODES`.
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
        return Reliability(None, None, None, None, 0, "no article was coded by two coders")
    pairs = counts.sum(axis=1) * (counts.sum(axis=1) - 1)
    agree = float(((counts * (counts - 1)).sum(axis=1) / pairs).mean())
    value, reason = _alpha(counts), ""
    if value is None:
        reason = "every reading is the same label: agreement by chance cannot be told apart"
    elif len(counts) < LEAST_ARTICLES:
        reason = f"fewer than {LEAST_ARTICLES} articles were coded twice: no interval"
    elif agree == 1:
        reason = "there is no disagreement to resample: no interval"
    if reason:
        return Reliability(value, None, None, agree, len(counts), reason)
    drawn = random.integers(len(counts), size=(resamples, len(counts)))
    found = [_alpha(counts[rows]) for rows in drawn]
    low, high = percentile_interval(np.array([[np.nan if v is None else v] for v in found]))
    return Reliability(value, float(low[0]), float(high[0]), agree, len(counts))


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

    agreement: Reliability
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
        none = Reliability(None, None, None, None, 0, "no article was coded and read")
        return AgainstClassifier(none, np.zeros((options, options)))
    _, place, counts = np.unique(articles, return_inverse=True, return_counts=True)
    share = 1 / counts[place]
    confusion = confusion_matrix(said, read, labels=np.arange(options), sample_weight=share)
    agree, kappa = map(float, agree_and_kappa(said, read, share[None], options)[0])
    size = len(counts)
    if not np.isfinite(kappa):
        reason = "people and classifier always give the same one label"
        found = Reliability(None, None, None, agree, size, reason)
    elif size < LEAST_ARTICLES:
        reason = f"fewer than {LEAST_ARTICLES} articles: no interval"
        found = Reliability(kappa, None, None, agree, size, reason)
    else:
        weights = article_weights(np.arange(size), resamples, random)[:, place] * share
        low, high = percentile_interval(agree_and_kappa(said, read, weights, options)[:, 1:])
        found = Reliability(kappa, float(low[0]), float(high[0]), agree, size)
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


_FIGURES = dict.fromkeys(("read", "said", "corrected", "low", "high"), pl.Float64)

#: One row per set and leaning; ``leaning`` is null for the articles in which there is none that
#: can be told, whose shares are of all articles; the others are of the articles that have one.
#: ``read`` by the classifier alone, ``said`` by the labels alone, ``corrected`` by both, 0 to 1;
#: ``reason`` is why there is no interval.
SHARES = pl.Schema(
    {
        "regime": pl.String,
        "generation": pl.Int64,
        "leaning": pl.String,
        "articles": pl.Int64,
        "labels": pl.Int64,
        **_FIGURES,
        "reason": pl.String,
    }
)

#: One row per regime and leaning: `SHARES` of generation ``last`` less those of ``first``.
#: ``labels`` is the smaller number of both, ``paired`` how many prompts have a label in both;
#: ``holm`` corrects ``pvalue`` for all leanings and regimes (of two leanings, whose changes mirror
#: each other, one counts).
CHANGES = pl.Schema(
    {
        "regime": pl.String,
        "first": pl.Int64,
        "last": pl.Int64,
        "leaning": pl.String,
        "labels": pl.Int64,
        "paired": pl.Int64,
        **_FIGURES,
        "pvalue": pl.Float64,
        "holm": pl.Float64,
        "reason": pl.String,
    }
)


@dataclass(frozen=True)
class LabelFindings:
    """What the labels say.

    Attributes
    ----------
    options
        What coders could choose.
    coders
        Coder -> how many articles they coded.
    agreement
        Between coders.
    classifier
        Coders against the classifier: of all sets together, and of each (regime, generation).
    shares, changes
        `SHARES`, `CHANGES`.
    chains
        The seeds that the figures are of: how far other seeds would differ is not in them.
    """

    options: tuple[str, ...]
    coders: dict[str, int]
    agreement: Reliability
    classifier: AgainstClassifier
    by_set: dict[tuple[str, int], AgainstClassifier]
    shares: pl.DataFrame
    changes: pl.DataFrame
    chains: tuple[int, ...]


def findings(
    results: Results, key: Key, codes: pl.DataFrame, resamples: int = 1000, seed: int = 0
) -> LabelFindings:
    """Hold the labels against the run.

    Parameters
    ----------
    codes
        `CODES`: any subset of the rows that does not depend on what the texts say.
    resamples, seed
        Of the bootstraps of agreement.

    Raises
    ------
    InputError
        If the run has no leaning scores.
    """
    if not results.leaning_scores.height:
        raise InputError(f"{results.folder}: leaning was not scored in this run")
    sets = _coded_sets(results, key, codes)
    return LabelFindings(
        key.options,
        dict(codes.group_by("coder").len().sort("coder").iter_rows()),
        between_coders(codes, key.options, resamples, seeds.generator(seed, "label", "alpha")),
        *_against(sets, results.labels, key, codes, resamples, seed),
        _shares(sets, results.labels),
        _changes(sets, results.labels),
        key.chains,
    )


@dataclass(frozen=True)
class _Set:
    """A set with the names of its articles, so that labels and pairs are found."""

    coded: CodedSet
    units: dict[tuple[int, str], int]

    def labelled(self) -> set[tuple[int, str]]:
        """List the units that were coded."""
        there = self.coded.labelled
        return {unit for unit, place in self.units.items() if there[place]}


def _coded_sets(results: Results, key: Key, codes: pl.DataFrame) -> dict[tuple[str, int], _Set]:
    tables = tables_of(results)
    found = outcomes(tables)
    grid = list(article_grid(tables, set_keys(tables)).article_ids)
    clusters = source_codes(tables, grid)
    chosen = {(regime, g) for own in key.members.values() for regime, _, g, _ in own}
    said = _said(key, codes, results.labels)
    order = {REAL: -2, BASE: -1} | {r.label: i for i, r in enumerate(results.config.regimes)}
    blank = np.full(len(results.labels), np.nan)
    scored = found.scored(f"share:{results.labels[0]}")
    result = {}
    for regime, generation in sorted(chosen, key=lambda one: (order[one[0]], one[1])):
        rows = [
            (row, chain)
            for row, (name, chain, number) in enumerate(found.keys)
            if (name, number) == (regime, generation)
            and (regime in (REAL, BASE) or chain in key.chains)
        ]
        places = [(row, chain, at) for row, chain in rows for at in np.flatnonzero(scored[row])]
        read = [[found.read[name][row, at] for name in found.labels] for row, _, at in places]
        own = [said.get((regime, chain, generation, grid[at]), blank) for _, chain, at in places]
        coded = CodedSet(
            np.array([clusters[at] for *_, at in places]),
            np.nan_to_num(np.array(read).reshape(-1, len(blank))),
            np.array(own).reshape(-1, len(blank)),
        )
        units = {(chain, grid[at]): unit for unit, (_, chain, at) in enumerate(places)}
        result[regime, generation] = _Set(coded, units)
    return result


def _said(
    key: Key, codes: pl.DataFrame, labels: Sequence[str]
) -> dict[tuple[str, int, int, str], np.ndarray]:
    """Article -> the share of its coders who chose each leaning."""
    eye = dict(zip(labels, np.eye(len(labels)), strict=True))
    none = np.zeros(len(labels))
    result = {}
    for (name,), own in codes.group_by("id", maintain_order=True):
        mean = np.mean([eye.get(label, none) for label in own["label"]], axis=0)
        for member in key.members[str(name)]:
            result[member] = mean
    return result


def _against(
    sets: Mapping[tuple[str, int], _Set],
    labels: Sequence[str],
    key: Key,
    codes: pl.DataFrame,
    resamples: int,
    seed: int,
) -> tuple[AgainstClassifier, dict[tuple[str, int], AgainstClassifier]]:
    """Hold coders against the classifier; of all sets, a text that stands in several counts once.

    The last option stands for what the classifier cannot read, too.
    """
    options = options_of(labels)
    unread = len(labels)
    rows: dict[tuple[str, int], list[tuple[int, int, str]]] = {one: [] for one in sets}
    together: dict[tuple[str, str], tuple[int, int, str]] = {}
    for coder, name, label in codes.select("coder", "id", "label").iter_rows():
        for regime, chain, generation, article in key.members[name]:
            own = sets[regime, generation]
            place = own.units.get((chain, article))
            if place is None:
                continue
            reading = own.coded.read[place]
            read = int(np.argmax(reading)) if reading.any() else unread
            entry = (options.index(label), read, name)
            rows[regime, generation].append(entry)
            together.setdefault((coder, name), entry)
    size = max(len(options), unread + 1)

    def held(found: list[tuple[int, int, str]], purpose: str) -> AgainstClassifier:
        columns = zip(*found, strict=True) if found else ((), (), ())
        said, read, names = (np.array(column) for column in columns)
        random = seeds.generator(seed, "label", "kappa", purpose)
        return against_classifier(said, read, names, size, resamples, random)

    by_set = {one: held(found, f"{one[0]} {one[1]}") for one, found in rows.items()}
    return held(list(together.values()), "all"), by_set


def _too_few(sets: Sequence[_Set], figures: Sequence[Inference] | None) -> str:
    fewest = min(int(one.coded.labelled.sum()) for one in sets)
    if fewest < LEAST_LABELS:
        return f"{fewest} labels: an interval needs {LEAST_LABELS}"
    if figures and figures[0].sources < 2:
        return "all labels are of one source: no interval"
    if figures and not all(np.isfinite(one.error) for one in figures):
        return "without one of the sources no label is left: no interval"
    return ""


def _shares(sets: Mapping[tuple[str, int], _Set], labels: Sequence[str]) -> pl.DataFrame:
    rows = []
    for (regime, generation), one in sets.items():
        count = int(one.coded.labelled.sum())
        figures = inferences(one.coded) if count else None
        reason = _too_few([one], figures)
        read, said = _both_ways(one.coded)
        for place, leaning in enumerate([*labels, None]):
            corrected = _cells(figures[place] if figures else None, reason, 0.0)
            plain = _number(read[place]), _number(said[place])
            size = len(one.units)
            rows.append(
                (regime, generation, leaning, size, count, *plain, *corrected[:3], reason or None)
            )
    return pl.DataFrame(rows, schema=SHARES, orient="row")


def _changes(sets: Mapping[tuple[str, int], _Set], labels: Sequence[str]) -> pl.DataFrame:
    rows = []
    for regime in dict.fromkeys(name for name, _ in sets if name not in (REAL, BASE)):
        generations = sorted(generation for name, generation in sets if name == regime)
        first, last = generations[0], generations[-1]
        if first == last:
            continue
        ends = [sets[regime, first], sets[regime, last]]
        coded = [one.coded for one in ends]
        counts = [int(one.labelled.sum()) for one in coded]
        paired = len(ends[0].labelled() & ends[1].labelled())
        figures = inferences(*coded) if min(counts) else None
        reason = _too_few(ends, figures)
        before, after = (_both_ways(one) for one in coded)
        for place, leaning in enumerate([*labels, None]):
            plain = [_number(b[place] - a[place]) for a, b in zip(before, after, strict=True)]
            cells = _cells(figures[place] if figures else None, reason, -1.0)
            key = (regime, first, last, leaning, min(counts), paired)
            rows.append((*key, *plain, *cells, None, reason or None))
    frame = pl.DataFrame(rows, schema=CHANGES, orient="row")
    return _with_holm(frame, labels)


def _with_holm(frame: pl.DataFrame, labels: Sequence[str]) -> pl.DataFrame:
    counted = labels[-1:] if len(labels) == 2 else labels
    pvalues = frame["pvalue"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    family = frame["leaning"].is_in(list(counted)).fill_null(value=False).to_numpy()
    result = np.full(frame.height, np.nan)
    result[family] = holm(pvalues[family])
    frame = frame.with_columns(pl.Series("holm", result, dtype=pl.Float64).fill_nan(None))
    if len(labels) == 2:  # a change mirrors the other's
        other = pl.col("holm").max().over("regime")
        mirrored = pl.when(pl.col("leaning") == labels[0]).then(other).otherwise("holm")
        frame = frame.with_columns(mirrored.alias("holm"))
    return frame


def _both_ways(coded: CodedSet) -> tuple[np.ndarray, np.ndarray]:
    """Give shares as read and as said, each with that of no leaning at last."""
    there = coded.said[coded.labelled]
    none_read = 1 - coded.read.sum(axis=-1).mean() if len(coded.read) else np.nan
    none_said = 1 - there.sum(axis=-1).mean() if len(there) else np.nan
    return np.append(coded.as_read(), none_read), np.append(coded.as_said(), none_said)


def _cells(
    figure: Inference | None, reason: str, lowest: float
) -> tuple[float | None, float | None, float | None, float | None]:
    """Give value, interval within bounds, and p-value; nothing where there is none."""
    if figure is None:
        return None, None, None, None
    if reason:
        return _number(figure.value), None, None, None
    low, high = figure.interval()
    return _number(figure.value), max(low, lowest), min(high, 1.0), _number(figure.pvalue)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
