"""A folder with an adapter: merged into its model as peft does it, or refused before anything."""

import importlib.util
import json
import shutil

import pytest
import torch

from biasloop.config import Config, ScratchConfig
from biasloop.errors import InputError
from biasloop.loop.generation_stages import Base
from biasloop.loop.plan import content_of
from biasloop.models.load import build_scratch_model, load_model, save_model, train_tokenizer

peft = pytest.importorskip("peft")
TOKENS = torch.arange(2, 40).reshape(2, -1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A base model's folder, and beside it a LoRA adapter of every linear layer."""
    place = tmp_path_factory.mktemp("made")
    tokenizer = train_tokenizer(["a model of a few words"], 300)
    model = build_scratch_model(tokenizer, ScratchConfig(layers=2, width=16, context=128), 0)
    save_model(model, place / "base")
    return place


def adapt(place, config, name="adapter"):
    """Save an adapter that changes something; give peft's own logits of model and adapter."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_pretrained(place / "base")
    plain = model(TOKENS).logits.detach()
    attached = peft.get_peft_model(model, config).eval()
    for key, value in attached.named_parameters():
        if value.requires_grad:
            value.data = value.data + 0.3 * torch.randn_like(value)
            assert "base_layer" not in key
    attached.save_pretrained(place / name)
    expected = attached(TOKENS).logits.detach()
    merged = attached.merge_and_unload()(TOKENS).logits.detach()
    return plain, expected, merged


def lora():
    return peft.LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")


@pytest.fixture
def place(made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.parametrize("whole", [True, False])
def test_it_is_merged_as_peft_merges_it_and_stays_so_when_saved(place, whole, tmp_path):
    plain, expected, merged = adapt(place, lora())
    if whole:  # model and adapter in one folder
        for file in (place / "base").iterdir():
            shutil.copy(file, place / "adapter")
    loaded = load_model(str(place / "adapter"), precision="float32")
    found = loaded.model(TOKENS).logits.detach()
    torch.testing.assert_close(found, merged)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found, plain, atol=1e-2)
    assert loaded.adapter.kind == "LORA"
    save_model(loaded, tmp_path / "saved")
    assert not list((tmp_path / "saved").glob("adapter*"))
    torch.testing.assert_close(load_model(str(tmp_path / "saved")).model(TOKENS).logits, found)


def test_a_base_stage_holds_the_merged_model_and_says_so(place, tmp_path):
    adapt(place, lora())
    config = Config.model_validate({"base": {"model": str(place / "adapter")}})
    out = tmp_path / "stage"
    out.mkdir()
    Base(config, "base", {}, None).run(out, {}, lambda *a, **k: None, tmp_path)
    said = json.loads((out / "decoding.json").read_text())["adapter"]
    assert said == {"type": "LORA", "base": str(place / "base")}
    assert load_model(str(out / "model")).adapter is None


def test_the_content_is_that_of_the_adapter_and_of_its_base(place):
    adapt(place, lora())
    first = content_of(str(place / "adapter"))
    assert content_of(str(place / "adapter")) == first
    (place / "base/config.json").write_text((place / "base/config.json").read_text() + "\n")
    second = content_of(str(place / "adapter"))
    assert second != first
    adapt(place, peft.LoraConfig(r=3, target_modules="all-linear", task_type="CAUSAL_LM"))
    assert content_of(str(place / "adapter")) != second


def change(folder, **settings):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"peft_type": "PREFIX_TUNING"}, "'PREFIX_TUNING', which cannot be merged"),
        ({"peft_type": 3}, "which cannot be merged"),
        ({"base_model_name_or_path": None}, "names no base_model_name_or_path"),
        ({"base_model_name_or_path": "{adapter}"}, "names this folder as base_model_name"),
        ({"base_model_name_or_path": "./gone"}, "the model under its adapter: ./gone: no such"),
    ],
)
def test_what_cannot_be_merged_is_refused_before_anything_is_read(place, settings, words):
    adapt(place, lora())
    if settings.get("base_model_name_or_path") == "{adapter}":
        settings = {"base_model_name_or_path": str(place / "adapter")}
    change(place / "adapter", **settings)
    for refuse in (load_model, content_of):
        with pytest.raises(InputError, match=words):
            refuse(str(place / "adapter"))


def test_without_peft_it_is_refused(place, monkeypatch):
    adapt(place, lora())
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "biasloop.models.adapters.find_spec", lambda name: None if name == "peft" else real(name)
    )
    with pytest.raises(InputError, match=r"install peft to have it merged .*biasloop\[peft\]"):
        content_of(str(place / "adapter"))


def test_pickled_weights_and_a_broken_config_are_refused(place):
    adapt(place, lora())
    (place / "adapter/adapter_model.safetensors").rename(place / "adapter/adapter_model.bin")
    with pytest.raises(InputError, match=r"without adapter_model\.safetensors"):
        load_model(str(place / "adapter"))
    (place / "adapter/adapter_config.json").write_text("{")
    with pytest.raises(InputError, match=r"adapter_config\.json cannot be read"):
        load_model(str(place / "adapter"))


def test_an_adapter_of_another_model_is_refused(place):
    adapt(place, lora())
    tokenizer = load_model(str(place / "base")).tokenizer
    other = build_scratch_model(tokenizer, ScratchConfig(layers=2, width=32, context=128), 0)
    save_model(other, place / "other")
    change(place / "adapter", base_model_name_or_path=str(place / "other"))
    with pytest.raises(InputError, match=r"cannot be merged into .*other .*is it that model's"):
        load_model(str(place / "adapter"))


def test_an_adapter_of_one_of_two_tied_weights_is_refused(place):
    adapt(place, peft.LoraConfig(r=2, target_modules=["lm_head"], task_type="CAUSAL_LM"))
    assert json.loads((place / "base/config.json").read_text())["tie_word_embeddings"]
    with pytest.raises(InputError, match="one of two tied weights"):
        load_model(str(place / "adapter"))


@pytest.mark.parametrize(
    ("kept", "targets", "words"),
    [
        ("lora_A", None, "lacks weights that .* asks for, such as .*lora_B.*only a part"),
        ("nothing", None, "lacks weights"),
        ("", ["c_attn"], "has weights for which .* makes no place, such as .*c_proj"),
    ],
)
def test_an_adapter_that_would_be_merged_in_part_is_refused(place, kept, targets, words):
    from safetensors.torch import load_file, save_file

    adapt(place, lora())
    file = place / "adapter/adapter_model.safetensors"
    save_file({key: w for key, w in load_file(file).items() if kept in key}, file)
    if targets:
        change(place / "adapter", target_modules=targets)
    with pytest.raises(InputError, match=words):
        load_model(str(place / "adapter"))
