"""A model's card: sizes wherever its config has them, and its tokens."""

import pytest
import torch
import transformers

from biasloop.models.load import checkpoint_of, text_config, train_tokenizer

SHAPE = {
    "vocab_size": 300,
    "hidden_size": 1024,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}


@pytest.fixture(scope="module")
def tokenizer():
    tokenizer = train_tokenizer(["a few words"], 300)
    tokenizer.model_max_length = 77
    return tokenizer


def built(name, config):
    with torch.device("meta"):
        return getattr(transformers, name)(config)


def test_sizes_that_lie_in_a_text_config_are_found(tokenizer):
    text = transformers.LlamaConfig(**SHAPE, max_position_embeddings=60)
    vision = transformers.CLIPVisionConfig(
        **SHAPE | {"hidden_size": 16}, image_size=8, patch_size=4
    )
    config = transformers.LlavaConfig(text_config=text, vision_config=vision)
    model = built("LlavaForConditionalGeneration", config)
    assert checkpoint_of(model, tokenizer).context == 60
    plain = built("LlamaForCausalLM", text)
    assert text_config(model).hidden_size == plain.config.hidden_size


@pytest.mark.parametrize(
    ("name", "config", "context"),
    [
        ("GPT2LMHeadModel", transformers.GPT2Config(n_positions=50), 50),
        ("BloomForCausalLM", transformers.BloomConfig(hidden_size=16, n_head=2), 77),
        (
            "RobertaForSequenceClassification",
            transformers.RobertaConfig(**SHAPE, max_position_embeddings=34, pad_token_id=1),
            32,
        ),
    ],
)
def test_the_context_is_what_positions_there_are_or_what_the_tokenizer_states(
    tokenizer, name, config, context
):
    card = checkpoint_of(built(name, config), tokenizer)
    assert (card.context, card.room) == (context, context)
    assert card.limit() == min(context, 77)
    assert card.limit(9) == 9
    assert card.ends == (tokenizer.eos_token_id,)
    assert (card.pad, card.begins) == (tokenizer.pad_token_id, ())
