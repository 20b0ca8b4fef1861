"""Diversity against brute force: self-BLEU, jackknife, distinct n-grams."""

import math
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biasloop.metrics import METRICS
from biasloop.metrics.diversity import bleus, self_bleu, vocabulary

TEXTS = st.lists(st.lists(st.sampled_from("abcd"), max_size=14), min_size=2, max_size=6)


def _plain_bleu(hypothesis, references):
    """Sentence BLEU-4 with clipping and method-1 smoothing, one n-gram at a time."""
    log = 0.0
    for order in (1, 2, 3, 4):
        grams = [tuple(hypothesis[i : i + order]) for i in range(len(hypothesis) - order + 1)]
        matched = 0
        for gram in set(grams):
            best = max(
                sum(tuple(r[i : i + order]) == gram for i in range(len(r) - order + 1))
                for r in references
            )
            matched += min(grams.count(gram), best)
        log += 0.25 * math.log((matched if matched else 0.1) / len(grams))
    closest = sorted(references, key=lambda r: (abs(len(r) - len(hypothesis)), len(r)))[0]
    short = len(hypothesis) < len(closest)
    return math.exp(log) * (math.exp(1 - len(closest) / len(hypothesis)) if short else 1.0)


@settings(deadline=None)
@given(TEXTS)
def test_bleus_without_each_reference_against_plain_ones(texts):
    found = bleus(texts)
    for row, text in enumerate(texts):
        for left_out in range(len(texts)):
            references = [t for i, t in enumerate(texts) if i not in (row, left_out)]
            if len(text) < 4 or not references:
                assert math.isnan(found[row, left_out])
            else:
                expected = _plain_bleu(text, references)
                assert found[row, left_out] == pytest.approx(expected), (row, left_out)


@settings(deadline=None)
@given(TEXTS)
def test_self_bleu_is_the_set_s_and_its_spread_the_jackknife_s(texts):
    def of_set(some):
        values = [
            _plain_bleu(text, some[:i] + some[i + 1 :])
            for i, text in enumerate(some)
            if len(text) >= 4
        ]
        return sum(values) / len(values)

    values, n = self_bleu(texts), len(texts)
    if n < 3 or sum(len(text) >= 4 for text in texts) < 2:
        assert values == [None] * n
        return
    assert np.mean(values) == pytest.approx(of_set(texts))
    deleted = np.array([of_set(texts[:i] + texts[i + 1 :]) for i in range(n)])
    error = math.sqrt((n - 1) / n * ((deleted - deleted.mean()) ** 2).sum())
    assert np.std(values, ddof=1) / math.sqrt(n) == pytest.approx(error, abs=1e-12)


def test_copies_have_self_bleu_one_and_few_texts_have_none():
    assert self_bleu([list("abcdef")] * 3) == pytest.approx([1.0] * 3)
    assert self_bleu([list("abcdef")] * 2) == [None, None]
    assert self_bleu([]) == []


@given(TEXTS)
def test_jackknife_against_deleting_each(texts):
    def size(some):
        return len({word for text in some for word in text})

    n = len(texts)
    deleted = np.array([size(texts[:i] + texts[i + 1 :]) for i in range(n)], dtype=float)
    error = math.sqrt((n - 1) / n * ((deleted - deleted.mean()) ** 2).sum())
    value, low, high = vocabulary(texts)
    assert value == size(texts)
    assert low == pytest.approx(value - 1.959964 * error, abs=1e-4)
    assert high == pytest.approx(value + 1.959964 * error, abs=1e-4)


def test_one_text_has_a_vocabulary_without_interval():
    assert vocabulary([["a", "b", "a"]]) == (2.0, None, None)
    assert vocabulary([]) == (0.0, None, None)


def _score(make_context, articles, seed=0, **settings):
    context = make_context(articles, seed=seed, **settings)
    return METRICS["diversity"].load(context, None).score(articles)


def test_scores_of_the_contract(make_context, corpus):
    scored = _score(make_context, corpus, self_bleu_articles=7)
    counts = dict(scored.scores.group_by("metric").len().iter_rows())
    whole = dict.fromkeys(("distinct_1", "distinct_2", "distinct_3", "repetition"), len(corpus))
    assert counts == whole | {"self_bleu": 7}
    assert scored.set_scores["metric"].to_list() == ["vocabulary"]
    body = corpus["body"][0].lower().replace(".", "").split()
    trigrams = Counter(zip(body, body[1:], body[2:], strict=False))
    first = scored.scores.filter(metric="distinct_3")["value"][0]
    assert first == len(trigrams) / sum(trigrams.values())


def test_the_sample_goes_by_id_not_by_order(make_context, corpus):
    def sampled(articles, seed=0):
        scores = _score(make_context, articles, seed, self_bleu_articles=9).scores
        return {
            row["article_id"]: row["value"]
            for row in scores.filter(metric="self_bleu").iter_rows(named=True)
        }

    expected = sampled(corpus)
    turned = sampled(corpus.reverse())
    assert turned == pytest.approx(expected)
    assert sampled(corpus, seed=1).keys() != expected.keys()


def test_hostile_text_and_none(make_context, hostile, corpus):
    scored = _score(make_context, hostile)
    # What an article has in the set's self-BLEU is known of an empty one too, and may lie outside.
    own = scored.scores.filter(pl.col("metric") != "self_bleu")
    empty = own.filter(article_id="h0")
    assert empty["value"].null_count() == len(empty)
    rest = own["value"].drop_nulls()
    assert rest.is_between(0, 1).all()
    assert _score(make_context, corpus.clear()).set_scores["value"].to_list() == [0.0]


def test_fitting_writes_nothing(make_context, corpus, tmp_path):
    METRICS["diversity"].fit(make_context(corpus), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_loops_are_less_diverse(make_context, corpus):
    loops = corpus.with_columns(body=pl.lit("i'm here tonight. " * 40))
    names = ("distinct_1", "distinct_3", "repetition", "self_bleu")
    real, looped = (
        {n: _score(make_context, f).scores.filter(metric=n)["value"].mean() for n in names}
        for f in (corpus, loops)
    )
    assert looped["distinct_3"] < 0.1 < real["distinct_3"]
    assert looped["repetition"] > 0.9 > real["repetition"]
    assert looped["self_bleu"] == pytest.approx(1.0)
