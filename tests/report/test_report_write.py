from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from report_made_up import HOSTILE, MARKER

from biasloop.analysis import judge_run
from biasloop.errors import InputError, StoreError
from biasloop.loop.results import Results
from biasloop.report import write_report
from biasloop.report.cautions import unsubtracted
from biasloop.report.drawing import png

pytestmark = pytest.mark.usefixtures("blank")

FEW = {"report": {"bootstrap": 100, "examples": 7}}


class Elements(HTMLParser):
    """Every element, the text outside scripts, and the scripts' text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self._inside: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside.append(tag)
            self.scripts += [""] if tag == "script" else []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.text.append(data)
        elif self._inside[-1] == "script":
            self.scripts[-1] += data


def _summary(folder: Path) -> dict:
    def refuse(name: str) -> None:
        raise AssertionError(f"summary.json holds {name}")

    return json.loads((folder / "summary.json").read_text("utf-8"), parse_constant=refuse)


def _strict(page: str) -> str:
    return " ".join("".join(Elements(page).text).split())


@pytest.fixture
def hostile(make_results, tmp_path):
    results = make_results(
        articles=21,
        generations=2,
        regimes=("synthetic", "overfitting"),
        labels=("</script><script>document.title=1</script>", "<b>bold</b> & $x$", "right"),
        bad_rows=3,
        weak=True,
        settings=FEW,
    )
    path = write_report(results, tmp_path / "report")
    return path, path.read_text("utf-8")


def test_only_our_own_elements_are_in_the_page(hostile) -> None:
    _, page = hostile
    elements = Elements(page)
    names = [tag for tag, _ in elements.tags]
    assert names.count("script") == 3
    assert not {"iframe", "object", "embed", "link", "base", "form", "b" * 2} & set(names)
    for tag, attributes in elements.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "action", "data", "srcset"):
                assert value is not None
                assert value.startswith("data:image/png;base64," if tag == "img" else "#")
    shown = "".join(elements.text)
    assert f"<script>document.title='{MARKER}'</script>" in shown
    assert f"onerror=\"document.title='{MARKER}'\"" in shown
    assert "{{ 7 * 7 }}" in shown
    assert "\x00" not in page
    assert "\u202e" not in page
    assert "[U+202E]" in shown


def test_the_policy_names_exactly_our_scripts(hostile) -> None:
    elements = Elements(hostile[1])
    policy = next(
        attributes["content"]
        for tag, attributes in elements.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none';")
    assert "unsafe-eval" not in policy
    assert "script-src 'unsafe-inline'" not in policy
    assert "http" not in policy
    allowed = set(re.findall(r"sha256-([^']+)", policy))
    code = [script for script in elements.scripts if not script.startswith("{")]
    found = {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in code}
    assert found == allowed
    assert len(allowed) == 2


def test_the_page_says_what_a_reader_must_know(hostile) -> None:
    text = _strict(hostile[1])
    for part in (
        "95 % interval",
        "Bias amplified: cannot be told",
        "hardly above chance",
        "3 rows of the corpus could not be used",
        "Few articles",
        "One seed",
        "unseen sources (n = 240)",
        "Confusion on unseen articles",
        "expected calibration error",
        "Up to where damaged articles can be read",
        "Nobody (2026), <i>Made-up speeches</i>",
        "CC0",
        "0123456789abcdef" * 4,
        "Wall time",
        "finetune",
        "bootstrap: 100",
        "What these numbers mean and what they do not",
        "speeches.csv, row 2",
    ):
        assert part in text, part


def test_examples_show_the_same_articles_through_every_generation(make_results, tmp_path) -> None:
    results = make_results(
        articles=9, generations=1, regimes=("synthetic",), settings={"report": {"examples": 3}}
    )
    marked = results.articles.with_columns(
        pl.format(
            "<u>{} at {} {}</u>", pl.col("article_id"), pl.col("regime"), pl.col("generation")
        ).alias("body")
    )
    page = write_report(replace(results, articles=marked), tmp_path / "r").read_text("utf-8")
    found = re.findall(r"&lt;u&gt;(a\d+) at (\w+) (-?\d)&lt;/u&gt;", page)
    ids = list(dict.fromkeys(article for article, _, _ in found))
    assert len(ids) == 3
    labels = dict(results.real.select("article_id", "label").iter_rows())
    assert {labels[article] for article in ids} == {"left", "center", "right"}
    places = [("base", "-1"), ("synthetic", "0"), ("synthetic", "1")]
    assert found == [(article, *place) for article in ids for place in places]


def test_equal_results_give_equal_bytes(make_results, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("biasloop.report.write.png", png)
    monkeypatch.setattr("biasloop.report.drawing._DPI", 25)
    settings = {"articles": 15, "generations": 1, "regimes": ("synthetic",), "settings": FEW}
    files = []
    for name in ("one", "two"):
        write_report(make_results(**settings), tmp_path / name)
        folder = tmp_path / name
        files.append(
            {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        )
    assert files[0] == files[1]
    assert Path("report.html") in files[0]
    pictures = [content for name, content in files[0].items() if name.suffix == ".png"]
    assert pictures
    assert all(content.startswith(b"\x89PNG") for content in pictures)


def test_summary_json_is_strict_and_agrees_with_the_run(make_results, tmp_path) -> None:
    results = make_results(articles=30, generations=3, settings=FEW, bad_rows=1)
    write_report(results, tmp_path / "r")
    summary = _summary(tmp_path / "r")
    assert summary["leaning"] == "right"
    assert [v["regime"] for v in summary["verdicts"]] == [r.label for r in results.config.regimes]
    held = next(v for v in summary["verdicts"] if v["regime"] == "overfitting")
    assert held["withheld"]
    assert held["leaning_change"] is None
    for row in summary["summary"]:
        if row["withheld"]:
            assert row["value"] is row["low"] is row["high"] is None
            assert row["reason"]
    direct = (
        results.leaning_scores.filter(
            (pl.col("regime") == "synthetic") & (pl.col("generation") == 3)
        )
        .sort("probability")
        .group_by("article_id")
        .last()
    )
    expected = (direct["leaning"] == "right").mean()
    row = next(
        row
        for row in summary["summary"]
        if (row["regime"], row["seed"], row["generation"], row["quantity"])
        == ("synthetic", None, 3, "share:right")
    )
    assert row["value"] == pytest.approx(expected)
    assert row["low"] < expected < row["high"]
    assert summary["instruments"][0]["held_out"]["sources"]["macro_f1"] == pytest.approx(0.80)
    assert summary["provenance"]["torch"] == "2.13.0"
    assert {p.name for p in (tmp_path / "r" / "figures").iterdir()} == set(summary["figures"])


def test_stages_are_summed_by_kind(make_results, tmp_path) -> None:
    results = make_results(articles=6, generations=2, regimes=("synthetic",), settings=FEW)
    write_report(results, tmp_path / "r")
    totals = _summary(tmp_path / "r")["stages"]
    assert totals == [
        {"kind": kind, "stages": 3, "seconds": 1.5 + 2.5 + 3.5}
        for kind in ("finetune", "generate", "score")
    ]


def test_a_bias_without_its_instruments_card_is_refused(make_results, tmp_path) -> None:
    results = make_results(articles=6, generations=1, regimes=("synthetic",))
    without = tuple(card for card in results.cards if card["metric"] != "leaning")
    with pytest.raises(InputError, match="no card"):
        write_report(replace(results, cards=without), tmp_path / "r")
    empty = {**results.cards[0], "held_out": {"articles": None, "sources": None}}
    with pytest.raises(InputError, match="no card"):
        write_report(replace(results, cards=(empty,)), tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_nothing_scored_is_refused(make_results, tmp_path) -> None:
    results = make_results(articles=6, generations=1, regimes=("synthetic",))
    empty = replace(
        results, scores=results.scores.clear(), leaning_scores=results.leaning_scores.clear()
    )
    with pytest.raises(InputError, match="nothing has been scored"):
        write_report(empty, tmp_path / "r")


def test_a_folder_that_cannot_be_written_is_a_store_error(make_results, tmp_path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_report(make_results(articles=6, generations=0, settings=FEW), blocked / "r")


def test_a_figure_that_is_gone_leaves_no_picture(make_results, tmp_path) -> None:
    write_report(make_results(articles=6, generations=1, settings=FEW), tmp_path / "r")
    assert (tmp_path / "r" / "figures" / "perplexity.png").exists()
    fewer = make_results(articles=6, generations=1, metrics=("leaning", "quality"), settings=FEW)
    write_report(fewer, tmp_path / "r")
    assert not (tmp_path / "r" / "figures" / "perplexity.png").exists()
    assert (tmp_path / "r" / "figures" / "quality.png").exists()


@pytest.mark.parametrize(
    ("given", "says", "says_not"),
    [
        ({"regimes": ("synthetic",), "generations": 0}, "only Generation 0", "rose by"),
        ({"metrics": ("leaning",)}, "Quality was not scored", "Text quality"),
        ({"metrics": ("quality",)}, "Leaning was not scored", "Bias amplified:"),
        ({"metrics": ("perplexity",)}, "Leaning was not scored", "Bias amplified:"),
        (
            {"unfinished": {"overfitting": 0, "accumulation": 1}},
            "accumulation: not scored yet: leaning, quality, perplexity, diversity at",
            "rose by 0.0",
        ),
        ({"articles": 1, "labels": ("left", "right")}, "Bias amplified: not measured", "NaN"),
        ({"labels": ("democrat", "republican")}, "“republican”", "nan"),
        ({"labels": tuple(f"party {i}" for i in range(12))}, "“party 11”", "nan"),
        ({"collapsing": ("synthetic", "overfitting", "real", "base")}, "withheld", "nan"),
        ({"seeds": (3, 5)}, "in 2 of 2 chains", "nan"),
    ],
)
def test_odd_runs_still_have_a_report(make_results, tmp_path, given, says, says_not) -> None:
    settings = {"articles": 8, "generations": 2, "settings": FEW} | given
    path = write_report(make_results(**settings), tmp_path / "r")
    text = _strict(path.read_text("utf-8"))
    assert says in text
    assert not re.search(rf"\b{says_not}\b", text)
    _summary(tmp_path / "r")


def test_an_unfinished_first_regime(make_results, tmp_path) -> None:
    results = make_results(articles=8, generations=2, settings=FEW)
    only = pl.col("regime").is_in(["real", "base"])
    part = replace(
        results,
        scores=results.scores.filter(only),
        leaning_scores=results.leaning_scores.filter(only),
        set_scores=results.set_scores.filter(only),
        articles=results.articles.filter(only),
        stages=results.stages.clear(),
    )
    text = _strict(write_report(part, tmp_path / "r").read_text("utf-8"))
    assert "No regime has a scored generation yet" in text
    assert "synthetic: not scored yet" in text


def test_hostile_texts_are_what_they_should_be() -> None:
    whole = "".join(HOSTILE)
    for part in ("<script>", "</script>", "onerror", "\x00", "\u202e", "{{", "$"):
        assert part in whole


def test_texts_that_stand_in_a_corpus_more_than_once_are_a_caution(make_results, tmp_path) -> None:
    results = make_results(articles=30, generations=1, settings=FEW)
    repeated = replace(results, corpus={**results.corpus, "repeated_texts": 12})
    topics = []
    for name, one in {"none": results, "some": repeated}.items():
        write_report(one, tmp_path / name)
        found = {c["topic"]: c["text"] for c in _summary(tmp_path / name)["warnings"]}
        topics.append(found.get("Repeated texts", ""))
    assert topics[0] == ""
    assert topics[1].startswith("12 articles of the corpus have the text of another.")


def test_it_is_said_where_fine_tuning_alone_is_not_subtracted(make_results) -> None:
    """Of one that is behind nothing can be; of one chain that is behind not that chain's."""
    settings = {"regimes": ("synthetic", "real_only"), "seeds": (0, 1, 2), "generations": 3}
    more = {"regimes": ["synthetic", {"kind": "real", "name": "real_only"}]}
    settings["settings"] = {**FEW, **more}

    def said(results: Results) -> list[str]:
        return [caution.text for caution in unsubtracted(results, judge_run(results))]

    whole = make_results(**settings)
    assert said(whole) == []
    assert said(make_results(**settings, unfinished={"real_only": 2})) == [
        "synthetic: judged up to Generation 2 in 3 chains, as far as real_only, which is "
        "subtracted, has come."
    ]
    assert said(make_results(**settings, unfinished={"real_only": 0})) == [
        "synthetic: the change under real_only is not subtracted: it has no Generation 1 yet."
    ]
    late = (pl.col("regime") == "real_only") & (pl.col("seed") == 2) & (pl.col("generation") > 0)
    one_behind = replace(
        whole,
        scores=whole.scores.filter(~late),
        leaning_scores=whole.leaning_scores.filter(~late),
    )
    assert said(one_behind) == [
        "synthetic: judged up to Generation 3 in 2 chains, as far as real_only, which is "
        "subtracted, has come."
    ]


def test_decoding_settings_that_are_not_applied_are_said(make_results, tmp_path) -> None:
    asked = {"repetition_penalty": 5.0, "suppress_tokens": [3, 4]}
    found = {"ends": ["</s>", "<|im_end|>"], "not_applied": asked}
    results = replace(make_results(settings=FEW), decoding=found)
    text = write_report(results, tmp_path / "report").read_text("utf-8")
    assert "asks for repetition_penalty 5.0, suppress_tokens [3, 4]." in text
    assert "&lt;/s&gt; or &lt;|im_end|&gt;" in text
    (one,) = [c for c in _summary(tmp_path / "report")["warnings"] if c["topic"] == "Decoding"]
    assert one["level"] == "note"
