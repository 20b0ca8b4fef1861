"""At which tokens a text ends, and what else a model's own decoding settings ask for.

One rule for every way of decoding: the run's ``generation`` settings decide, and of a model's
``generation_config.json`` its end tokens count, all of them. What else that file asks for (a
repetition penalty, suppressed tokens, a temperature) would change what is measured, and
transformers would apply it in beam search only: it is not applied, and said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

#: Settings that name tokens, say how much is kept in memory or put out, or how long a text may be.
_NEUTRAL = frozenset(
    {
        "bos_token_id",
        "cache_implementation",
        "decoder_start_token_id",
        "eos_token_id",
        "max_length",
        "max_new_tokens",
        "pad_token_id",
        "return_dict_in_generate",
        "transformers_version",
        "use_cache",
    }
)


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """List the tokens that end a text: the tokenizer's first, then the model's own others.

    A model without a ``generation_config.json`` has what its architecture's config says by
    default, which may be any word of its vocabulary; that is left aside.
    """
    found = _own_settings(model).get("eos_token_id")
    own = found if isinstance(found, list) else [found]
    rows = len(next(model.get_input_embeddings().parameters()))
    known = [end for end in own if type(end) is int and 0 <= end < rows]
    return tuple(dict.fromkeys([tokenizer.eos_token_id, *known]))


def take_own_settings(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Leave a model its end tokens only, and give what else its own decoding settings asked for.

    What is left is saved with the model, so that its fine-tuned ones end texts alike.
    """
    from transformers import GenerationConfig

    asked = {
        name: value
        for name, value in _own_settings(model).items()
        if name not in _NEUTRAL and not name.startswith(("_", "output_"))
    }
    ends = end_tokens(model, tokenizer)
    model.generation_config = GenerationConfig(
        eos_token_id=list(ends), pad_token_id=tokenizer.pad_token_id
    )
    return asked


def _own_settings(model: PreTrainedModel) -> dict[str, Any]:
    """Give what differs from transformers' defaults; nothing where no file said so."""
    own = getattr(model, "generation_config", None)
    if own is None or getattr(own, "_from_model_config", False):
        return {}
    return own.to_diff_dict()
