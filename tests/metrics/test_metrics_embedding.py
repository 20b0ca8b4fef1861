"""Vendi score and MAUVE: closed forms, brute force, the packages, and planted truth."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from biasloop.errors import InputError
from biasloop.metrics import METRICS
from biasloop.metrics.embedding import mauve, mauve_values, vendi, vendi_values

ROWS = arrays(np.float64, st.tuples(st.integers(4, 9), st.just(3)), elements=st.floats(0.1, 1.0))
COUNTS = arrays(np.int64, (2, 6), elements=st.integers(0, 40)).filter(lambda c: c.sum(1).all())


def _kernel(rows):
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T


def test_vendi_of_groups_of_equal_items_is_their_entropy():
    sizes = np.array([5, 3, 2])
    kernel = _kernel(np.repeat(np.eye(3), sizes, axis=0))
    shares = sizes / 10
    assert vendi(kernel) == pytest.approx(math.exp(-(shares * np.log(shares)).sum()))
    assert vendi(np.ones((4, 4))) == pytest.approx(1)
    assert vendi(np.eye(4)) == pytest.approx(4)


@given(ROWS)
@settings(max_examples=30)
def test_vendi_values_have_its_mean_and_the_jackknife_s_spread(rows):
    kernel, n = _kernel(rows), len(rows)
    values = vendi_values(kernel)
    assert values.mean() == pytest.approx(vendi(kernel))
    deleted = np.array([vendi(_kernel(np.delete(rows, i, axis=0))) for i in range(n)])
    error = math.sqrt((n - 1) / n * ((deleted - deleted.mean()) ** 2).sum())
    assert values.std(ddof=1) / math.sqrt(n) == pytest.approx(error, abs=1e-9)


@given(ROWS)
@settings(max_examples=20)
def test_vendi_against_the_package(rows):
    package = pytest.importorskip("vendi_score.vendi")
    assert vendi(_kernel(rows)) == pytest.approx(package.score_dual(rows), rel=1e-6)


def test_mauve_of_known_distributions():
    p = np.array([0.5, 0.5, 0.0, 0.0])
    assert mauve(p, p) == pytest.approx(1)
    # Nothing in common: KL(Q|R) = -ln(1 - w) and KL(P|R) = -ln w, so y = (1 - x^(1/c))^c, and the
    # area is a beta function.
    apart = 5 * math.gamma(5) * math.gamma(6) / math.gamma(11)
    assert mauve(p, p[::-1]) == pytest.approx(apart, abs=2e-3)


@given(COUNTS)
@settings(max_examples=30)
def test_mauve_is_symmetric_and_within_its_bounds(counts):
    p, q = counts / counts.sum(axis=1, keepdims=True)
    assert mauve(p, q) == pytest.approx(mauve(q, p), abs=1e-9)
    assert -1e-9 <= mauve(p, q) <= 1 + 1e-9


def _clouds(shares, size, random):
    """Points around far apart centres, each with its share."""
    centre = random.choice(len(shares), size, p=shares)
    rows = np.eye(len(shares))[centre] + 0.01 * random.normal(size=(size, len(shares)))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), centre


def test_mauve_values_find_clusters_and_their_jackknife():
    random = np.random.default_rng(3)
    real, of_real = _clouds([0.25] * 4, 40, random)
    own, of_own = _clouds([0.6, 0.2, 0.1, 0.1], 44, random)
    both = np.concatenate([real, own])
    values = mauve_values(both @ both.T, 40, [0, 1])

    def of(places):
        shares = [np.bincount(some, minlength=4) / len(some) for some in (places, of_real)]
        return float(mauve(*shares))

    assert values.mean() == pytest.approx(of(of_own))
    deleted = np.array([of(np.delete(of_own, i)) for i in range(44)])
    error = math.sqrt(43 / 44 * ((deleted - deleted.mean()) ** 2).sum())
    assert values.std(ddof=1) / math.sqrt(44) == pytest.approx(error)


def test_mauve_against_the_package():
    package = pytest.importorskip("mauve")
    random = np.random.default_rng(4)
    real, _ = _clouds([0.25] * 4, 40, random)
    own, _ = _clouds([0.6, 0.2, 0.1, 0.1], 44, random)
    both = np.concatenate([real, own])
    found = package.compute_mauve(p_features=own, q_features=real, seed=0)
    assert mauve(found.p_hist, found.q_hist) == pytest.approx(found.mauve, abs=1e-6)
    assert mauve_values(both @ both.T, 40, [0]).mean() == pytest.approx(found.mauve, abs=1e-6)


def _fitted(make_context, folder, corpus, **own):
    context = make_context(corpus, embedding=own)
    METRICS["embedding"].fit(context, folder)
    return METRICS["embedding"].load(make_context(corpus[:0], embedding=own), folder)


def _means(scored):
    return dict(scored.scores.group_by("metric").agg(pl.mean("value")).iter_rows())


def test_real_text_is_diverse_and_like_real_text_and_copies_are_neither(
    make_context, corpus, other_corpus, tmp_path
):
    metric = _fitted(make_context, tmp_path, corpus, articles=30)
    real = metric.score(other_corpus)
    assert dict(real.scores.group_by("metric").len().iter_rows()) == {"vendi": 30, "mauve": 30}
    copies = other_corpus.with_columns(pl.lit(other_corpus["body"][0]).alias("body"))
    good, bad = _means(real), _means(metric.score(copies))
    assert bad["vendi"] == pytest.approx(1)
    assert good["vendi"] > 5
    assert good["mauve"] > 2 * bad["mauve"]
    turned = metric.score(other_corpus[::-1])
    assert set(turned.scores["article_id"]) == set(real.scores["article_id"])
    assert _means(turned)["vendi"] == pytest.approx(good["vendi"])


def test_hostile_text_has_no_figure_or_one_and_never_an_error(
    make_context, corpus, hostile, tmp_path
):
    metric = _fitted(make_context, tmp_path, corpus)
    scores = metric.score(hostile).scores
    assert scores.filter(pl.col("article_id") == "h0")["value"].to_list() == [None, None]
    assert metric.score(hostile[:1]).scores["value"].null_count() == 2
    assert metric.score(hostile[:0]).scores.height == 0


def test_few_real_articles_are_refused(make_context, corpus, tmp_path):
    with pytest.raises(InputError, match="instrument_fraction"):
        METRICS["embedding"].fit(make_context(corpus[:9]), tmp_path)
