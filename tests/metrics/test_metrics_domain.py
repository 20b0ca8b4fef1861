"""The domain check: real articles are inside, loops and scraps are outside."""

import numpy as np

from biasloop.metrics.domain import Domain, fit_domain, measure


def _domain(corpus):
    texts = corpus["body"].to_list()
    folds = [np.arange(start, len(texts), 5) for start in range(5)]
    return fit_domain(texts, folds, np.full(len(texts), 0.9))


def _outside(domain, texts, confidence=0.9):
    measures = measure(texts, domain.vocabulary)
    return domain.outside(measures | {"confidence": np.full(len(texts), confidence)})


def test_measures_by_hand():
    found = measure(["a b a b a", "", "x"], frozenset("ab"))
    assert found["words"].tolist() == [5, 0, 1]
    assert found["oov"][0] == 0.0
    assert found["oov"][2] == 1.0
    assert np.isnan(found["oov"][1])
    assert found["distinct_3"][0] == 2 / 3
    assert found["repetition"][0] == 0.0


def test_real_articles_are_nearly_all_inside(corpus, other_corpus):
    assert _outside(_domain(corpus), other_corpus["body"].to_list()).mean() <= 0.1


def test_collapse_is_outside(corpus):
    domain = _domain(corpus)
    body = corpus["body"][0]
    first = body.split(".")[0] + ". "
    texts = [first * 12, "", "one", "I'm here tonight. " * 40, "xq zv wk " * 30, body[:60]]
    assert _outside(domain, texts).all()


def test_each_side_is_one_sided(corpus):
    domain = _domain(corpus)
    sides = {
        name: [k for k, v in bound.items() if v is None] for name, bound in domain.bounds.items()
    }
    assert sides == {
        "words": ["high"],
        "distinct_3": ["high"],
        "confidence": ["high"],
        "oov": ["low"],
        "repetition": ["low"],
    }


def test_an_unsure_classifier_puts_no_article_outside(corpus):
    """A gate on confidence would choose articles by what the classifier answers."""
    domain = _domain(corpus)
    body = [corpus["body"][0]]
    assert domain.bounds["confidence"]["low"] > 0.6
    assert not _outside(domain, body, confidence=0.6).any()


def test_unknown_words_of_a_fold_are_those_of_the_other_folds():
    texts = ["common owna pad pad", "common ownb pad pad"]
    domain = fit_domain(texts, [np.array([0]), np.array([1])], np.array([0.9, 0.8]))
    assert domain.bounds["oov"]["high"] == 1 / 3
    assert domain.vocabulary == frozenset({"common", "owna", "ownb", "pad"})


def test_no_bound_means_no_judgement():
    domain = Domain(frozenset(), {"oov": {"low": None, "high": None}})
    assert not domain.outside({"oov": np.array([0.5])}).any()
