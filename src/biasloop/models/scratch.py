"""A small GPT-2-architecture model with its own byte-level BPE tokenizer, not yet trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from biasloop.config import ScratchConfig
from biasloop.device import choose
from biasloop.models.load import LoadedModel, quiet

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer: every text can be encoded, none is out of vocabulary.

    Parameters
    ----------
    texts
        What the merges are learnt from.
    vocabulary
        Number of tokens, the 256 bytes and the end-of-text token included.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
    )


def build_scratch_model(
    tokenizer: PreTrainedTokenizerFast, config: ScratchConfig, seed: int
) -> LoadedModel:
    """Build a GPT-2-architecture model with random weights drawn from ``seed``."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, set_seed

    quiet()
    set_seed(seed)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=config.context,
            n_embd=config.width,
            n_layer=config.layers,
            n_head=config.heads,
            resid_pdrop=config.dropout,
            embd_pdrop=config.dropout,
            attn_pdrop=config.dropout,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    device = choose("float32")
    model.to(torch.device(device.name)).eval()
    return LoadedModel(model, tokenizer, device)
