"""YAML and overrides: what is accepted, and how the rest is refused."""

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biasloop.config import example_names, load_config, parse_config, read_yaml, write_yaml
from biasloop.errors import InputError

OPENINGS = {"prompts": "openings"}


def test_every_example_is_a_config():
    assert "demo" in example_names()
    for name in example_names():
        assert load_config(name).regimes


def test_defaults_are_the_published_protocol():
    config = parse_config({})
    assert (config.training.epochs, config.training.learning_rate) == (5, 5e-5)
    assert (config.training.batch_size, config.training.weight_decay) == (8, 0.01)
    assert (config.generation.block_tokens, config.generation.new_tokens) == (64, 64)
    assert config.generation.decoding == "greedy"
    assert config.corpus.articles_per_label * 3 == 1518


def test_overrides_reach_sections_lists_and_exponents():
    config = parse_config(
        {"regimes": ["synthetic", {"kind": "preservation"}]},
        ["training.learning_rate=5e-5", "regimes.1.fraction=0.2", "loop.seeds=[1, 2]"],
    )
    assert config.training.learning_rate == 5e-5
    assert config.regimes[1].fraction == 0.2
    assert config.loop.seeds == (1, 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trainin": {}}, "unknown key 'trainin': did you mean 'training'"),
        ({"regimes": [{"kind": "preservation", "fracton": 1}]}, "did you mean 'fraction'"),
        ({"regimes": [{"kind": "accumulation", "fraction": 0.3}]}, "unknown key 'regimes.0.frac"),
        ({"regimes": ["preservatoin"]}, "regimes.0.kind: no regime 'preservatoin': did you mean"),
        ({"regimes": [{"fraction": 0.3}]}, "regimes.0.kind: it has no kind: known: accumulate_"),
        ({"regimes": [{"kind": "preservation", "fraction": 2}]}, "config: regimes.0.fraction: "),
        (
            {"regimes": [{"kind": "real", "fresh": True}], "loop": {"generations": 4}},
            "set corpus.fresh_sets: 4",
        ),
        ({"generation": {"opening_tokens": 64}}, "opening_tokens is a setting of prompts: openin"),
        ({"generation": {"samples_per_prompt": 1}}, "samples_per_prompt is a setting of prompts"),
        ({"generation": {**OPENINGS, "block_tokens": 64}}, "block_tokens is a setting of prompts"),
        ({"generation": {**OPENINGS, "max_article_tokens": None}}, "max_article_tokens is a sett"),
        ({"generation": {**OPENINGS, "samples_per_prompt": 2}}, "set decoding: nucleus, or sampl"),
        (
            {"generation": {**OPENINGS, "samples_per_prompt": 2, "decoding": "beam"}},
            "beam decoding writes the same",
        ),
        (
            {"generation": {**OPENINGS, "samples_per_prompt": 0}},
            "generation.samples_per_prompt: input should be greater than or equal to 1",
        ),
        (
            {"generation": {**OPENINGS, "new_tokens": 449}, "base": {"model": "scratch"}},
            "generation.opening_tokens + generation.new_tokens is 513",
        ),
        ({"training": {"epochs": 0}}, "training.epochs"),
        ({"regimes": ["synthetic", "synthetic"]}, "two regimes are called 'synthetic'"),
        ({"regimes": [{"kind": "synthetic", "name": "real"}]}, "cannot be called 'real'"),
        ({"regimes": [{"kind": "synthetic", "name": "../x"}]}, "regimes.0.name"),
        ({"name": "../../x"}, "name"),
        ({"loop": {"seeds": [1, 1]}}, "a seed stands twice"),
        ({"corpus": {"labels": [None, "left"]}}, "(it is None): if it is meant as text, put it in"),
        ({"corpus": {"columns": {"body": ["a", "b"]}}}, "one column, and these are 2 (a, b): join"),
        ({"corpus": {"labels": {"left": 0}}}, "corpus.labels: input should be a valid list"),
        ({"base": {"scratch": {"width": 10, "heads": 4}}}, "not a multiple of heads"),
    ],
)
def test_what_does_not_fit_is_named(values, message):
    with pytest.raises(InputError) as error:
        parse_config(values)
    assert message in str(error.value)
    assert error.value.exit_code == 2


def test_wrong_items_do_not_make_a_list_empty():
    with pytest.raises(InputError) as error:
        parse_config({"regimes": ["preservatoin"]})
    assert "at least 1" not in str(error.value)
    with pytest.raises(InputError, match="at least 1"):
        parse_config({"regimes": []})


@pytest.mark.parametrize(
    "generation",
    [
        {},
        {"block_tokens": 32, "max_article_tokens": None},
        {**OPENINGS, "opening_tokens": 7, "samples_per_prompt": 3, "decoding": "nucleus"},
    ],
)
def test_a_config_written_out_is_read_back_the_same(generation):
    config = parse_config({"generation": generation, "regimes": ["real", "overfitting"]})
    assert parse_config(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    "override", ["x", "=1", "name.x=1", "regimes.7.fraction=1", "loop.seeds={"]
)
def test_a_bad_override_is_named(override):
    with pytest.raises(InputError):
        parse_config({"name": "a", "regimes": [{"kind": "synthetic"}]}, [override])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- a\n- b\n", "a mapping of sections"),
        (b"name: [", "line"),
        (b"name: a\nname: b\n", "stands twice"),
        (b"a: &x [1]\nb: *x\n", "aliases"),
        (b"name: \xff\xfe", "UTF-8"),
        (b"#" * 1_000_001, "longer than"),
        (b"name: !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_a_bad_file_is_named(tmp_path, content, message):
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.yaml") as error:
        load_config(path)
    assert message in str(error.value)


@settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(st.text(alphabet="abcdefilnorst:-[]{}'\"#&*!|>?%@,. \n\t0123456789", max_size=80))
def test_any_text_is_a_config_or_an_error_for_the_user(tmp_path, text):
    path = tmp_path / "any.yaml"
    path.write_text(text)
    try:
        load_config(path)
    except InputError:
        return


def test_truth_values_are_read_as_ever_and_words_as_labels():
    text = "{regimes: [{kind: real, fresh: %s}], corpus: {labels: [no, yes, on, off]}}"
    for word, value in {"yes": True, "on": True, "true": True, "no": False, "off": False}.items():
        config = parse_config(
            read_yaml(text % word, "x"), ["loop.generations=0", f"regimes.0.fresh={word}"]
        )
        assert config.regimes[0].fresh is value
        assert config.corpus.labels == ("no", "yes", "on", "off")
        written = write_yaml(config.model_dump(mode="json"))
        assert parse_config(read_yaml(written, "x")) == config
        # A reader of YAML 1.1 reads the same.
        assert yaml.safe_load(written)["corpus"]["labels"] == ["no", "yes", "on", "off"]
    values = {"base": {"scratch": {"pretraining": {"mix": {0: 0.2, 1: 0.8}}}}}
    config = parse_config({**values, "report": {"leaning": 1}})
    assert config.base.scratch.pretraining.mix == {"0": 0.2, "1": 0.8}
    assert config.report.leaning == "1"


BUILT_IN = {
    "corpus.source": ["conventions", "control"],
    "base.model": ["scratch"],
    "metrics.leaning.classifier": ["builtin"],
    "metrics.quality.classifier": ["builtin"],
}


@pytest.mark.parametrize("key", BUILT_IN)
def test_a_folder_called_as_what_is_built_in_does_not_stand_for_it(tmp_path, monkeypatch, key):
    def read(name):
        path.write_text(f"seed: 1\n{sections[0]}: {'{'}{': {'.join(sections[1:])}: {name}{ends}")
        value = load_config(path)
        for section in sections:
            value = getattr(value, section)
        return value

    sections = key.split(".")
    ends = "}" * (len(sections) - 1)
    path = tmp_path / "run.yaml"
    for name in ("conventions", "control", "scratch", "builtin"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert load_config("demo").name == "demo"
    for name in ("conventions", "control", "scratch", "builtin"):
        meant = name in BUILT_IN[key]
        assert read(name) == (name if meant else str(tmp_path / name))
        assert read(f"./{name}") == str(tmp_path / name)


@pytest.mark.parametrize("key", BUILT_IN)
def test_a_path_in_an_override_is_of_the_current_folder_first(tmp_path, monkeypatch, key):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        (folder / "mine").mkdir(parents=True)
    (there / "only").mkdir()
    for name in BUILT_IN[key]:
        (here / name).mkdir()
    (there / "run.yaml").write_text("seed: 1\n")
    monkeypatch.chdir(here)

    def read(value):
        found = load_config(there / "run.yaml", [f"{key}={value}"])
        for section in key.split("."):
            found = getattr(found, section)
        return found

    assert read("mine") == str(here / "mine")
    assert read("only") == str(there / "only")
    assert read("nowhere") == "nowhere"
    assert [read(name) for name in BUILT_IN[key]] == BUILT_IN[key]
