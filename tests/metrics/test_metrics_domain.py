"""The grid of damage: real articles lie where they are not damaged, loops and scraps beyond."""

import numpy as np
import pytest

from biasloop.metrics.damage import Level, _steps_of_length, fit_domain, measure, read_by_all


def _domain(corpus):
    texts = read_by_all(corpus["body"].to_list(), 500)
    folds = [np.arange(start, len(texts), 5) for start in range(5)]
    return fit_domain(texts, folds)


def _places(domain, texts):
    return domain.place(measure(read_by_all(texts, 500), domain.vocabulary))


def test_measures_by_hand():
    found = measure(["a b a b a", "", "x"], frozenset("ab"))
    assert found["words"].tolist() == [5, 0, 1]
    assert found["oov"][0] == 0.0
    assert found["oov"][2] == 1.0
    assert np.isnan(found["oov"][1])
    assert found["distinct_3"][0] == 2 / 3
    assert found["repetition"][0] == 0.0


def test_repetition_is_of_the_whole_and_length_of_what_is_read():
    found = measure(["a b c d"], frozenset("abcd"), ["a b c d a b c d"])
    assert found["words"].tolist() == [4]
    assert found["distinct_3"].tolist() == [4 / 6]
    np.testing.assert_allclose(found["repetition"], 1 / 5)


def test_real_articles_lie_on_the_first_step_of_unknown_words(corpus, other_corpus):
    domain = _domain(corpus)
    places = _places(domain, other_corpus["body"].to_list())
    assert np.mean([domain.levels[place].oov[0] == 0 for place in places]) > 0.95
    assert np.mean(places == 0) > 0.9


def test_damage_moves_down_the_grid(corpus):
    domain = _domain(corpus)
    body = corpus["body"][0]
    first = body.split(".")[0] + ". "
    halved = " ".join(body.split()[: len(body.split()) // 2])
    places = _places(domain, [body, halved, first * 12, "", "one", "I'm here tonight. " * 40])
    assert places[0] == 0
    steps = [domain.levels[place].words for place in places[:3]]
    assert steps[0] > steps[1] > steps[2]
    assert places[3:].tolist() == [-1, -1, -1]
    assert _places(domain, ["xq zv wk ab cd ef gh ij"])[0] == -1


def test_the_levels_do_not_overlap_and_leave_no_gap(corpus):
    domain = _domain(corpus)
    worst = max(level.oov[1] for level in domain.levels)
    shortest = min(level.words[0] for level in domain.levels)
    random = np.random.default_rng(0)
    words = random.uniform(shortest, 300, 500)
    oov = random.uniform(0, worst, 500)
    inside = np.stack([level.has(words, oov) for level in domain.levels])
    assert (inside.sum(axis=0) == 1).all()


def test_a_level_comes_back_from_json():
    for level in (Level((7.5, float("inf")), (0.0, 0.2)), Level((5, 7.5), (0.2, 0.4), end=True)):
        assert Level.from_json(level.to_json()) == level


def test_unknown_words_of_a_fold_are_those_of_the_other_folds():
    texts = ["common owna pad pad", "common ownb pad pad"]
    domain = fit_domain(texts, [np.array([0]), np.array([1])])
    assert domain.levels[0].oov == (0.0, 1 / 3)
    assert domain.vocabulary == frozenset({"common", "owna", "ownb", "pad"})


@pytest.mark.parametrize(("median", "shortest"), [(30, 5), (240, 21), (500, 22), (3000, 33)])
def test_no_step_is_shorter_than_what_intervals_were_seen_to_hold_for(median, shortest):
    """A sixteenth of the median, or 20 words; never less than five."""
    edges = [low for low, _ in _steps_of_length(median)]
    assert edges[0] == pytest.approx(median / np.sqrt(2))
    assert np.allclose(np.diff(np.log2(edges)), -1)
    assert edges[-1] == pytest.approx(shortest, abs=1)


def test_a_step_beyond_the_shortest_that_is_read_is_measured_only():
    texts = [f"common own{chr(97 + i)} " + "pad " * (200 + i) for i in range(20)]
    domain = fit_domain(texts, [np.arange(10), np.arange(10, 20)])
    read = {level.words for level in domain.levels if not level.end}
    beyond = {level.words for level in domain.levels if level.end}
    shortest = min(low for low, _ in read)
    assert beyond == {(shortest / 2, shortest)}
