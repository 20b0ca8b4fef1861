"""Editing neurons in the loop: a planted neuron stops growth and random ones do not."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from scipy import stats

import biasloop as bl
from biasloop import loop
from biasloop.analysis import Outcomes, changes_at, outcomes, tables_of
from biasloop.api import neurons
from biasloop.config import parse_config, with_edits
from biasloop.errors import InputError
from biasloop.files import sha256_file, write_json
from biasloop.loop import make_plan, plan
from biasloop.models.edit import distances, of_same_sizes
from biasloop.models.sites import feed_forwards
from biasloop.neurons import ASSOCIATIONS, ASSOCIATIONS_FILE
from biasloop.neurons.intervention import intervention_effect
from biasloop.report.cautions import of_edits
from biasloop.tables import write_table

torch = pytest.importorskip("torch")

RED, BLUE = ([f"{colour}{place}" for place in range(10)] for colour in ("red", "blue"))
WORDS = ["[PAD]", "[UNK]", "on", *RED, *BLUE]
PLANTED, WIDTH = (3, 11), 32


def planted_model(folder):
    """A GPT-2 whose choice between red and blue words two units of its feed-forward block make.

    All that is trained below is what feeds the units of this block. What is read of all others is
    nothing, and they are small beside the embeddings, so that the normalisation hardly changes.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    places = {word: place for place, word in enumerate(WORDS)}
    made = Tokenizer(models.WordLevel(places, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", eos_token="[PAD]"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=1, n_embd=WIDTH, n_head=2, vocab_size=len(WORDS), n_positions=64, n_inner=WIDTH,
        tie_word_embeddings=False, bos_token_id=0, eos_token_id=0,
        attn_pdrop=0, embd_pdrop=0, resid_pdrop=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    block = model.transformer.h[0].mlp
    with torch.no_grad():
        block.c_fc.bias.fill_(1.0)
        model.transformer.wpe.weight.zero_()
        model.transformer.wte.weight.normal_()
        model.transformer.wte.weight[:, list(PLANTED)] = 0
        model.lm_head.weight.zero_()
        for unit, sign in zip(PLANTED, (1, -1), strict=True):
            model.lm_head.weight[3:13, unit], model.lm_head.weight[13:, unit] = 3 * sign, -3 * sign
            block.c_proj.weight[:, unit], block.c_proj.bias[unit] = 0, 0.01 * sign
    model.save_pretrained(folder)
    return folder


def associations(folder, models=("others",), neurons=PLANTED):
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        (0, unit, "mlp_out", "weight_mean", "leaning:red", 0.5, 1.0, 0.1, 0.01 * place, 0.1)
        for place, unit in enumerate(neurons)
    ]
    write_table(folder / ASSOCIATIONS_FILE, pl.DataFrame(rows, ASSOCIATIONS, orient="row"))
    summary = {"metrics": ["leaning:red"], "method": "differences", "versions": 9, "let_in": {}}
    write_json(folder / "associations.json", summary | {"left_out": {}, "models": list(models)})
    return folder / ASSOCIATIONS_FILE


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("planted")


@pytest.fixture(scope="module")
def values(place):
    random = np.random.default_rng(5)
    with (place / "articles.jsonl").open("w") as handle:
        for label, own, other in (("red", RED, BLUE), ("blue", BLUE, RED)):
            for number in range(100):
                words = [random.choice(own if random.random() < 0.8 else other) for _ in range(12)]
                row = {"id": f"{label}-{number}", "title": "on", "label": label}
                row |= {"body": " ".join(words), "source": f"{label}-{number % 20}"}
                handle.write(json.dumps(row) + "\n")
    return {
        "name": "planted",
        "corpus": {
            "source": str(place / "articles.jsonl"),
            "articles_per_label": 40,
            "instrument_fraction": 0.5,
            "holdout_per_label": 3,
        },
        "base": {"model": str(planted_model(place / "base"))},
        "training": {
            "epochs": 3,
            "samples": "article",
            "learning_rate": 1e-4,
            "precision": "float32",
            "method": "lora",
            "lora": {"rank": 4, "alpha": 8, "target_modules": ["mlp.c_proj"]},
        },
        "generation": {
            "decoding": "nucleus",
            "temperature": 0.5,
            "top_p": 1.0,
            "prompts": "openings",
            "opening_tokens": 1,
            "new_tokens": 12,
            "precision": "float32",
        },
        "loop": {"generations": 2, "seeds": [0], "bias_direction": "none"},
        "metrics": {
            "names": ["leaning"],
            "leaning": {"candidates": ["word-tfidf"], "damage_articles": 20},
        },
        "neurons": {"sites": []},
        "report": {"leaning": "red", "outside_share": 1.0, "bootstrap": 100},
    }


def test_the_planted_neurons_stop_growth_and_random_ones_do_not(
    values, place, biasloop, blank, monkeypatch
):
    monkeypatch.setenv("BIASLOOP_CACHE", str(place / "cache"))
    (place / "planted.yaml").write_text(json.dumps(values))
    file = associations(place / "neurons")
    said = biasloop(
        "intervene", "planted.yaml", "--associations", file, "--top", 2, "--draws", 2, cwd=place
    )
    run = bl.load_run(place / "runs" / "planted-intervention")
    found = json.loads((run.folder / "intervention.json").read_text())
    assert found["growth"]["unedited"]["low"] > 0.02
    assert found["less"]["edited less unedited"]["high"] < -0.1
    assert found["less"]["edited less random"]["high"] < -0.1
    assert abs(found["less"]["random less unedited"]["value"]) < 0.05
    assert found["growth"]["edited"]["low"] < 0 < found["growth"]["edited"]["high"]
    assert found["sentence"].startswith(
        "Editing the 2 associated neurons from Generation 1 on cut the change of red after "
        "Generation 0 by"
    )
    assert "Editing the 2 associated neurons" in said
    picture = run.folder / "intervention.png"
    assert str(picture) in said.replace("\n", "")
    assert picture.read_bytes().startswith(b"\x89PNG")
    # The same neurons of a chain in each of its generations, none of the planted ones.
    edits = run.results.edits
    for name, own in edits.group_by("regime"):
        sets = own.group_by("generation").agg(pl.col("neuron").sort()).sort("generation")
        assert sets["neuron"].n_unique() == 1
        assert sets.height == 2
        assert (set(own["neuron"]) == set(PLANTED)) == (name == ("edited",))
        assert (own["size"] > 0).all()
        assert name == ("edited",) or not set(own["neuron"]) & set(PLANTED)
    sizes = edits.filter(generation=1).group_by("regime").agg(pl.col("size").mean())
    assert sizes["size"].max() < 1.5 * sizes["size"].min()

    # Elsewhere than here a change is judged at one level; of several looks at another.
    outcome = outcomes(tables_of(run.results))
    for verdict in run.verdicts():
        judged = dict(verdict.judged)
        assert changes_at(outcome, verdict, 0.95) == judged
        assert set(judged) == {"red", "blue"}
        for label, wider in changes_at(outcome, verdict, 0.99).items():
            assert (wider.value, wider.before) == (judged[label].value, judged[label].before)
            assert wider.low < judged[label].low


def test_chains_are_shared_up_to_the_edit_and_after_it_train_on_their_own_text(values, place):
    file = str(associations(place / "neurons"))
    config = parse_config(values | {"loop": {"generations": 3, "seeds": [0]}})
    names = ("synthetic", "edited", "random-1", "random-2")
    for only in (False, True):
        plan = make_plan(with_edits(config, file, 2, only, draws=2, top=2))
        for generation, count in ((0, 1), (1, 1), (2, 4), (3, 4)):
            models = {plan.finetuned[name, 0, generation].key for name in names}
            assert len(models) == count
        kinds = [plan.finetuned["random-1", 0, g].settings["regime"]["kind"] for g in (1, 2, 3)]
        assert kinds == ["synthetic", "edited", "synthetic" if only else "edited"]
        # Random neurons are matched in the model that a chain without an edit has, too.
        matched = plan.finetuned["random-1", 0, 2].inputs["unedited"]
        assert matched.key == plan.finetuned["synthetic", 0, 2].key


def test_neurons_found_in_the_chains_that_judge_them_are_refused(values, place):
    file = str(associations(place / "neurons"))
    own = make_plan(with_edits(parse_config(values), file, top=2)).finetuned["synthetic", 0, 0].key
    associations(place / "own", ["others", own])
    with pytest.raises(InputError, match="found in models that the edit would be judged by"):
        bl.intervene(values, place / "own" / ASSOCIATIONS_FILE, top=2)
    moved = place / "moved" / ASSOCIATIONS_FILE
    moved.parent.mkdir()
    moved.write_bytes((place / "own" / ASSOCIATIONS_FILE).read_bytes())
    with pytest.raises(InputError, match=r"associations\.json, which says in which models"):
        bl.intervene(values, moved, top=2)


def test_inputs_are_looked_at_once(values, place, monkeypatch):
    looked, plans, own = [], [], plan.contents_of
    monkeypatch.setattr(plan, "contents_of", lambda *given: looked.append(given) or own(*given))
    monkeypatch.setattr(neurons, "run_plan", lambda made, *_, **__: plans.append(made) or run)
    run = SimpleNamespace(intervention=lambda: "shown")
    file = associations(place / "once")
    assert bl.intervene(values, file, top=2) == (run, "shown")
    assert len(looked) == len(plans) == 1
    assert plans[0].contents["regimes"]["edited"] == sha256_file(file)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "execute", stop)
    with pytest.raises(KeyboardInterrupt):
        bl.run(values, place / "stopped")
    assert len(looked) == 2


def test_a_report_warns_of_neurons_that_were_found_in_the_run_itself(values, place):
    """A regime that a config has of its own is not refused: it has other uses."""

    def said(file):
        own = {"kind": "edited", "file": str(file), "top": 2}
        config = parse_config(values | {"regimes": ["synthetic", own]})
        stages = pl.DataFrame({"kind": ["finetune"], "name": ["synthetic seed 0"], "key": ["k"]})
        return [
            (one.level, one.text) for one in of_edits(SimpleNamespace(config=config, stages=stages))
        ]

    assert said(associations(place / "of-others", ["others"])) == []
    ((level, text),) = said(associations(place / "of-this", ["others", "k"]))
    assert level == "serious"
    assert "found in models of this run, such as that of synthetic seed 0" in text
    damaged = associations(place / "damaged", ["k"])
    (damaged.parent / "associations.json").write_text("{")
    for unknown in (damaged, place / "gone" / ASSOCIATIONS_FILE, place / "other.parquet"):
        ((level, text),) = said(unknown)
        assert level == "note"
        assert "cannot be told from its file" in text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"generation": 3}, r"from Generation 3 on, and loop.generations is 2"),
        ({"draws": 0}, "at least one draw"),
        ({"top": 3}, "only 2 neurons have a p-value"),
        ({"topp": 3}, "topp"),
        ({"intervention": "remove"}, "restore"),
    ],
)
def test_an_edit_that_cannot_be_is_refused(values, place, settings, message):
    file = associations(place / "neurons")
    with pytest.raises(InputError, match=message):
        bl.intervene(values, file, **({"top": 2} | settings))


def test_random_neurons_are_of_the_same_layers_and_sizes_and_none_of_the_others():
    random = np.random.default_rng(0)
    sizes = {layer: np.exp(random.normal(size=200)) for layer in (0, 3)}
    units = {0: np.array([5, 7, 9, 100]), 3: np.array([0, 50])}
    seen = set()
    for draw in range(50):
        drawn = of_same_sizes(units, sizes, np.random.default_rng(draw))
        for layer, own in drawn.items():
            assert len(set(own.tolist())) == len(units[layer])
            assert not set(own) & set(units[layer])
            apart = np.log(np.sort(sizes[layer][own]) / np.sort(sizes[layer][units[layer]]))
            assert np.abs(apart).max() < 0.6  # of a spread of 1, the nearest five of 200
        seen.add(tuple(drawn[0]))
    assert len(seen) > 20
    with pytest.raises(InputError, match="layer 0 has 3 neurons, and 2 of them"):
        of_same_sizes({0: np.array([0, 2])}, {0: np.ones(3)}, random)


@pytest.mark.parametrize("site", ["mlp_out", "mlp_hidden"])
def test_the_distance_of_a_unit_is_that_of_all_that_feeds_it(site, tmp_path):
    from transformers import GPT2LMHeadModel

    one = GPT2LMHeadModel.from_pretrained(planted_model(tmp_path / "one"))
    other = GPT2LMHeadModel.from_pretrained(tmp_path / "one")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += torch.randn_like(parameter)
    found = distances(feed_forwards(one), feed_forwards(other), site)
    part = "c_proj" if site == "mlp_out" else "c_fc"
    ours, theirs = (getattr(m.transformer.h[0].mlp, part) for m in (one, other))
    squares = (ours.weight - theirs.weight).pow(2).sum(0) + (ours.bias - theirs.bias).pow(2)
    assert found[0] == pytest.approx(squares.sqrt().detach().numpy(), rel=1e-5)


def made_up(random, effect=0.0, seeds=4, articles=60, draws=3):
    """Chains of one start whose ends differ by the chain, the draw and the edit."""
    source, found = np.repeat(np.arange(articles // 3), 3), {}
    for seed in range(seeds):
        chance = 0.5 + random.normal(0, 0.05, articles // 3)[source]
        start = (random.random(articles) < chance).astype(float)
        own = random.normal(0.15, 0.05)
        for name in ("synthetic", "edited", *(f"random-{draw}" for draw in range(draws))):
            moved = own + random.normal(0, 0.03) * (name != "synthetic")
            moved += effect * (name == "edited")
            found[name, seed, 0] = start
            found[name, seed, 1] = (random.random(articles) < chance + moved).astype(float)
    values = {"share:b": np.array(list(found.values()))}
    return Outcomes(tuple(found), values, ("a", "b"), {"share:b": source})


NAMES = ("synthetic", "edited", ["random-0", "random-1", "random-2"])


def test_the_effect_is_the_difference_of_shares_of_chains_with_one_start():
    found = made_up(np.random.default_rng(3), effect=-0.2)
    effect = intervention_effect(found, "b", 1, NAMES)

    def share(name, generation=1):
        rows = [found.row("share:b", (name, seed, generation)) for seed in range(4)]
        return np.mean(rows, axis=1)

    random = np.mean([share(name) for name in NAMES[2]], axis=0)
    apart = share("edited") - random
    less = effect.less["edited less random"]
    assert less.value == pytest.approx(apart.mean())
    assert effect.less["edited less unedited"].value == pytest.approx(
        (share("edited") - share("synthetic")).mean()
    )
    assert effect.growth["unedited"].value == pytest.approx(
        (share("synthetic") - share("synthetic", 0)).mean()
    )
    assert effect.draws["random-1"] == pytest.approx(
        (share("random-1") - share("edited", 0)).mean()
    )
    # At least as wide as the t interval of the chains alone.
    half = stats.t.ppf(0.975, 3) * apart.std(ddof=1) / 2
    assert less.high - less.low > half
    assert (effect.chains, effect.articles, effect.last) == (4, 60, 1)
    assert effect.at_once == effect.growth
    assert effect.needed.articles > 3
    with pytest.raises(InputError, match="no generation from 2 on"):
        intervention_effect(found, "b", 2, NAMES)


def test_where_neurons_do_what_random_ones_do_the_interval_has_no_difference_in_it():
    random = np.random.default_rng(1)
    found = [
        intervention_effect(made_up(random, seeds=3), "b", 1, NAMES).less["edited less random"]
        for _ in range(100)
    ]
    wrong = sum(one.low > 0 or one.high < 0 for one in found)
    assert wrong <= stats.binom.ppf(0.999, 100, 0.05)
