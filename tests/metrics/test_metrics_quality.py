"""The quality metric, fitted on an invented corpus: graded texts come out in their order."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biasloop.config import QualityConfig
from biasloop.errors import InputError, StoreError
from biasloop.metrics import METRICS, quality_classifier
from biasloop.metrics.base import CARD_FILE
from biasloop.metrics.quality import Quality, quality_index
from biasloop.metrics.quality_classifier import expand, fit_quality, load_quality
from biasloop.metrics.sentence_features import Reading, read_sentences
from biasloop.metrics.tokenization import sentences, tokens


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("quality")


@pytest.fixture(scope="module")
def metric(corpus, folder):
    from biasloop.config import MetricsConfig
    from biasloop.metrics.base import FitContext

    context = FitContext(MetricsConfig(), ("left", "right"), corpus, None, 0)
    METRICS["quality"].fit(context, folder)
    return METRICS["quality"].load(context, folder)


def _mean(metric, articles, bodies):
    frame = articles[: len(bodies)].with_columns(body=pl.Series(bodies, dtype=pl.String))
    return metric.score(frame).scores["value"].mean()


def test_the_index_by_hand():
    graded = np.array([[0.1, 0.1, 0.2, 0.6], [0.7, 0.1, 0.1, 0.1], [0.1, 0.5, 0.3, 0.1]])
    assert quality_index(graded) == pytest.approx((3 * 0.6 + 0 * 0.7 + 1 * 0.5) / 3)
    assert quality_index(np.zeros((0, 4))) == 0.0


def graded_by_length(articles):
    """Grade sentences by their characters alone, so that every other split has another index."""
    levels = [[np.eye(4)[len(one) % 4] * 0.6 + 0.1 for one in own] for own in articles]
    return [np.array(own).reshape(-1, 4) for own in levels]


@given(
    body=st.text(st.sampled_from("aB.!? \n3"), max_size=60) | st.text(max_size=20),
    title=st.text(st.sampled_from("aB. "), max_size=9),
)
def test_full_stops_and_the_title_as_the_authors_script_has_them(body, title):
    text = f'"title: {title}\nbody: {body}"'
    levels = []
    for sentence in text.split("."):
        if sentence.strip():
            scores = np.eye(4)[len(sentence.strip()) % 4] * 0.6 + 0.1
            levels.append(scores.argmax() * scores.max())
    article = pl.DataFrame({"article_id": ["a"], "title": [title], "body": [body]})
    own = QualityConfig(sentence_end="full-stop", input='"title: {title}\nbody: {body}"')
    found = Quality(graded_by_length, own).score(article).scores["value"]
    assert found.to_list() == pytest.approx([sum(levels) / len(levels) if levels else 0])
    plain = Quality(graded_by_length, QualityConfig()).score(article).scores["value"]
    assert plain[0] == quality_index(graded_by_length([sentences(body)])[0])


def test_other_real_text_is_clean_and_gibberish_is_not(metric, other_corpus):
    rng = np.random.default_rng(0)
    real = other_corpus["body"].to_list()
    shuffled = [" ".join(rng.permutation(body.replace(".", "").split())) + "." for body in real]
    noise = ["".join(rng.permutation(list(body))) for body in real]
    loops = [(sentences(body)[0] + " ") * 30 for body in real]
    scores = {
        name: _mean(metric, other_corpus, bodies)
        for name, bodies in {
            "real": real,
            "shuffled": shuffled,
            "noise": noise,
            "loops": loops,
        }.items()
    }
    assert scores["real"] > 2.3
    assert scores["shuffled"] < 1.5
    assert scores["loops"] < 1.5
    assert scores["noise"] < 0.6


def test_the_more_loops_the_lower(metric, other_corpus):
    split = [sentences(body) for body in other_corpus["body"]]
    by_share = []
    for kept in (1.0, 0.6, 0.3, 0.1):
        few = [s[: max(1, int(len(s) * kept))] for s in split]
        bodies = [" ".join((f * 40)[: len(s)]) for f, s in zip(few, split, strict=True)]
        by_share.append(_mean(metric, other_corpus, bodies))
    assert by_share == sorted(by_share, reverse=True)


def test_the_card(metric, folder):
    card = json.loads((folder / CARD_FILE).read_text())
    held_out = card["held_out"]["articles"]
    assert (
        card["labels"] == held_out["labels"] == ["noise", "word salad", "mild gibberish", "clean"]
    )
    assert card["held_out"]["sources"] is None
    assert held_out["accuracy"] > 0.8
    assert held_out["expected_calibration_error"] < 0.05
    assert held_out["n"] == card["trained_on"] == np.sum(held_out["confusion"])
    assert any("does not measure" in note for note in card["notes"])


def test_fitting_twice_gives_the_same_bytes(metric, folder, corpus, make_context, tmp_path):
    METRICS["quality"].fit(make_context(corpus), tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {
        p.name: p.read_bytes() for p in folder.iterdir()
    }


def test_loaded_gives_the_fitted_ones_bits(corpus, other_corpus, tmp_path):
    fitted = fit_quality(corpus["body"].to_list()[:40], 1).classifier
    fitted.save(tmp_path)
    articles = [sentences(body) for body in other_corpus["body"]]
    pairs = zip(
        fitted.probabilities(articles), load_quality(tmp_path).probabilities(articles), strict=True
    )
    assert all(np.array_equal(one, other) for one, other in pairs)


def test_an_article_scores_the_same_alone_and_among_others(metric, other_corpus):
    together = metric.score(other_corpus).scores["value"].to_list()
    alone = [metric.score(other_corpus[row]).scores["value"][0] for row in range(5)]
    assert together[:5] == pytest.approx(alone, abs=1e-12)


def test_hostile_text_has_an_index(metric, hostile):
    values = metric.score(hostile).scores["value"]
    assert values.is_between(0, 3).all()
    by_id = dict(zip(hostile["body"], values, strict=True))
    for nothing in ("", " \n\t ", "\0", ".", "." * 5000):
        assert by_id[nothing] == 0.0


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_has_an_index(metric, hostile, body):
    value = metric.score(hostile[:1].with_columns(body=pl.lit(body))).scores["value"][0]
    assert 0.0 <= value <= 3.0


def test_no_article_gives_no_rows(metric, corpus):
    assert metric.score(corpus.clear()).scores.is_empty()


def test_a_sentence_is_read_against_those_before_it():
    first, second, third = read_sentences(["We will go on.", "We will go home.", "We will go on."])
    assert (first.echo, first.said_before) == (0.0, 0)
    assert second.echo == pytest.approx(1 / 3)  # "we will go", of three trigrams
    assert (third.echo, third.said_before) == (1.0, 1)
    reading = Reading()
    reading.add(first)
    assert reading.look("We will go on.", repeats=2).said_before == 3


def test_expansion_has_every_product_and_is_bounded():
    rows = np.array([[2.0, -1.0], [1e9, -1e9]])
    found = expand(rows, np.zeros(2), np.ones(2))
    assert found[0].tolist() == [2.0, -1.0, 4.0, -2.0, 1.0]
    assert np.abs(found).max() == 16.0


def test_text_is_needed(corpus, make_context, tmp_path):
    empty = corpus.with_columns(body=pl.lit(" "))
    with pytest.raises(InputError, match="fewer than two articles with text"):
        METRICS["quality"].fit(make_context(empty), tmp_path)
    short = corpus.with_columns(body=pl.lit("Yes. No. Thank you. Yes."))
    with pytest.raises(InputError, match="too few sentences of four words"):
        METRICS["quality"].fit(make_context(short), tmp_path)
    with pytest.raises(StoreError, match="quality instrument"):
        METRICS["quality"].load(make_context(corpus), tmp_path)


@given(
    st.lists(st.lists(st.sampled_from(["One two.", "Three?", "Two one"]), max_size=4), min_size=2),
    st.integers(0, 12),
)
def test_a_large_corpus_is_read_as_far_as_it_is_used(articles, most):
    bodies = ["\n\n".join(article) for article in articles]
    counts = [sum(len(tokens(s)) for s in sentences(body)) for body in bodies]
    within = [end for end in range(len(bodies) + 1) if sum(counts[:end]) <= most]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality_classifier, "MOST_TOKENS", most)
        split, texts = quality_classifier._read(bodies)
    used = bodies[: max(2, *within)]
    assert split == [sentences(body) for body in used]
    assert texts == [[tokens(s.lower()) for s in sentences(body)] for body in used]
