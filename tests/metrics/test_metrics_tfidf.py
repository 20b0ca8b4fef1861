"""TF-IDF per fold without recounting, against scikit-learn refitted on the fold."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from biasloop.metrics.classifier import (
    CANDIDATES,
    Terms,
    TfidfCandidate,
    TfidfEncoder,
    fit_linear,
    fit_second,
)

#: By which first classifier's features the second has these.
_OTHER = {"word-tfidf": "character-tfidf", "character-tfidf": None}


def _oracle(terms: Terms) -> TfidfVectorizer:
    pattern = {"token_pattern": r"(?u)\b\w[\w'’]*"} if terms.analyzer == "word" else {}
    return TfidfVectorizer(
        analyzer=terms.analyzer,
        ngram_range=(terms.shortest, terms.longest),
        min_df=terms.least_articles,
        sublinear_tf=True,
        **pattern,
    )


@pytest.mark.parametrize("name", ["word-tfidf", "character-tfidf"])
def test_a_fold_is_encoded_as_if_refitted(corpus, name):
    texts = corpus["body"].to_list()
    candidate = CANDIDATES[name]
    train, test = np.arange(0, 60), np.arange(60, 90)
    ours, held_out = candidate.prepare(texts).encode(train, test)
    oracle = _oracle(candidate.terms)
    theirs = oracle.fit_transform([texts[i] for i in train])
    np.testing.assert_allclose(ours.toarray(), theirs.toarray(), atol=1e-12)
    expected = oracle.transform([texts[i] for i in test])
    np.testing.assert_allclose(held_out.toarray(), expected.toarray(), atol=1e-12)


@pytest.mark.parametrize("name", ["word-tfidf", "character-tfidf"])
def test_saved_and_restored_it_encodes_to_the_bit(corpus, name):
    texts = corpus["body"].to_list()
    candidate = CANDIDATES[name]
    prepared = candidate.prepare(texts)
    encoder = prepared.encoder()
    restored = candidate.restore(*encoder.save())
    fitted, _ = prepared.encode(np.arange(len(texts)))
    for other in (encoder.encode(texts), restored.encode(texts)):
        assert np.array_equal(fitted.toarray(), other.toarray())


@pytest.mark.parametrize("name", ["word-tfidf", "character-tfidf"])
def test_reading_in_pieces_is_as_in_one(corpus, name, monkeypatch):
    texts = corpus["body"].to_list()[:60]
    truth = np.arange(60) % 3
    whole = fit_second(texts, truth, 3, _OTHER[name])
    expected = whole.probabilities(texts)
    monkeypatch.setattr(TfidfEncoder, "at_once", 11)
    pieces = fit_second(texts, truth, 3, _OTHER[name])
    assert pieces.encoder.save()[0] == whole.encoder.save()[0]
    assert np.array_equal(pieces.encoder.save()[1]["idf"], whole.encoder.save()[1]["idf"])
    assert np.array_equal(pieces.linear.coefficients, whole.linear.coefficients)
    assert np.array_equal(pieces.probabilities(texts), expected)
    assert pieces.probabilities([]).shape == (0, 3)


def test_texts_without_a_term_are_encoded_as_nothing():
    candidate = TfidfCandidate("t", Terms("word", 1, 1, 1), 1.0)
    encoder = candidate.prepare(["", "!!", "..."]).encoder()
    features = encoder.encode(["", "word"])
    assert features.shape == (2, 0)
    linear = fit_linear(features, np.array([0, 1]), 2, 1.0)
    assert linear.probabilities(features).tolist() == [[0.5, 0.5], [0.5, 0.5]]
