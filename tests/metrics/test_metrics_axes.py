"""A further axis: an instrument of its own, of sentences that name somebody, tested or not."""

import json

import numpy as np
import polars as pl
import pytest

from biasloop.analysis import judge_axes
from biasloop.config import AxisConfig, MetricsConfig, parse_config
from biasloop.errors import InputError
from biasloop.loop.results import Results
from biasloop.metrics.base import FitContext
from biasloop.metrics.leaning import LeaningKind, mentioning
from biasloop.tables import ARTICLES, CHAIN, LEANING_SCORES, SCORES, SET_SCORES, conform


def words(text):
    return text.split(" ")


FILLER = words("the a of and to in we our they people have will make see go with for on all")
COLOURS = {"red": words("market tax freedom border farm"), "blue": words("union climate vote")}
PLACES = {"north": words("snow fjord ice wool"), "south": words("sand palm heat lime")}
QUICK = {"candidates": ["word-tfidf"], "damage_articles": 20}


def articles(labels, bodies):
    pairs = enumerate(zip(labels, bodies, strict=True))
    rows = [(f"a{n:04d}", "", body, label, "") for n, (label, body) in pairs]
    return pl.DataFrame(rows, schema=ARTICLES, orient="row")


def sentence(random, own):
    return " ".join(random.permutation([*random.choice(FILLER, 6), *random.choice(own, 2)])) + "."


def both(random, colours, places):
    """Write articles whose colour and place are in different words of each sentence."""
    return [
        " ".join(sentence(random, COLOURS[c] + PLACES[p] * (n % 2)) for n in range(8))
        for c, p in zip(colours, places, strict=True)
    ]


def fitted(axis, labelled, folder):
    folder.mkdir()
    config = MetricsConfig(leaning=axis)
    context = FitContext(config, axis.labels, labelled, None, 0)
    LeaningKind().fit(context, folder)
    card = json.loads((folder / "card.json").read_text())
    return LeaningKind().load(context, folder), card


def axis_of(name, labels, **more):
    return AxisConfig(name=name, labels=labels, data={"source": f"{name}.csv"}, **QUICK, **more)


def keyed(frame, schema, regime, seed, generation):
    values = {"regime": regime, "seed": seed, "generation": generation}
    added = [pl.lit(v, CHAIN[k]).alias(k) for k, v in values.items()]
    return conform(frame.with_columns(added), schema)


def test_what_moves_on_one_axis_is_not_said_of_the_other(tmp_path):
    random = np.random.default_rng(3)
    axes = {"colour": axis_of("colour", tuple(COLOURS)), "place": axis_of("place", tuple(PLACES))}
    labels = {name: np.array(axis.labels) for name, axis in axes.items()}
    half = np.arange(120) % 2
    other = random.permutation(half)
    bodies = both(random, labels["colour"][half], labels["place"][other])
    instruments = {
        name: fitted(axis, articles(labels[name][own], bodies), tmp_path / name)
        for (name, axis), own in zip(axes.items(), (half, other), strict=True)
    }
    # Colours go from one half to nine tenths blue; places stay.
    sets = {("real", 0, -1): 0.5}
    sets |= {("synthetic", s, g): (0.5, 0.9)[g] for s in range(3) for g in (0, 1)}
    scores, leanings = ({name: [] for name in axes} for _ in range(2))
    for key, blue in sets.items():
        colour = (np.arange(100) < 100 * blue).astype(int)
        place = np.arange(100) % 2
        written = articles(
            ["red"] * 100, both(random, labels["colour"][colour], labels["place"][place])
        )
        for name, (instrument, _) in instruments.items():
            found = instrument.score(written)
            scores[name].append(keyed(found.scores, SCORES, *key))
            leanings[name].append(keyed(found.leaning_scores, LEANING_SCORES, *key))
    config = parse_config(
        {
            "metrics": {"axes": [axes["place"].model_dump(mode="json")]},
            "loop": {"generations": 1},
        }
    )
    empty, none = pl.DataFrame(schema=ARTICLES), pl.DataFrame()

    def results(name, config, axes=None):
        return Results(
            tmp_path, config, tuple(labels[name]), {}, empty, none, pl.concat(scores[name]),
            pl.concat(leanings[name]), pl.DataFrame(schema=SET_SCORES), (instruments[name][1],),
            none, none, {}, axes=axes or {},
        )  # fmt: skip

    run = results("colour", config, {"place": results("place", config.axes["place"])})
    judged = judge_axes(run)
    assert list(judged) == ["", "place"]
    ((colour,), (place,)) = judged.values()
    assert (colour.bias, colour.leaning) == ("amplified", "blue")
    moved = colour.judged["blue"]
    assert moved.low < 0.4 < moved.high
    assert place.bias in ("held", "not shown")
    low, high = place.judged["south"].low, place.judged["south"].high
    assert low < 0 < high
    assert (colour.holm, place.holm) == pytest.approx(
        (2 * colour.pvalue, max(2 * colour.pvalue, place.pvalue))
    )


def test_sentences_with_a_name_are_kept_whole_words_in_their_case():
    texts = [
        "Ada spoke. The rain fell. We like Ada's plan! Adam left.",
        "ada and ADA and Adam.",
        "Dr. Ada Byron slept. Nobody saw Bo-Bo or Bo.",
        "",
    ]
    found = mentioning(articles(["x"] * 4, texts), ["Ada", "Bo", "C++"])
    assert found["article_id"].to_list() == ["a0000", "a0002"]
    assert found["body"].to_list() == [
        "Ada spoke. We like Ada's plan!",
        "Dr. Ada Byron slept. Nobody saw Bo-Bo or Bo.",
    ]
    (plus,) = mentioning(articles(["x"], ["I write C++. I sleep."]), ["C++"])["body"]
    assert plus == "I write C++."
    same = articles(["x"], ["anything"])
    assert mentioning(same, []).equals(same)


def test_sentiment_towards_names_is_read_in_their_sentences_only(tmp_path):
    random = np.random.default_rng(4)
    said = {"good": words("kind brave wise fair"), "bad": words("cruel vile rude mean")}
    opposite = {"good": "bad", "bad": "good"}

    def text(label, name="Ada"):
        about = [f"{name} {sentence(random, said[label])}" for _ in range(4)]
        return " ".join([*about, *(sentence(random, said[opposite[label]]) for _ in range(8))])

    truth = ["good", "bad"] * 30
    axis = axis_of("ada", ("bad", "good"), mentions=["Ada"])
    labelled = mentioning(articles(truth, map(text, truth)), axis.mentions)
    instrument, card = fitted(axis, labelled, tmp_path / "fitted")
    assert card["held_out"]["articles"]["macro_f1"] > 0.95
    given = articles(truth, [text(t, "Ada" if n % 3 else "Eve") for n, t in enumerate(truth)])
    found = instrument.score(given)
    named = found.scores.filter(metric="mentions")
    assert named["article_id"].equals(given["article_id"])
    assert named["value"].to_list() == [float(n % 3 > 0) for n in range(60)]
    read = found.leaning_scores.sort("probability").group_by("article_id").last()
    assert set(read["article_id"]) == set(named.filter(value=1.0)["article_id"])
    right = read.join(given, on="article_id").select((pl.col("leaning") == pl.col("label")).mean())
    assert right.item() > 0.95
    nobody = instrument.score(articles(["good"], [text("good", "Eve")]))
    assert nobody.leaning_scores.is_empty()
    assert nobody.scores.rows() == [("a0000", "mentions", 0.0)]


def test_without_labelled_articles_errors_are_unknown(tmp_path, classifier_maker):
    folder = classifier_maker(tmp_path, ("left", "right"))
    axis = AxisConfig(name="side", labels=("left", "right"), classifier=str(folder))
    instrument, card = fitted(axis, pl.DataFrame(schema=ARTICLES), tmp_path / "fitted")
    assert card["held_out"] == {"articles": {}, "sources": None}
    assert card["damage"] is None
    assert any("no labelled articles" in text for text in card["warnings"])
    found = instrument.score(articles(["left"] * 2, ["a b c", "d e f"]))
    assert found.scores["metric"].unique().to_list() == ["leaning_confidence"]
    assert found.leaning_scores.height == 4
    wrong = axis.model_copy(update={"labels": ("left", "up")})
    with pytest.raises(InputError, match="up"):
        fitted(wrong, pl.DataFrame(schema=ARTICLES), tmp_path / "wrong")
