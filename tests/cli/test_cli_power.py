from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from biasloop.analysis import (
    Design,
    articles_needed,
    articles_to_hold,
    can_hold,
    detectable_change,
    power,
    seeds_to_hold,
)
from biasloop.cli.main import app
from biasloop.errors import InputError


def _json(*arguments: str) -> dict:
    done = CliRunner().invoke(app, ["power", *arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads(done.stdout)


def test_each_question_has_its_answer() -> None:
    design = Design(0.4, 0.2)
    given = ("--share", "40", "--correlation", "0.2")
    assert _json("--change", "5", *given)["articles"] == articles_needed(design, 0.05)
    found = _json("--articles", "300", "--power", "0.9", *given)
    assert found["change"] == pytest.approx(detectable_change(design, 300, 0.9))
    found = _json("--change", "-5", "--articles", "300", "--seeds", "4", *given)
    assert found["power"] == pytest.approx(power(design, -0.05, 300, 4))


def test_the_accuracy_and_the_margin_reach_the_plan() -> None:
    assert _json("--change", "10", "--accuracy", "0.84")["articles"] == 843
    design = Design(0.5, youden=0.68)
    found = _json("--margin", "5", "--accuracy", "0.84")
    assert found["articles_to_hold"] == articles_to_hold(design, 0.05)
    found = _json("--margin", "5", "--articles", "500", "--accuracy", "0.84")
    assert found["hold"]["power"] == pytest.approx(can_hold(design, 500, 1, 0.05).power)
    words = CliRunner().invoke(
        app, ["power", "--margin", "5", "--articles", "500", "--accuracy", "0.84"]
    )
    assert "500 articles and 1 seed cannot show" in words.stdout
    assert "3,706 articles and 1 seed show it" in words.stdout
    apart = ("--margin", "5", "--seeds", "3", "--between", "3", "--common", "0.5")
    found = _json(*apart)
    assert found["articles_to_hold"] is None
    assert found["seeds_to_hold"] == seeds_to_hold(Design(0.5, common=0.5, between=0.03), 0.05)


def test_words_name_what_is_assumed() -> None:
    done = CliRunner().invoke(app, ["power", "--change", "5"], catch_exceptions=False)
    assert "1,564 articles and 1 seed show a change of +5 points" in done.stdout
    assert "Assumed: 50 % before, correlation 0" in done.stdout
    assert "several seeds" in done.stdout


def test_chains_too_far_apart_have_no_answer() -> None:
    found = _json("--change", "5", "--seeds", "3", "--between", "5", "--common", "0.5")
    assert found["articles"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--change"),
        (("--change", "5", "--regime", "synthetic"), "--run"),
        (("--change", "70"), "leaves 0 to 100 %"),
        (("--change", "5", "--margin", "5"), "give one"),
        (("--change", "5", "--accuracy", "0.5"), "--accuracy must lie above 0.5"),
    ],
)
def test_bad_input_says_what_to_do(arguments: tuple[str, ...], message: str) -> None:
    done = CliRunner().invoke(app, ["power", *arguments])
    assert isinstance(done.exception, InputError)
    assert message in str(done.exception)


def test_help_keeps_what_stands_in_brackets():
    text = " ".join(CliRunner().invoke(app, ["power", "--help"]).output.split())
    assert "[default:" in text.replace("│", "")
    assert "or the run's]" in text.replace("│", "")
