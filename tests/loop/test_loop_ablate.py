"""`biasloop ablate` and `biasloop export` on a whole run."""

import json
import shutil

import polars as pl
import pytest
from typer.testing import CliRunner

import biasloop as bl
from biasloop.cli.main import app
from biasloop.errors import InputError
from biasloop.loop import instruments_of, scored_by
from biasloop.neurons import read_ablation
from biasloop.neurons.ablation import export

torch = pytest.importorskip("torch")


def invoke(*arguments):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def base(tiny):
    settings = {
        "metrics": {**tiny["metrics"], "names": ["leaning", "quality", "diversity"]},
        "loop": {"generations": 2, "seeds": [0], "bias_direction": "none"},
        "regimes": ["synthetic", "preservation"],
        "report": {"bootstrap": 100, "outside_share": 1.0, "leaning": "red"},
    }
    return {**tiny, **settings}


@pytest.fixture(scope="module")
def run(base, tmp_path_factory):
    place = tmp_path_factory.mktemp("ablate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BIASLOOP_CACHE", str(place / "cache"))
        folder = place / "run"
        bl.run(base, folder)
        invoke("neurons", folder, "--metric", "distinct_1", "--method", "published")
        yield folder


def test_the_residual_stream_is_not_edited(run, tmp_path):
    of_site = pl.DataFrame({"site": ["resid_post"]})
    with pytest.raises(InputError, match="without weights of its own to edit: take 'mlp_out'"):
        export(bl.load_run(run).results, tmp_path, tmp_path, ("synthetic", 0, 2), of_site)


@pytest.mark.parametrize("intervention", ["restore", "mean"])
def test_a_causal_check_of_a_run(run, intervention):
    found = json.loads(
        invoke(
            "ablate",
            run,
            "--metric",
            "distinct_1",
            "--top",
            3,
            "--intervention",
            intervention,
            "--json",
        )
    )
    rows = {row["outcome"]: row for row in found["effects"]}
    assert set(rows) == {"share:red", "quality"}
    for row in rows.values():
        assert row["draws"] == 20
        assert row["articles"] == 12
        assert row["effect_low"] <= row["effect"] <= row["effect_high"]
        assert 1 / 21 <= row["pvalue"] <= 1
    assert len(found["neurons"]) == 3
    stored = bl.load_run(run).results
    last = stored.scores.filter(
        (stored.scores["regime"] == "synthetic") & (stored.scores["generation"] == 2)
        & (stored.scores["metric"] == "quality")
    )  # fmt: skip
    # The unedited model, with the run's own stream, writes what the run wrote.
    assert rows["quality"]["unedited"] == pytest.approx(last["value"].mean())
    page = (run / "report.html").read_text()
    assert "What editing them did" in page
    assert json.loads((run / "summary.json").read_text())["neurons"]["ablation"]["top"] == 3
    assert (run / "neurons" / "ablation.png").read_bytes().startswith(b"\x89PNG")


def test_fewer_articles_and_another_regime(run, tmp_path):
    options = ("--metric", "distinct_1", "--top", 2, "--articles", 5, "--out", tmp_path / "few")
    text = invoke("ablate", run, *options, "--regime", "preservation")
    assert "preservation, seed 0, Generation 2" in text
    assert read_ablation(tmp_path / "few").effects["articles"].to_list() == [5, 5]


def test_deleted_weights_are_trained_again_only_when_asked(base, run, tmp_path, monkeypatch):
    monkeypatch.setenv("BIASLOOP_CACHE", str(run.parent / "cache"))
    folder = shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(folder / "neurons")
    bl.run(base, folder, ["loop.keep_models=none"])
    assert not list(folder.glob("stages/finetune-*/model/model.safetensors"))
    invoke("neurons", folder, "--metric", "distinct_1")
    options = ("ablate", folder, "--metric", "distinct_1", "--top", 2, "--articles", 4)
    with pytest.raises(InputError, match=r"generation 2, .* are not there.*3 models"):
        invoke(*options)
    invoke(*options, "--recompute")
    first = (folder / "neurons" / "ablation.json").read_bytes()
    assert len(list(folder.glob("stages/finetune-*/model/model.safetensors"))) >= 2
    invoke(*options)
    assert (folder / "neurons" / "ablation.json").read_bytes() == first
    # To keep other weights is not another experiment.
    bl.run(base, folder, ["loop.keep_models=none"])
    assert not list(folder.glob("stages/finetune-*/model/model.safetensors"))


def test_an_exported_model_is_the_last_one_with_its_neurons_set_back(run, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    invoke("export", run, tmp_path / "edited", "--metric", "distinct_1", "--top", 4)
    invoke("export", run, tmp_path / "plain", "--top", 0)
    invoke("export", run, tmp_path / "start", "--top", 0, "--generation", 1, "--recompute")
    card = json.loads((tmp_path / "edited" / "biasloop-edit.json").read_text())
    assert len(card["neurons"]) == 4
    load = AutoModelForCausalLM.from_pretrained
    edited, plain = (load(tmp_path / name).state_dict() for name in ("edited", "plain"))
    chosen = {unit for _, unit in card["neurons"]}
    for name, value in edited.items():
        if name.endswith("mlp.c_proj.weight"):
            moved = (value != plain[name]).any(dim=0).nonzero().flatten().tolist()
            assert set(moved) == chosen
        elif name.endswith("mlp.c_proj.bias"):
            assert set((value != plain[name]).nonzero().flatten().tolist()) <= chosen
        else:
            assert torch.equal(value, plain[name])
    assert AutoTokenizer.from_pretrained(tmp_path / "edited").vocab_size == 300
    with pytest.raises(InputError, match="is there already"):
        invoke("export", run, tmp_path / "edited")


def test_what_is_refused(run, tmp_path):
    with pytest.raises(InputError, match="at least 20"):
        invoke("ablate", run, "--metric", "distinct_1", "--draws", 5)
    with pytest.raises(InputError, match="unknown intervention 'restor'"):
        invoke("ablate", run, "--metric", "distinct_1", "--top", 1, "--intervention", "restor")
    with pytest.raises(InputError, match=r"regime 'synthtic'.*synthetic, preservation"):
        invoke("ablate", run, "--metric", "distinct_1", "--top", 1, "--regime", "synthtic")
    with pytest.raises(InputError, match="no such file"):
        invoke("ablate", run, "--from", tmp_path / "none.parquet")
    with pytest.raises(InputError, match="only a later one than 0"):
        invoke("export", run, tmp_path / "zero", "--generation", 0)


def test_instruments_score_as_the_run_did(run):
    results = bl.load_run(run).results
    scores, leanings, _ = scored_by(
        instruments_of(run, ["leaning", "quality"], run.parent / "cache"), results.real
    )
    stored = results.scores.filter(results.scores["regime"] == "real")
    quality = stored.filter(stored["metric"] == "quality")
    assert scores.filter(scores["metric"] == "quality")["value"].equals(quality["value"])
    assert leanings.height == 2 * results.real.height
    assert read_ablation(run / "nothing") is None
