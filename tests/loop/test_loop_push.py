"""`biasloop push` on a whole run, against a hub on this machine."""

import html
import json
import shutil

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import biasloop as bl
from biasloop.cli.main import app
from biasloop.models.load import load_model
from biasloop.untrusted import in_markdown, visible
from hub_server import READER, WRITER, point_at, serve


@pytest.fixture(scope="module")
def run(bare, tmp_path_factory):
    place = tmp_path_factory.mktemp("push")
    loop = {"generations": 1, "seeds": [0], "bias_direction": "none", "keep_models": "all"}
    source = shutil.copy(bare["corpus"]["source"], place / "a <b>|[x](y).jsonl")
    config = {**bare, "corpus": {**bare["corpus"], "source": str(source)}, "loop": loop}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIASLOOP_CACHE", str(place / "cache"))
        finished = bl.run(config | {"regimes": ["synthetic"]}, place / "run")
        finished.report()
        yield finished


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with serve() as server:
        point_at(monkeypatch, server.address, tmp_path / "cache", WRITER)
        server.use = lambda token: monkeypatch.setenv("HF_TOKEN", token)
        yield server


def read(card):
    _, metadata, text = card.read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(metadata), text


def test_a_model_is_prepared_with_its_card_and_uploaded_only_where_asked(run, hub, tmp_path):
    found = bl.push(run, out=tmp_path / "model", license="mit")
    assert found.url is None
    assert hub.requests == []
    metadata, text = read(found.folder / "README.md")
    assert metadata["license"] == "mit"
    assert metadata["pipeline_tag"] == "text-generation"
    assert "base_model" not in metadata  # from scratch
    assert "bias-amplification" in metadata["tags"]
    summary = json.loads((run.folder / "summary.json").read_text())
    assert in_markdown(summary["answer"]["sentence"]) in text
    for caution in summary["warnings"]:
        assert in_markdown(caution["text"]) in text
    assert "<b>" not in text.split("## Config")[0]
    assert r"a &lt;b&gt;\|\[x\](y)" in text
    assert str(tmp_path.parent) not in text  # no folder of this machine
    assert "      generations: 1\n" in text

    found = bl.push(run, upload="some/model", generation=0)
    assert found.url == f"{hub.address}/some/model"
    assert hub.repositories["model", "some/model"].private
    assert read(found.folder / "README.md")[0]["license"] == "unknown"
    from biasloop.assets import cache_folder
    from biasloop.loop import weights_of

    place = ("synthetic", 0, 0)
    local = load_model(str(weights_of(run.folder, [place], cache_folder())[place]))
    uploaded = load_model("some/model")
    for name, value in local.model.state_dict().items():
        assert value.equal(uploaded.model.state_dict()[name])
    # What is ours may be replaced, what is not may not.
    assert bl.push(run, upload="some/model", generation=1).url
    hub.put("model", "some/other", {"README.md": b"mine"})
    with pytest.raises(bl.InputError, match="biasloop did not upload it: take another name"):
        bl.push(run, upload="some/other")
    assert list(hub.repositories["model", "some/other"].commits.values()) == [
        {"README.md": b"mine"}
    ]


def test_scores_are_a_data_set_of_three_subsets(run, hub):
    import datasets

    found = bl.push(run, "scores", upload="some/scores", public=True)
    assert found.url == f"{hub.address}/datasets/some/scores"
    assert not hub.repositories["dataset", "some/scores"].private
    loaded = datasets.load_dataset("some/scores", "scores", split="train", revision="main")
    assert loaded.to_polars().equals(run.scores)
    metadata, text = read(found.folder / "README.md")
    assert [one["config_name"] for one in metadata["configs"]] == [
        "scores",
        "leaning_scores",
        "set_scores",
    ]
    assert "## What the run found" in text


@pytest.mark.parametrize(
    ("token", "name", "words"),
    [
        ("", "some/model", "there is no token: log in"),
        (READER, "some/model", "the token may only read"),
        (WRITER, "others/model", "the token lacks the right to write there"),
        ("hf_expired", "some/model", "the token is not valid, or has run out"),
        (WRITER, "model", "write OWNER/NAME"),
        (WRITER, "some/mo del", "is no id of a model"),
    ],
)
def test_what_the_hub_refuses_ends_with_2_and_keeps_what_was_prepared(
    run, hub, tmp_path, token, name, words
):
    hub.use(token)
    from biasloop.hub import RECORD, upload

    (tmp_path / RECORD).write_text("{}")
    with pytest.raises(bl.InputError, match=words) as refused:
        upload(tmp_path, name, "model", False, "x")
    assert refused.value.exit_code == 2
    assert ("model", name) not in hub.repositories


def test_a_hub_out_of_reach_or_switched_off_is_told(run, hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(bl.InputError, match=r"out of reach.*push.scores is kept"):
        bl.push(run, "scores", upload="some/scores")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(bl.InputError, match="HF_HUB_OFFLINE is set"):
        bl.push(run, "scores", upload="some/scores")


def test_the_command_says_what_it_did_and_what_it_did_not(run, hub):
    shutil.rmtree(run.folder / "push", ignore_errors=True)
    done = CliRunner().invoke(app, ["push", str(run.folder), "--what", "scores"])
    assert done.exit_code == 0, done.output
    assert f"scores: {run.folder / 'push' / 'scores'}" in done.output.replace("\n", "")
    assert "nothing was uploaded" in done.output
    assert hub.requests == []
    for options, words in (
        (["--what", "scores", "--seed", "0"], "are of a model"),
        (["--seed", "7"], "has no model of regime"),
        ([str(run.folder)], "is there already"),
    ):
        with pytest.raises(bl.InputError, match=words):
            CliRunner().invoke(app, ["push", str(run.folder), *options], catch_exceptions=False)


@settings(max_examples=300)
@given(
    st.text(
        alphabet=st.sampled_from("ab 1\n\t\\`*_[]()<>&;|~$#@!:/.-+={}'\"w\u202e\0"), max_size=40
    )
)
def test_any_text_is_shown_as_it_is_and_makes_no_tag_and_no_link(text):
    from markdown_it import MarkdownIt

    shown = (
        MarkdownIt("commonmark")
        .enable(["table", "strikethrough"])
        .render(f"x {in_markdown(text)} x")
    )
    inside = shown.removeprefix("<p>").removesuffix("</p>\n")
    assert "<" not in inside
    assert html.unescape(inside).split() == f"x {visible(text)} x".split()
