import re
import unicodedata
from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from biasloop.config import CorpusConfig
from biasloop.corpus.load import BAD_ROWS, Corpus
from biasloop.corpus.split import PARTED_ARTICLES, PARTS, nearest_units, repeated_texts, split_parts
from biasloop.errors import InputError
from biasloop.tables import ARTICLES

LABELS = [f"label {i}" for i in range(8)]


def corpus_of(rows, labels=None) -> Corpus:
    """Rows are (id, label, source)."""
    records = [
        {"article_id": i, "title": "", "body": f"b{i}", "label": label, "source": source}
        for i, label, source in rows
    ]
    frame = pl.DataFrame(records, schema=ARTICLES)
    found = labels or tuple(sorted({label for _, label, _ in rows}))
    return Corpus(frame, found, pl.DataFrame(schema=BAD_ROWS), "toy", "", "")


def sized(counts, sources=10) -> Corpus:
    return corpus_of(
        [
            (f"{label}-{i}", label, f"{label} s{i % sources}")
            for label, count in counts.items()
            for i in range(count)
        ]
    )


COUNTS = st.lists(st.integers(12, 60), min_size=2, max_size=8).map(
    lambda sizes: dict(zip(LABELS, sizes, strict=False))
)


def table(frame) -> dict[tuple[str, str], int]:
    return Counter(frame.select("label", "part").iter_rows())


@given(COUNTS, st.integers(0, 3), st.none() | st.integers(1, 3), st.integers(0, 2**31 - 1))
def test_sizes_are_what_was_asked_and_nothing_is_lost(counts, holdout, per_label, seed):
    config = CorpusConfig(
        articles_per_label=per_label, holdout_per_label=holdout, instrument_fraction=0.5
    )
    corpus = sized(counts)
    frame = split_parts(corpus, config, seed)
    assert frame.schema == PARTED_ARTICLES
    # One row per article, so no article is in two parts.
    assert frame.drop("part").equals(corpus.articles.sort("article_id"))
    assert set(frame["part"]) <= set(PARTS)
    found = table(frame)
    left = {label: n - round(n / 2) - holdout for label, n in counts.items()}
    real = per_label or min(left.values())
    for label, count in counts.items():
        assert found[label, "instrument"] == round(count / 2)
        assert found[label, "holdout"] == holdout
        assert found[label, "real"] == real
        assert found[label, "pretraining"] == left[label] - real


@given(COUNTS, st.integers(1, 3), st.none() | st.just(1), st.integers(0, 2**31 - 1))
def test_fresh_sets_are_as_large_as_the_real_one_which_stays(counts, sets, per_label, seed):
    corpus = sized(counts)
    plain = CorpusConfig(articles_per_label=per_label, holdout_per_label=1)
    frame = split_parts(corpus, plain.model_copy(update={"fresh_sets": sets}), seed)
    assert frame.drop("part").equals(corpus.articles.sort("article_id"))
    found = table(frame)
    left = {label: n - round(n / 2) - 1 for label, n in counts.items()}
    size = per_label or min(left.values()) // (1 + sets)
    for label in counts:
        each = [found[label, part] for part in ("real", "fresh-1", "fresh-2", "fresh-3")]
        assert each == [size] * (1 + sets) + [0] * (3 - sets)
        assert found[label, "pretraining"] == left[label] - size * (1 + sets)
    if per_label:
        # The sets are taken from what was pre-trained on: all other parts stay as they were.
        before = split_parts(corpus, plain, seed)
        for part in ("real", "holdout", "instrument"):
            assert before.filter(before["part"] == part).equals(frame.filter(frame["part"] == part))


@given(COUNTS, st.randoms(), st.sampled_from(["article", "source"]), st.integers(0, 2**31 - 1))
def test_the_order_of_rows_does_not_matter(counts, random, keep_apart, seed):
    config = CorpusConfig(
        articles_per_label=1, holdout_per_label=1, keep_apart=keep_apart, instrument_fraction=0.4
    )
    corpus = sized(counts)
    rows = list(corpus.articles.select("article_id", "label", "source").iter_rows())
    random.shuffle(rows)
    assert split_parts(corpus, config, seed).equals(split_parts(corpus_of(rows), config, seed))


@pytest.mark.parametrize("keep_apart", ["article", "source"])
def test_the_seed_decides(keep_apart):
    corpus = sized({"a": 60, "b": 50})
    config = CorpusConfig(articles_per_label=5, holdout_per_label=5, keep_apart=keep_apart)
    first, again, other = (split_parts(corpus, config, seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)
    instrument = [set(f.filter(part="instrument")["article_id"]) for f in (first, other)]
    assert instrument[0] != instrument[1]


SOURCED = st.lists(
    st.tuples(st.sampled_from(LABELS[:3]), st.integers(0, 25)), min_size=60, max_size=160
)


@given(SOURCED, st.integers(0, 100), st.floats(0.2, 0.7))
def test_no_source_is_on_both_sides_whatever_its_labels(drawn, seed, fraction):
    # Sources are drawn apart from labels, so most occur under several.
    corpus = corpus_of([(f"{i:04d}", label, f"s{s}") for i, (label, s) in enumerate(drawn)])
    config = CorpusConfig(
        articles_per_label=2,
        holdout_per_label=1,
        keep_apart="source",
        instrument_fraction=fraction,
    )
    try:
        frame = split_parts(corpus, config, seed)
    except InputError as error:
        if "too few" in str(error) or "no whole source" in str(error):
            reject()
        raise
    sides = frame.group_by("source").agg((pl.col("part") == "instrument").n_unique().alias("n"))
    assert sides["n"].max() == 1
    found = table(frame)
    for label in corpus.labels:
        assert found[label, "instrument"] >= 1
        assert found[label, "holdout"] == 1
        assert found[label, "real"] == 2


def test_with_many_small_sources_the_fraction_is_met():
    corpus = sized({"a": 200, "b": 100}, sources=40)
    config = CorpusConfig(articles_per_label=None, holdout_per_label=5, keep_apart="source")
    found = table(split_parts(corpus, config, 3))
    assert abs(found["a", "instrument"] - 100) <= 5
    assert abs(found["b", "instrument"] - 50) <= 3
    assert found["a", "real"] == found["b", "real"] == 100 - found["b", "instrument"] - 5


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=9),
    st.integers(0, 1000),
)
def test_the_greedy_choice_keeps_limits_and_no_single_unit_improves_it(units, seed):
    counts = np.array(units)
    targets = counts.sum(axis=0) // 2
    limits = targets + 1
    chosen = nearest_units(counts, targets, limits, np.random.default_rng(seed))
    total = counts[chosen].sum(axis=0)
    assert (total <= limits).all()
    distance = np.abs(total - targets).sum()
    for unit in range(len(counts)):
        other = chosen.copy()
        other[unit] = not other[unit]
        moved = counts[other].sum(axis=0)
        assert np.abs(moved - targets).sum() >= distance or (moved > limits).any()


def test_the_greedy_choice_of_several_labels_may_be_far_from_the_best():
    """At a limit every unit left may be of both labels: no bound holds, and none is promised."""
    counts = np.array([[5, 3], [2, 5], [2, 5], [5, 3], [5, 3], [2, 5], [2, 5], [5, 3]])
    targets = counts.sum(axis=0) // 2
    chosen = nearest_units(counts, targets, targets + 1, np.random.default_rng(359))
    best = [0, 3, 1, 2]  # two of each kind
    assert (counts[best].sum(axis=0) == targets).all()
    assert np.abs(counts[chosen].sum(axis=0) - targets).sum() > counts.sum(axis=1).max()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(0, 1000))
def test_the_greedy_choice_of_one_label_is_within_the_largest_unit(units, seed):
    # Short of the target by d, every unit left out is 2d or larger, or, beyond the limit, d + 2.
    counts = np.array(units)[:, None]
    targets = counts.sum(axis=0) // 2
    chosen = nearest_units(counts, targets, targets + 1, np.random.default_rng(seed))
    assert np.abs(counts[chosen].sum(axis=0) - targets).sum() <= counts.max()


def test_too_few_articles_says_counts_and_what_to_set():
    corpus = sized({"a": 100, "b": 60})
    with pytest.raises(InputError) as caught:
        split_parts(corpus, CorpusConfig(articles_per_label=30, holdout_per_label=10), 0)
    text = str(caught.value)
    assert "'b': 60 articles, of which 30 for the classifiers and 10 held out leave 20" in text
    assert "'a'" not in text
    assert "corpus.articles_per_label to at most 20" in text
    # The advice holds.
    split_parts(corpus, CorpusConfig(articles_per_label=20, holdout_per_label=10), 0)
    with pytest.raises(InputError, match="Bring more articles"):
        split_parts(corpus, CorpusConfig(articles_per_label=1, holdout_per_label=50), 0)


@pytest.mark.parametrize("keep_apart", ["article", "source"])
@pytest.mark.parametrize("per_label", [None, 1])
def test_a_label_with_one_article(keep_apart, per_label):
    corpus = sized({"a": 50, "b": 1})
    config = CorpusConfig(articles_per_label=per_label, holdout_per_label=0, keep_apart=keep_apart)
    with pytest.raises(InputError, match=r"too few.*\n.*'b': 1 articles"):
        split_parts(corpus, config, 0)


def test_sources_that_are_not_known_cannot_be_kept_apart():
    rows = [(f"{i}", "ab"[i % 2], "" if i < 7 else f"s{i}") for i in range(40)]
    config = CorpusConfig(articles_per_label=2, holdout_per_label=1, keep_apart="source")
    with pytest.raises(InputError, match=r"7 of 40 articles have no source.*keep_apart: article"):
        split_parts(corpus_of(rows), config, 0)


def test_a_label_of_one_source_cannot_be_kept_apart():
    rows = [(f"{i}", "ab"[i % 2], "only" if i % 2 else f"s{i}") for i in range(80)]
    config = CorpusConfig(articles_per_label=5, holdout_per_label=1, keep_apart="source")
    with pytest.raises(InputError, match=r"'b' \(1 sources, 40 articles\)"):
        split_parts(corpus_of(rows), config, 0)


def same_texts(articles) -> dict[str, list[str]]:
    """Ids by text as it reads, found without polars."""
    found: dict[str, list[str]] = {}
    for identity, body in articles.select("article_id", "body").iter_rows():
        plain = unicodedata.normalize("NFKC", body).replace("\u200b", "").replace("\xad", "")
        found.setdefault(" ".join(plain.split()), []).append(identity)
    return found


#: One text of several code points, as different sources write it.
SPELLINGS = [
    "Caf\u00e9 {} opens.", "Cafe\u0301 {} opens.", " Caf\u00e9  {}\nopens. ",
    "Caf\u00e9\u00a0{} opens.", "Caf\u00e9\u200b {} ope\u00adns.",
]  # fmt: skip


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 4)), min_size=120, max_size=160),
    st.sampled_from(["article", "source"]),
    st.none() | st.integers(1, 4),
    st.integers(0, 2**31 - 1),
)
@settings(max_examples=30, deadline=None)
def test_equal_texts_are_in_one_part_and_every_size_is_met(drawn, keep_apart, per_label, seed):
    rows = [(f"{i:04d}", LABELS[text % 2 if i % 9 else 0], f"s{text % 50}-{i % 3}")
            for i, (text, _) in enumerate(drawn)]  # fmt: skip
    corpus = corpus_of(rows)
    bodies = [SPELLINGS[spelling].format(text) for text, spelling in drawn]
    corpus = replace(corpus, articles=corpus.articles.with_columns(body=pl.Series(bodies)))
    config = CorpusConfig(
        articles_per_label=per_label, holdout_per_label=2, fresh_sets=1, keep_apart=keep_apart
    )
    try:
        frame = split_parts(corpus, config, seed)
    except InputError as error:
        if re.search("too few|no whole source|equal texts stay in one part", str(error)):
            reject()
        raise
    part = dict(frame.select("article_id", "part").iter_rows())
    groups = same_texts(corpus.articles)
    assert all(len({part[identity] for identity in ids}) == 1 for ids in groups.values())
    assert repeated_texts(frame) == sum(len(ids) for ids in groups.values() if len(ids) > 1)
    found = table(frame)
    size = per_label or found[LABELS[0], "real"]
    for label in corpus.labels:
        sizes = [found[label, name] for name in ("holdout", "real", "fresh-1")]
        assert sizes == [2, size, size]
        assert found[label, "instrument"] >= 1
    if keep_apart == "source":
        sides = frame.group_by("source").agg((pl.col("part") == "instrument").n_unique())
        assert sides["part"].max() == 1


@pytest.mark.parametrize("keep_apart", ["article", "source"])
def test_copies_that_cannot_be_shared_out_are_counted_and_refused(keep_apart):
    def parts_of(bodies, labels, **settings):
        rows = [(f"{i}", label, f"s{i}") for i, label in enumerate(labels)]
        corpus = corpus_of(rows)
        corpus = replace(corpus, articles=corpus.articles.with_columns(body=pl.Series(bodies)))
        config = CorpusConfig(holdout_per_label=1, keep_apart=keep_apart, **settings)
        return split_parts(corpus, config, 0)

    with pytest.raises(InputError, match=r"too few|no whole source|60 articles have the text"):
        parts_of(["one text"] * 60, ["a", "b"] * 30, articles_per_label=5)
    bodies = ["one text" if i % 2 else f"text {i}" for i in range(60)]
    with pytest.raises(InputError, match=r"equal texts stay in one part|share a text count as one"):
        parts_of(bodies, ["a", "b"] * 30, articles_per_label=5)
