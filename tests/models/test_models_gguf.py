"""SmolLM2 from its asset: loaded, saved as safetensors, the same."""

import pytest
import torch
from transformers.trainer_utils import validate_quantization_for_training

from biasloop.assets import asset_path
from biasloop.errors import InputError
from biasloop.models.load import load_model, save_model


@pytest.mark.slow
@pytest.mark.slow
def test_a_gguf_asset_becomes_a_safetensors_folder(tmp_path):
    try:
        asset_path("smollm2-135m")
    except InputError:
        pytest.skip("needs `biasloop download smollm2-135m`")
    loaded = load_model("smollm2-135m", precision="float32")
    validate_quantization_for_training(loaded.model)  # as the Trainer does first
    save_model(loaded, tmp_path / "model")
    again = load_model(str(tmp_path / "model"), precision="float32")
    ids = torch.tensor([loaded.tokenizer("The president said that")["input_ids"]])
    with torch.inference_mode():
        assert torch.equal(loaded.model(ids).logits, again.model(ids).logits)
