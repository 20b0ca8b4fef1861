"""The leaning metric, fitted on an invented corpus whose truth is known."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biasloop.analysis import instrument_confusion
from biasloop.errors import InputError, StoreError
from biasloop.metrics import METRICS, metric_kind
from biasloop.metrics.base import CARD_FILE
from biasloop.metrics.classifier import fit_builtin, load_builtin


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("leaning")


@pytest.fixture(scope="module")
def fitted(corpus, folder):
    from biasloop.config import MetricsConfig
    from biasloop.metrics.base import FitContext

    context = FitContext(MetricsConfig(), ("left", "right"), corpus, None, 0)
    METRICS["leaning"].fit(context, folder)
    return METRICS["leaning"].load(context, folder)


@pytest.fixture
def card(fitted, folder):
    return json.loads((folder / CARD_FILE).read_text())


def test_it_reads_new_articles(fitted, other_corpus):
    scored = fitted.score(other_corpus)
    best = (
        scored.leaning_scores.sort("probability")
        .group_by("article_id", maintain_order=True)
        .last()
        .join(other_corpus, on="article_id")
    )
    assert (best["leaning"] == best["label"]).mean() > 0.8
    sums = scored.leaning_scores.group_by("article_id").agg(pl.col("probability").sum())
    assert np.allclose(sums["probability"], 1.0)
    assert len(scored.leaning_scores) == 2 * len(other_corpus)


def test_scores_are_those_of_the_contract(fitted, other_corpus):
    scored = fitted.score(other_corpus)
    names = scored.scores["metric"].unique().to_list()
    assert sorted(names) == [
        "damage_level",
        "domain_distinct_3",
        "domain_oov",
        "domain_repetition",
        "domain_words",
        "leaning_agreement",
        "leaning_confidence",
        "outside_domain",
    ]
    outside = scored.scores.filter(metric="outside_domain")
    assert set(outside["value"]) <= {0.0, 1.0}
    assert outside["value"].mean() < 0.2
    assert outside["article_id"].to_list() == other_corpus["article_id"].to_list()
    best = scored.leaning_scores.group_by("article_id", maintain_order=True).agg(
        pl.col("probability").max()
    )
    confidence = scored.scores.filter(metric="leaning_confidence")
    assert confidence["value"].to_list() == best["probability"].to_list()


def test_the_second_classifier_reads_by_other_features(fitted, folder, other_corpus):
    second = load_builtin(folder / "second")
    assert second.candidate != load_builtin(folder).candidate
    bodies = other_corpus["body"].to_list()
    agree = second.probabilities(bodies).argmax(axis=1) == fitted.classify(bodies).argmax(axis=1)
    scored = fitted.score(other_corpus).scores.filter(metric="leaning_agreement")
    assert scored["value"].to_list() == agree.astype(float).tolist()
    labels = np.array([["left", "right"].index(label) for label in other_corpus["label"]])
    assert (second.probabilities(bodies).argmax(axis=1) == labels).mean() > 0.65
    assert agree.mean() > 0.65


def test_an_instrument_without_a_second_classifier_still_reads(fitted, other_corpus):
    alone = replace(fitted, second=None).score(other_corpus)
    both = fitted.score(other_corpus)
    assert alone.leaning_scores.equals(both.leaning_scores)
    assert "leaning_agreement" not in alone.scores["metric"].to_list()


def test_the_card_is_whole_and_right(card, corpus):
    assert card["metric"] == "leaning"
    assert card["labels"] == ["left", "right"]
    assert card["trained_on"] == len(corpus)
    assert [c["chosen"] for c in card["candidates"]].count(True) == 1
    chosen = next(c for c in card["candidates"] if c["chosen"])
    assert chosen["macro_f1"] == max(c["macro_f1"] for c in card["candidates"])
    for held_out in card["held_out"].values():
        assert held_out["n"] == len(corpus)
        assert np.sum(held_out["confusion"]) == len(corpus)
        assert held_out["macro_f1"] > 0.75
    assert set(card["domain"]) == {"words", "oov", "confidence"}
    levels = card["damage"]["levels"]
    assert np.trace(levels[0]["confusion"]) > 0.75 * np.sum(levels[0]["confusion"])
    worst = np.array(levels[-1]["confusion"])
    assert np.trace(worst) / worst.sum() < 0.7
    assert levels[0]["readable"]
    assert not levels[-1]["readable"]


def test_a_loop_is_read_as_what_it_says_once(fitted, other_corpus):
    whole = fitted.score(other_corpus).leaning_scores["probability"].to_numpy()
    twice = other_corpus.with_columns((pl.col("body") + " " + pl.col("body")).alias("body"))
    again = fitted.score(twice).leaning_scores["probability"].to_numpy()
    np.testing.assert_allclose(again, whole)


def test_fitting_twice_gives_the_same_bytes(fitted, folder, corpus, make_context, tmp_path):
    METRICS["leaning"].fit(make_context(corpus), tmp_path)

    def found(where):
        return sorted(path.relative_to(where) for path in where.rglob("*") if path.is_file())

    files = found(folder)
    assert found(tmp_path) == files
    for name in files:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_loaded_gives_the_fitted_ones_bits(corpus, other_corpus, tmp_path):
    texts = corpus["body"].to_list()
    truth = np.array([["left", "right"].index(label) for label in corpus["label"]])
    result = fit_builtin(
        texts, truth, corpus["source"].to_list(), 2, ["word-tfidf", "character-tfidf"], 0
    )
    result.classifier.save(tmp_path)
    others = other_corpus["body"].to_list()
    expected = result.classifier.probabilities(others)
    assert np.array_equal(load_builtin(tmp_path).probabilities(others), expected)


def test_random_labels_look_random_when_held_out(corpus):
    """A leak of held-out articles into choice, calibration or weights would show here."""
    rng = np.random.default_rng(0)
    truth = rng.permutation(np.arange(len(corpus)) % 2)
    result = fit_builtin(corpus["body"].to_list(), truth, [""] * len(corpus), 2, ["word-tfidf"], 0)
    probabilities = result.by_article.probabilities
    assert abs((probabilities.argmax(axis=1) == truth).mean() - 0.5) < 0.15
    # Calibrated to knowing nothing: no better and not much worse than always saying one half.
    loss = -np.log(probabilities[np.arange(len(truth)), truth]).mean()
    assert np.log(2) - 0.03 < loss < np.log(2) + 0.1
    assert result.by_source is None


def test_a_classifier_that_learnt_the_source_is_found_out(corpus_maker, make_context, tmp_path):
    corpus = corpus_maker(80, hint=0.0, sources=4).with_columns(
        body=pl.col("body")
        + pl.lit(" ")
        + (pl.col("source") + pl.lit("mark ")).repeat_by(12).list.join("")
    )
    corpus = corpus.with_columns(body=pl.col("body").str.replace_all("-", ""))
    # The label's name is in the mark, which would give unseen sources away too.
    corpus = corpus.with_columns(
        body=pl.col("body").str.replace_all("left", "q").str.replace_all("right", "q")
    )
    names = {f"q{i}mark": None for i in range(4)}
    bodies = []
    for row in corpus.iter_rows(named=True):
        body = row["body"]
        for number, name in enumerate(names):
            body = body.replace(name, f"{'abcdefgh'[number + 4 * (row['label'] == 'right')] * 5}")
        bodies.append(body)
    corpus = corpus.with_columns(body=pl.Series(bodies))
    context = make_context(corpus, leaning={"candidates": ("word-tfidf",)})
    METRICS["leaning"].fit(context, tmp_path)
    card = json.loads((tmp_path / CARD_FILE).read_text())
    assert card["held_out"]["articles"]["macro_f1"] > 0.95
    assert card["held_out"]["sources"]["macro_f1"] < 0.75
    assert any("who wrote" in warning for warning in card["warnings"])
    assert any("confounded" in note for note in card["notes"])

    # What corrects the shares: by default the errors on unseen sources, or those on known ones.
    known = make_context(corpus, leaning={"candidates": ("word-tfidf",), "errors": "articles"})
    (tmp_path / "known").mkdir()
    METRICS["leaning"].fit(known, tmp_path / "known")
    other = json.loads((tmp_path / "known" / CARD_FILE).read_text())
    assert other["held_out"] == card["held_out"]
    assert any("text as of these sources" in warning for warning in other["warnings"])
    right = {}
    for name, one in (("sources", card), ("articles", other)):
        confusion = instrument_confusion([one], ("left", "right"))
        assert confusion.part == name
        counts = np.array(one["damage"]["levels"][0]["confusion"])
        right[name] = np.trace(counts) / counts.sum()
    assert right["articles"] > 0.95
    assert right["sources"] < 0.75


def test_three_labels_without_sources(corpus, make_context, tmp_path):
    thirds = np.array(["left", "center", "right"])[np.arange(len(corpus)) % 3]
    marked = corpus.with_columns(
        label=pl.Series(thirds), source=pl.lit(""), body=pl.col("body") + " " + pl.Series(thirds)
    )
    context = make_context(
        marked, labels=("left", "center", "right"), leaning={"candidates": ("word-tfidf",)}
    )
    METRICS["leaning"].fit(context, tmp_path)
    card = json.loads((tmp_path / CARD_FILE).read_text())
    assert card["held_out"]["sources"] is None
    assert any("sources are not known" in note for note in card["notes"])
    assert np.shape(card["held_out"]["articles"]["confusion"]) == (3, 3)
    scored = METRICS["leaning"].load(context, tmp_path).score(marked)
    assert scored.leaning_scores["leaning"][:3].to_list() == ["left", "center", "right"]


def test_sources_of_very_unequal_size_still_give_an_instrument(corpus, make_context, tmp_path):
    few = pl.concat([corpus.filter(label="left").head(10), corpus.filter(label="right").head(10)])
    lone = few.with_columns(source=pl.Series((["a"] * 9 + ["b"]) * 2) + pl.col("label"))
    METRICS["leaning"].fit(make_context(lone), tmp_path)
    card = json.loads((tmp_path / CARD_FILE).read_text())
    assert card["held_out"]["sources"] is None
    assert any("too few sources" in note for note in card["notes"])
    assert any("only 10 instrument articles" in warning for warning in card["warnings"])


def test_only_the_first_words_are_read(corpus, make_context, tmp_path):
    context = make_context(corpus, leaning={"candidates": ("word-tfidf",), "max_tokens": 30})
    METRICS["leaning"].fit(context, tmp_path)
    metric = METRICS["leaning"].load(context, tmp_path)
    cut = corpus.with_columns(body=pl.col("body").str.split(" ").list.head(30).list.join(" "))
    assert metric.score(corpus).leaning_scores.equals(metric.score(cut).leaning_scores)


def test_hostile_text_gets_probabilities_and_is_outside(fitted, hostile):
    scored = fitted.score(hostile)
    sums = scored.leaning_scores.group_by("article_id").agg(pl.col("probability").sum())
    assert np.allclose(sums["probability"], 1.0)
    assert scored.scores.filter(metric="outside_domain")["value"].to_list() == [1.0] * len(hostile)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_gets_probabilities(fitted, hostile, body):
    scored = fitted.score(hostile[:1].with_columns(body=pl.lit(body)))
    assert scored.leaning_scores["probability"].sum() == pytest.approx(1.0)
    assert scored.leaning_scores["probability"].is_between(0, 1).all()


def test_no_article_gives_no_rows(fitted, corpus):
    scored = fitted.score(corpus.clear())
    assert scored.scores.is_empty()
    assert scored.leaning_scores.is_empty()


def test_a_label_with_few_articles_is_named(corpus, make_context, tmp_path):
    few = pl.concat([corpus.filter(label="left"), corpus.filter(label="right").head(9)])
    with pytest.raises(InputError, match=r"at least 10 articles.*right \(9\)"):
        METRICS["leaning"].fit(make_context(few), tmp_path)


def test_wrong_settings_are_refused(corpus, make_context, tmp_path):
    with pytest.raises(InputError, match="did you mean 'word-tfidf'"):
        METRICS["leaning"].fit(
            make_context(corpus, leaning={"candidates": ("word-tfdif",)}), tmp_path
        )
    with pytest.raises(InputError, match="two labels"):
        METRICS["leaning"].fit(make_context(corpus, labels=("left",)), tmp_path)
    stray = corpus.with_columns(label=pl.Series(["left", "right", "odd"] * 40))
    with pytest.raises(InputError, match="not in the label set"):
        METRICS["leaning"].fit(make_context(stray), tmp_path)


def test_an_unknown_metric_is_named():
    assert metric_kind("leaning") is METRICS["leaning"]
    with pytest.raises(InputError, match="did you mean 'quality'"):
        metric_kind("qualty")


def test_a_damaged_instrument_is_named(corpus, make_context, tmp_path):
    context = make_context(corpus)
    with pytest.raises(StoreError, match="leaning instrument"):
        METRICS["leaning"].load(context, tmp_path)


def test_importing_metrics_loads_nothing_heavy():
    import subprocess
    import sys

    code = (
        "import sys, biasloop.metrics;"
        "print([m for m in ('torch', 'transformers', 'sklearn', 'scipy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
