"""The n-gram model against a plain dictionary implementation, and as a distribution."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasloop.metrics.sentence_features import END, FIRST, START, NgramModel, fit_ngrams

SIZE = FIRST + 3
SEQUENCES = st.lists(st.lists(st.integers(2, SIZE - 1), max_size=8), min_size=1, max_size=8)


class Plain:
    """Interpolated Kneser-Ney with dictionaries, straight from the definition."""

    def __init__(self, sequences, order):
        self.order, self.tables = order, []
        seen = defaultdict(Counter)
        for sequence in sequences:
            padded = [START] * (order - 1) + sequence + [END]
            for at in range(order - 1, len(padded)):
                for length in range(1, order + 1):
                    seen[length][tuple(padded[at - length + 1 : at + 1])] += 1
        for length in range(1, order + 1):
            if length == order:
                self.tables.append(dict(seen[order]))
            else:
                self.tables.append(dict(Counter(gram[1:] for gram in seen[length + 1])))

    def probability(self, history, symbol, length=None):
        length = self.order if length is None else length
        if length == 0:
            return 1 / (SIZE - 1)
        context = tuple(history[len(history) - length + 1 :])
        table = {g: c for g, c in self.tables[length - 1].items() if g[:-1] == context}
        lower = self.probability(history, symbol, length - 1)
        total = sum(table.values())
        if not total:
            return lower
        count = table.get((*context, symbol), 0)
        return max(count - 0.75, 0) / total + 0.75 * len(table) / total * lower


def _arrays(sequences):
    return [np.array(sequence, dtype=np.int64) for sequence in sequences]


@given(SEQUENCES, SEQUENCES, st.integers(1, 3))
def test_against_the_plain_model(train, test, order):
    model, plain = fit_ngrams(_arrays(train), order, SIZE), Plain(train, order)
    rows, seen = model.log_probabilities(_arrays(test))
    expected, expected_seen = [], []
    for sequence in test:
        padded = [START] * (order - 1) + sequence + [END]
        for at in range(order - 1, len(padded)):
            history = padded[:at]
            expected.append([plain.probability(history, padded[at], k + 1) for k in range(order)])
            lengths = [
                k
                for k in range(1, order + 1)
                if tuple(padded[at - k + 1 : at + 1]) in plain.tables[k - 1]
            ]
            expected_seen.append(max(lengths, default=0))
    np.testing.assert_allclose(np.exp(rows.T), expected, rtol=1e-10)
    assert seen.tolist() == expected_seen


@given(SEQUENCES, st.lists(st.integers(2, SIZE - 1), max_size=4))
def test_it_is_a_distribution_after_any_history(train, history):
    model = fit_ngrams(_arrays(train), 3, SIZE)
    total = 0.0
    for symbol in range(2, SIZE):
        rows, _ = model.log_probabilities([np.array([*history, symbol])])
        total += np.exp(rows[-1][len(history)])
    rows, _ = model.log_probabilities([np.array(history, dtype=np.int64)])
    assert total + np.exp(rows[-1][-1]) == pytest.approx(1.0)


@given(SEQUENCES)
def test_arrays_bring_it_back(train):
    model = fit_ngrams(_arrays(train), 3, SIZE)
    again = NgramModel.from_arrays("m", model.arrays("m"))
    for one, other in zip(
        model.log_probabilities(_arrays(train)),
        again.log_probabilities(_arrays(train)),
        strict=True,
    ):
        assert np.array_equal(one, other)


def test_too_many_symbols_are_refused():
    with pytest.raises(ValueError, match="63 bits"):
        fit_ngrams([np.array([3])], 4, 2**16)
