"""Models and data sets of a hub on this machine, by huggingface_hub's own client."""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from biasloop.config import Columns, CorpusConfig, LeaningConfig, ScratchConfig
from biasloop.corpus.load import fingerprint, load_corpus
from biasloop.errors import InputError
from biasloop.loop.plan import content_of
from biasloop.metrics.pretrained import load_classifier
from biasloop.metrics.sentence_encoder import EmbeddingCandidate
from biasloop.models.load import build_scratch_model, load_model, save_model, train_tokenizer
from hub_server import READER, WRITER, point_at, serve

TEXTS = ["a model of a few words", "of a few", "words of a model"]
LABELS = ("left", "right")


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    """Two tiny causal models of one shape, in two folders."""
    place = tmp_path_factory.mktemp("causal")
    tokenizer = train_tokenizer(["a model of a few words"], 300)
    for seed, name in enumerate(("first", "second")):
        config = ScratchConfig(layers=1, width=16, context=128)
        save_model(build_scratch_model(tokenizer, config, seed), place / name)
    return place


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """A tiny sequence classifier and the same model without a head."""
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "metrics"))  # noqa: PTH118, PTH120
    from tiny_models import tiny_bert, words_tokenizer

    place = tmp_path_factory.mktemp("encoders")
    tokenizer = words_tokenizer(" ".join(TEXTS).split())
    tiny_bert("BertForSequenceClassification", tokenizer, place / "classifier", labels=LABELS)
    tiny_bert("BertModel", tokenizer, place / "encoder")
    return place


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with serve() as server:
        point_at(monkeypatch, server.address, tmp_path / "cache")
        server.use = lambda token: monkeypatch.setenv("HF_TOKEN", token)
        server.cache = tmp_path / "cache"
        yield server


@pytest.fixture
def switch_off(monkeypatch):
    def switch_off():
        import datasets
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)

    return switch_off


def logits(loaded):
    import torch

    ids = loaded.tokenizer("a few words of a model", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return loaded.model(input_ids=ids.to(loaded.model.device)).logits.cpu()


def same(one, other):
    import torch

    return one.shape == other.shape and torch.equal(one, other)


# Models ------------------------------------------------------------------------------------------


def test_a_model_has_the_logits_of_its_folder_and_only_what_is_read_is_fetched(hub, causal):
    extra = {"pytorch_model.bin": b"pickle", "onnx/config.json": b"{}", "modeling_own.py": b"1/0"}
    hub.put("model", "some/tiny", causal / "first")
    commit = hub.put("model", "some/tiny", extra)
    loaded = load_model("some/tiny")
    assert same(logits(loaded), logits(load_model(str(causal / "first"))))
    assert loaded.commit == commit
    fetched = {path.split("/", 5)[-1] for path in hub.asked("/resolve/") if path[:3] == "GET"}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= fetched
    assert not fetched & set(extra)
    before = len(hub.requests)
    load_model("some/tiny", weights=False)
    assert not [path for path in hub.asked("GET")[before:] if "safetensors" in path]


def test_only_its_shape_is_fetched_where_weights_are_not_wanted(hub, causal):
    hub.put("model", "some/tiny", causal / "first")
    shape = load_model("some/tiny", weights=False)
    assert shape.model.config.n_embd == 16
    assert not hub.asked("safetensors")


def test_shards_are_fetched_by_their_index(hub, causal, tmp_path):
    loaded = load_model(str(causal / "first"))
    loaded.model.save_pretrained(tmp_path / "shards", max_shard_size="10KB")
    loaded.tokenizer.save_pretrained(tmp_path / "shards")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    hub.put("model", "some/shards", tmp_path / "shards")
    assert same(logits(load_model("some/shards")), logits(loaded))


def test_a_revision_is_another_model_and_another_content(hub, causal):
    first = hub.put("model", "some/tiny", causal / "first")
    second = hub.put("model", "some/tiny", causal / "second", ref="v2")
    ones = [logits(load_model("some/tiny", revision)) for revision in (None, "v2", first, second)]
    assert same(ones[0], ones[2])
    assert same(ones[1], ones[3])
    assert not same(ones[0], ones[1])
    assert content_of("some/tiny") == {"hub": "some/tiny", "commit": first}
    assert content_of("some/tiny", "v2") == {"hub": "some/tiny", "commit": second}
    third = hub.put("model", "some/tiny", {"README.md": b"more"})
    assert content_of("some/tiny")["commit"] == third


def test_a_stage_loads_the_commit_that_its_key_names(hub, causal, tmp_path):
    from biasloop.config import Config
    from biasloop.loop.generation_stages import Base

    hub.put("model", "some/tiny", causal / "first")
    config = Config.model_validate({"base": {"model": "some/tiny"}})
    content = content_of("some/tiny")
    hub.put("model", "some/tiny", causal / "second")
    (tmp_path / "out").mkdir()
    Base(config, "base", {}, content).run(tmp_path / "out", {}, lambda *_: None, tmp_path)
    sealed = load_model(str(tmp_path / "out" / "model"))
    assert same(logits(sealed), logits(load_model(str(causal / "first"))))
    assert str(hub.cache) not in (tmp_path / "out" / "model" / "config.json").read_text()


def adapted(kind, folder, base, place, head=True, **settings):
    """Train-free adapter of a folder's model; save it, give the merged model's logits."""
    import peft
    import torch
    import transformers

    torch.manual_seed(5)
    model = getattr(transformers, kind).from_pretrained(folder, **settings)
    task = "CAUSAL_LM" if "Causal" in kind else "SEQ_CLS"
    modules = "all-linear" if task == "CAUSAL_LM" else ["query", "value"]
    task = task if head else None
    config = peft.LoraConfig(r=2, target_modules=modules, task_type=task)
    attached = peft.get_peft_model(model, config).eval()
    for value in attached.parameters():
        if value.requires_grad:
            value.data = value.data + 0.3 * torch.randn_like(value)
    attached.peft_config["default"].base_model_name_or_path = base
    attached.save_pretrained(place, save_embedding_layers=False)
    return attached


def test_an_adapter_is_merged_into_its_base_of_the_hub(hub, causal, tmp_path):
    pytest.importorskip("peft")
    base = hub.put("model", "some/tiny", causal / "first")
    attached = adapted("AutoModelForCausalLM", causal / "first", "some/tiny", tmp_path / "adapter")
    commit = hub.put("model", "some/adapter", tmp_path / "adapter")
    loaded = load_model("some/adapter", precision="float32")
    ids = loaded.tokenizer("a few words of a model", return_tensors="pt")["input_ids"]
    expected = attached(input_ids=ids).logits.detach()
    import torch

    torch.testing.assert_close(logits(loaded), expected, atol=1e-4, rtol=1e-4)
    assert loaded.adapter.base == "some/tiny"
    assert content_of("some/adapter") == {
        "adapter": {"hub": "some/adapter", "commit": commit},
        "base": {"hub": "some/tiny", "commit": base},
        "revision": None,
    }
    # One in a local folder, of a base on the hub.
    assert same(logits(load_model(str(tmp_path / "adapter"), precision="float32")), logits(loaded))


@pytest.mark.parametrize("base", ["some/loop", "some/gone"])
def test_an_adapter_without_a_model_under_it_is_refused(hub, causal, tmp_path, base):
    pytest.importorskip("peft")
    adapted("AutoModelForCausalLM", causal / "first", base, tmp_path / "adapter")
    hub.put("model", "some/loop", tmp_path / "adapter")
    words = "holds an adapter itself" if base == "some/loop" else "has no such model"
    with pytest.raises(InputError, match=rf"'some/loop': .*{words}"):
        load_model("some/loop")


def test_a_classifier_and_one_stored_as_an_adapter(hub, encoders, tmp_path):
    import numpy as np

    hub.put("model", "some/classifier", encoders / "classifier")
    found = load_classifier("some/classifier", LABELS, {}, "leaning")
    local = load_classifier(str(encoders / "classifier"), LABELS, {}, "leaning")
    np.testing.assert_array_equal(found.probabilities(TEXTS, 2), local.probabilities(TEXTS, 2))
    assert found.revision == content_of("some/classifier")["commit"]

    peft = pytest.importorskip("peft")
    hub.put("model", "some/encoder", encoders / "encoder")
    three = {"num_labels": 3}
    kind = "AutoModelForSequenceClassification"
    attached = adapted(kind, encoders / "encoder", "some/encoder", tmp_path / "adapter", **three)
    assert isinstance(attached, peft.PeftModel)
    hub.put("model", "some/adapter", tmp_path / "adapter")
    label_map = {"LABEL_0": "left", "LABEL_1": "right", "LABEL_2": "right"}
    found = load_classifier("some/adapter", LABELS, label_map, "leaning")
    batch = found.tokenizer(TEXTS, padding=True, return_tensors="pt")
    raw = attached(**batch).logits.softmax(dim=-1).detach().double().numpy()
    expected = np.stack([raw[:, 0], raw[:, 1:].sum(axis=1)], axis=1)
    np.testing.assert_allclose(found.probabilities(TEXTS, 2), expected, atol=1e-5)
    assert found.revision == content_of("some/adapter")["adapter"]["commit"]
    # One that leaves the head as it is has its labels.
    kept = adapted(kind, encoders / "classifier", "some/classifier", tmp_path / "kept", head=False)
    hub.put("model", "some/kept", tmp_path / "kept")
    found = load_classifier("some/kept", LABELS, {}, "leaning")
    raw = kept(**batch).logits.softmax(dim=-1).detach().numpy()
    np.testing.assert_allclose(found.probabilities(TEXTS, 2), raw, atol=1e-5)
    assert not np.allclose(raw, local.probabilities(TEXTS, 2), atol=1e-3)
    # With the classifier's config.json beside it, its labels have names.
    attached.base_model.config.id2label = {0: "left", 1: "right", 2: "none"}
    attached.base_model.config.save_pretrained(tmp_path / "adapter")
    hub.put("model", "some/adapter", tmp_path / "adapter")
    named = load_classifier("some/adapter", LABELS, {"none": "right"}, "leaning")
    np.testing.assert_allclose(named.probabilities(TEXTS, 2), expected, atol=1e-5)


def test_a_sentence_encoder_pools_as_its_repository_says(hub, encoders):
    import numpy as np

    def encode(name):
        settings = LeaningConfig(classifier=name, kind="embedding")
        return EmbeddingCandidate("embedding", 1.0, settings).load().encode(TEXTS)

    hub.put("model", "some/encoder", encoders / "encoder")
    plain = content_of("some/encoder")
    np.testing.assert_array_equal(encode("some/encoder"), encode(str(encoders / "encoder")))
    pooling = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    hub.put("model", "some/encoder", {"1_Pooling/config.json": json.dumps(pooling).encode()})
    place = encoders / "by-first"
    shutil.copytree(encoders / "encoder", place)
    (place / "1_Pooling").mkdir()
    (place / "1_Pooling/config.json").write_text(json.dumps(pooling))
    np.testing.assert_array_equal(encode("some/encoder"), encode(str(place)))
    assert not np.allclose(encode("some/encoder"), encode(str(encoders / "encoder")))
    # Both are another content than before, and so another stage.
    assert content_of("some/encoder") != plain
    before = content_of(str(place))
    (place / "1_Pooling/config.json").write_text(json.dumps(pooling | {"include_prompt": True}))
    assert content_of(str(place)) != before


@pytest.mark.parametrize("files", [{"pytorch_model.bin": b"x"}, {}])
def test_weights_that_are_no_safetensors_are_refused(hub, causal, files):
    small = {p.name: p.read_bytes() for p in (causal / "first").iterdir() if p.suffix == ".json"}
    hub.put("model", "some/tiny", small | files)
    with pytest.raises(InputError, match=r"'some/tiny': .*no model\.safetensors.*never pickle"):
        load_model("some/tiny")
    hub.put("model", "some/empty", {"README.md": b""})
    with pytest.raises(InputError, match=r"no config\.json"):
        load_model("some/empty")


# Data sets ---------------------------------------------------------------------------------------

COLUMNS = Columns(article_id=None, title=None, body="text", label="label", source=None)


def jsonl(name):
    rows = [{"text": f"{name} {i}", "label": "ab"[i % 2]} for i in range(6)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet(name):
    import datasets

    rows = [json.loads(line) for line in jsonl(name).splitlines()]
    classes = datasets.ClassLabel(names=["b", "a"])
    features = datasets.Features({"text": datasets.Value("string"), "label": classes})
    out = io.BytesIO()
    datasets.Dataset.from_list(rows, features=features).to_parquet(out)
    return out.getvalue()


def subsets(ending):
    make = {"jsonl": jsonl, "parquet": parquet}[ending]
    card = "---\nconfigs:\n"
    card += f"- config_name: first\n  data_files: first/train.{ending}\n"
    card += f"- config_name: second\n  data_files:\n  - {{split: train, path: second/*.{ending}}}\n"
    card += f"  - {{split: test, path: test.{ending}}}\n---\n"
    files = {"first/train": "first", "second/0": "second", "test": "test"}
    content = {f"{path}.{ending}": make(name) for path, name in files.items()}
    return {"README.md": card.encode(), **content}


def bodies(**settings):
    corpus = load_corpus(CorpusConfig(source="hub:some/news", columns=COLUMNS, **settings), 0)
    assert corpus.articles["label"].to_list() == ["a", "b"] * 3
    return corpus.articles["body"].to_list()


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("settings", "first"),
    [
        ({"subset": "first"}, "first 0"),
        ({"subset": "second"}, "second 0"),
        ({"subset": "second", "split": "test"}, "test 0"),
    ],
)
def test_a_subset_and_a_split_are_those_that_are_asked_for(hub, ending, settings, first):
    hub.put("dataset", "some/news", subsets(ending))
    found = bodies(**settings)
    assert found[0] == first
    assert len(found) == 6


def test_the_subsets_are_named_where_one_is_needed_and_the_splits_where_one_is_not_there(
    hub,
):
    hub.put("dataset", "some/news", subsets("jsonl"))
    for subset in (None, "third"):
        with pytest.raises(InputError, match=r"set corpus\.subset.* to one of first, second$"):
            bodies(subset=subset)
    with pytest.raises(InputError, match=r"corpus\.split \('nowhere'\)"):
        bodies(subset="first", split="nowhere")


def test_another_commit_of_a_data_set_is_another_content(hub, switch_off):
    first = hub.put("dataset", "some/news", {"train.jsonl": jsonl("old")})
    config = CorpusConfig(source="hub:some/news", columns=COLUMNS)
    before = fingerprint(config)
    assert bodies()[0] == "old 0"
    hub.put("dataset", "some/news", {"train.jsonl": jsonl("new")})
    assert bodies()[0] == "new 0"
    assert fingerprint(config) != before
    assert bodies(revision=first)[0] == "old 0"
    assert fingerprint(config.model_copy(update={"revision": first})) != before
    # Out of reach, the copy of another revision does not stand for the one that is asked for.
    hub.put("dataset", "some/news", {"train.jsonl": jsonl("next")}, ref="next")
    switch_off()
    assert bodies()[0] == "new 0"
    for revision in ("next", "0" * 40):
        with pytest.raises(InputError, match=rf"not of the revision '{revision}'.*OFFLINE is set"):
            bodies(revision=revision)


# What the hub does not give -----------------------------------------------------------------------


def act_of(kind, name, revision=None):
    def act():
        if kind == "model":
            return load_model(name, revision)
        config = CorpusConfig(source=f"hub:{name}", revision=revision, columns=COLUMNS)
        return load_corpus(config, 0)

    return act


def message(kind, name, revision=None):
    with pytest.raises(InputError) as found:
        act_of(kind, name, revision)()
    return str(found.value)


@pytest.fixture
def stocked(hub, causal):
    for name, readers in (("some/tiny", None), ("some/gated", (READER,))):
        hub.put("model", name, causal / "first", readers=readers)
        hub.put("dataset", name, {"train.jsonl": jsonl("x")}, readers=readers)
    return hub


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_what_is_gated_is_served_to_whom_it_is_granted_and_else_told(stocked, kind):
    for token in ("", WRITER):  # nobody, and somebody who has not accepted its licence
        stocked.use(token)
        said = message(kind, "some/gated")
        page = f"{stocked.address}/{'datasets/' if kind == 'dataset' else ''}some/gated"
        for word in ("gated", f"accept its licence at {page} ", "hf auth login", "HF_TOKEN"):
            assert word in said
    stocked.use(READER)
    act_of(kind, "some/gated")()


@pytest.mark.parametrize("kind", ["model", "dataset"])
@pytest.mark.parametrize(
    ("name", "revision", "token", "words"),
    [
        ("some/other", None, "", ["has no such {kind}", "spelt right"]),
        ("some/other", None, READER, ["has no such {kind}", "spelt right"]),
        ("some/tiny", "v9", "", ["no revision 'v9'", "/commits/main"]),
        ("some/tiny", "../../x", "", ["'../../x' is no branch, tag or commit"]),
        ("some/tiny", None, "hf_expired", ["HTTP 401", "may have run out"]),
    ],
)
def test_what_the_hub_refuses_is_told_in_words(stocked, kind, name, revision, token, words):
    stocked.use(token)
    said = message(kind, name, revision)
    for word in words:
        assert word.format(kind=kind) in said


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_hub_that_is_broken_is_told_and_a_copy_is_used(stocked, kind):
    stocked.broken = 503
    assert "HTTP 503: try again later" in message(kind, "some/tiny")
    stocked.broken = None
    act_of(kind, "some/tiny")()
    stocked.broken = 503
    act_of(kind, "some/tiny")()


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_host_that_never_answers_is_given_up_within_ten_seconds(stocked, monkeypatch, kind):
    act = act_of(kind, "some/tiny")
    before = content_of("some/tiny")
    act()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr("biasloop.hub.PATIENCE", 1.0)
        point_at(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}", stocked.cache)
        start = time.monotonic()
        act()  # there is a copy
        assert time.monotonic() - start < 10
        assert content_of("some/tiny") == before
        start = time.monotonic()
        assert "out of reach" in message(kind, "some/other")
        assert time.monotonic() - start < 10


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_copy_is_used_where_the_hub_is_switched_off(stocked, switch_off, kind):
    act_of(kind, "some/tiny")()
    content = content_of("some/tiny")
    before = len(stocked.requests)
    switch_off()
    act_of(kind, "some/tiny")()
    assert content_of("some/tiny") == content
    said = message(kind, "some/other")
    assert "HF_HUB_OFFLINE is set" in said
    assert len(stocked.requests) == before


def test_a_copy_without_weights_is_told(stocked, switch_off):
    load_model("some/tiny", weights=False)
    switch_off()
    load_model("some/tiny", weights=False)
    said = message("model", "some/tiny")
    assert "the weights (model.safetensors) cannot be had: HF_HUB_OFFLINE is set" in said


def test_what_is_not_on_this_disk_names_the_switch_where_the_hub_is_switched_off(tmp_path):
    """In a process of its own: the libraries read the switch when they are imported."""
    code = (
        "from biasloop.config import CorpusConfig\n"
        "from biasloop.corpus.load import load_corpus\n"
        "from biasloop.errors import InputError\n"
        "from biasloop.models.load import load_model\n"
        "for act in (lambda: load_model('some/tiny'),\n"
        "            lambda: load_corpus(CorpusConfig(source='hub:some/tiny'), 0)):\n"
        "    try:\n        act()\n    except InputError as error:\n        print(error)\n"
    )
    own = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all("HF_HUB_OFFLINE is set" in line for line in lines)
