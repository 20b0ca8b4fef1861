"""LoRA: what PEFT says, with the fast ways and without, stopped, in a chain; refused where due."""

import json
from dataclasses import replace

import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from biasloop.config import Config, LoraConfig, ScratchConfig, TrainingConfig
from biasloop.device import Device
from biasloop.errors import InputError
from biasloop.loop.generation_stages import _training_settings
from biasloop.loop.plan import contents_of
from biasloop.models.fast.packing import can_pack
from biasloop.models.load import build_scratch_model, load_model, save_model, train_tokenizer
from biasloop.stages.finetune import finetune
from biasloop.stages.fsdp import _needs
from biasloop.stages.methods import method_of
from biasloop.tables import ARTICLES

peft = pytest.importorskip("peft")
TEXTS = ["The river runs to the sea and the sea is wide.", "We hold a vote. The vote is close."]
TOKENS = torch.arange(2, 40).reshape(2, -1)


def lora(**settings):
    return TrainingConfig(
        method="lora",
        lora=LoraConfig(rank=2, **settings),
        epochs=2,
        batch_size=1,
        learning_rate=1e-3,
        precision="float32",
        samples="article",
        checkpoint_minutes=0,
    )


def articles(bodies=(*TEXTS, TEXTS[0][5:])):
    columns = {name: [""] * len(bodies) for name in ARTICLES.names()}
    ids = [str(number) for number in range(len(bodies))]
    return pl.DataFrame({**columns, "article_id": ids, "body": list(bodies)}, schema=ARTICLES)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A GPT-2, whose layers are transposed and whose embeddings are tied, and a Llama without."""
    place = tmp_path_factory.mktemp("models")
    tokenizer = train_tokenizer(TEXTS, 300)
    scratch = ScratchConfig(layers=2, width=32, heads=2, vocabulary=300, context=128)
    gpt2 = build_scratch_model(tokenizer, scratch, 3)
    save_model(gpt2, place / "gpt2")
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=False,
    )
    save_model(replace(gpt2, model=AutoModelForCausalLM.from_config(config)), place / "llama")
    return place


def load(folder):
    return replace(load_model(str(folder), precision="float32"), device=Device("cpu", "float32"))


def logits(model):
    with torch.no_grad():
        return model(TOKENS).logits


def with_adapter(model, folder, name="default"):
    return peft.PeftModel.from_pretrained(model, str(folder), name)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
@pytest.mark.parametrize("modules", ["all-linear", "auto"])
def test_the_merged_model_is_the_start_with_its_adapter_and_every_change_has_its_rank(
    folders, tmp_path, name, modules
):
    start, trained = load(folders / name), load(folders / name)
    finetune(trained, articles(), lora(target_modules=modules), 5, kept=tmp_path / "adapter")
    change = {
        n: after - before
        for (n, before), (_, after) in zip(
            start.model.named_parameters(), trained.model.named_parameters(), strict=True
        )
    }
    moved = {n for n, by in change.items() if by.abs().max() > 0}
    layers = {"all-linear": {"gpt2": 4, "llama": 7}, "auto": {"gpt2": 1, "llama": 2}}
    assert len(moved) == 2 * layers[modules][name]
    assert max(int(torch.linalg.matrix_rank(change[n], rtol=1e-4)) for n in moved) == 2
    adapted = with_adapter(load(folders / name).model, tmp_path / "adapter")
    torch.testing.assert_close(logits(trained.model), logits(adapted), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(logits(trained.model), logits(start.model), atol=1e-3)
    names = sorted(path.name for path in (tmp_path / "adapter").iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors"]
    said = (tmp_path / "adapter/adapter_config.json").read_text()
    assert json.loads(said)["base_model_name_or_path"] is None
    assert str(folders) not in said


@pytest.mark.parametrize(
    ("name", "modules"), [("gpt2", "all-linear"), ("llama", "all-linear"), ("llama", ["lm_head"])]
)
def test_the_fast_ways_train_the_adapters_that_the_plain_ways_do(
    folders, monkeypatch, name, modules
):
    trained = []
    for fast in ("1", "0"):
        monkeypatch.setenv("BIASLOOP_FAST", fast)
        loaded = load(folders / name)
        assert can_pack(loaded.model) == (fast == "1")
        log = finetune(loaded, articles(), lora(target_modules=modules), 5)
        trained.append((log.losses, logits(loaded.model)))
    assert trained[0][0] == pytest.approx(trained[1][0], rel=1e-4)
    torch.testing.assert_close(trained[0][1], trained[1][1], atol=1e-3, rtol=1e-3)
    start = logits(load(folders / name).model)
    assert float((trained[0][1] - start).abs().max()) > 1e-2


def test_an_output_layer_with_an_adapter_is_not_read_by_its_weights_alone(folders):
    model = load(folders / "llama").model
    method_of(lora(target_modules=["lm_head"])).begin(model, 0)
    assert not can_pack(model)


def test_a_chain_of_kept_adapters_is_the_chain_of_merged_models(folders, tmp_path):
    """Merged one after the other, and all at once: changes of one weight add up."""
    loaded = load(folders / "gpt2")
    after = []
    for generation in range(3):
        config = lora(keep=True)
        finetune(loaded, articles(), config, generation, kept=tmp_path / str(generation))
        save_model(loaded, tmp_path / f"model-{generation}")
        loaded = load(tmp_path / f"model-{generation}")
        after.append(logits(loaded.model))
    one_by_one = load(folders / "gpt2").model
    together = None
    for generation in range(3):
        folder = tmp_path / str(generation)
        one_by_one = with_adapter(one_by_one, folder).merge_and_unload()
        # The same arithmetic, and so the same bytes.
        assert torch.equal(logits(one_by_one), after[generation])
        if together is None:
            together = with_adapter(load(folders / "gpt2").model, folder, "0")
        else:
            together.load_adapter(str(folder), str(generation))
        together.base_model.set_adapter([str(g) for g in range(generation + 1)])
        torch.testing.assert_close(logits(together), after[generation], atol=1e-4, rtol=1e-4)


class StopError(Exception):
    pass


def test_a_stopped_training_goes_on_from_its_adapters_to_the_same_bytes(folders, tmp_path):
    def stop_after(steps):
        told = []

        def progress(tokens):
            told.append(tokens)
            if len(told) == steps:
                raise StopError

        return progress

    config, whole, resumed = lora(dropout=0.2), load(folders / "gpt2"), load(folders / "gpt2")
    log = finetune(whole, articles(), config, 5)
    assert log.steps == 6
    for stop in (3, 2):
        with pytest.raises(StopError):
            finetune(
                load(folders / "gpt2"),
                articles(),
                config,
                5,
                checkpoints=tmp_path,
                on_progress=stop_after(stop),
            )
    (checkpoint,) = tmp_path.iterdir()
    assert (checkpoint / "adapter_model.safetensors").is_file()
    assert not list(checkpoint.glob("model*")), "a checkpoint has the adapters only"
    told = []
    assert (
        finetune(resumed, articles(), config, 5, checkpoints=tmp_path, on_progress=told.append)
        == log
    )
    assert len(told) == 6 - 3
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_several_processes_saved_becomes_the_model_that_one_makes(folders, tmp_path):
    config, alone, shared = lora(), load(folders / "llama"), load(folders / "llama")
    method = method_of(config)
    finetune(alone, articles(), config, 5)
    finetune(shared, articles(), config, 5, save_to=tmp_path / "model")
    shared.tokenizer.save_pretrained(tmp_path / "model")
    method.gather(folders / "llama", tmp_path / "model", tmp_path / "adapter")
    gathered = load_model(str(tmp_path / "model"), precision="float32")
    torch.testing.assert_close(logits(gathered.model), logits(alone.model))
    assert gathered.adapter is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "model"]


def test_memory_is_that_of_the_weights_and_of_the_adapters_in_training(folders):
    numbers = sum(p.numel() for p in load(folders / "llama").model.parameters())
    assert _needs(folders / "llama", TrainingConfig()) == 16 * numbers
    # Per layer: q and o 32 -> 32, k and v 32 -> 16, gate and up 32 -> 48, down 48 -> 32.
    adapters = 2 * 2 * (2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 48))
    assert _needs(folders / "llama", lora()) == 4 * numbers + 12 * adapters


@pytest.mark.parametrize(
    ("modules", "words"),
    [
        (["nothing"], "target_modules: .*nothing.*'all-linear' adapts"),
        (["c_attn", "nothing"], "target_modules: the model has no module 'nothing'"),
        (["lm_head"], "names one of two tied weights"),
        (["wte"], "names one of two tied weights"),
    ],
)
def test_modules_that_are_not_there_or_tied_are_refused(folders, modules, words):
    config = lora(target_modules=modules)
    with pytest.raises(InputError, match=words):
        finetune(load(folders / "gpt2"), articles(), config, 5)
    base = {"model": str(folders / "gpt2")}
    with pytest.raises(InputError, match=words):  # before anything is computed
        contents_of(Config.model_validate({"base": base, "training": config.model_dump()}))


def test_a_training_that_diverged_is_no_model(folders):
    config = TrainingConfig(epochs=20, batch_size=2, precision="float32", learning_rate=1e12)
    with pytest.raises(InputError, match=r"not finite everywhere: the training has diverged"):
        finetune(load(folders / "gpt2"), articles(), config, 5)


def test_without_peft_nothing_is_begun(monkeypatch):
    monkeypatch.setattr("biasloop.stages.methods.find_spec", lambda name: None)
    config = Config.model_validate({"training": {"method": "lora"}, "base": {"model": "scratch"}})
    with pytest.raises(InputError, match=r"needs PEFT, which is not installed: pip install"):
        contents_of(config)


def test_a_training_of_every_weight_on_plain_text_has_the_key_it_always_had():
    assert sorted(_training_settings(TrainingConfig())) == [
        "batch_size",
        "epochs",
        "learning_rate",
        "max_tokens",
        "precision",
        "samples",
        "schedule",
        "weight_decay",
    ]
    own = _training_settings(lora())
    assert own["method"] == "lora"
    assert own["lora"]["rank"] == 2
    with pytest.raises(ValueError, match="lora is a setting of method: lora, and method is full"):
        TrainingConfig(lora={"rank": 3})
    with pytest.raises(ValueError, match=r"neither 'all-linear' nor 'auto'; .*: \[q_proj\]"):
        LoraConfig(target_modules="q_proj")
    assert TrainingConfig(**lora().model_dump(mode="json")) == lora()
