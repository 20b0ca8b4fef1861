"""The card of a model with its tokenizer: what it says of itself, asked for in one place.

Of its end tokens one rule holds for every way of decoding: the run's ``generation`` settings
decide, and of a model's ``generation_config.json`` its end tokens count, all of them. What else
that file asks for (a repetition penalty, suppressed tokens, a temperature) would change what is
measured, and transformers would apply it in beam search only: it is not applied, and said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biasloop.models.adapters import Adapter
from biasloop.models.tokens import beginning

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

#: Where a classifier's text is cut, if neither model nor tokenizer states a length.
_LONGEST = 8192

#: Decoding settings that name tokens, say how much is kept in memory or put out, or how long a
#: text may be.
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


@dataclass(frozen=True)
class Checkpoint:
    """A model's card.

    Attributes
    ----------
    begins
        Tokens that its tokenizer puts before every text: one, as Gemma's, or none.
    ends
        Tokens each of which ends a text: the tokenizer's first, then the model's own others.
    pad
        The token that fills a batch up.
    context
        Tokens that it can read at once. Positions that are relative (ALiBi) or none (a recurrent
        state) have no end; the tokenizer may still know the length that it was trained on.
    stated
        The length that its tokenizer states.
    precision
        Of its weights, as torch calls it.
    adapter
        That was merged into it.
    problem
        A classifier's ``problem_type``.
    labels
        The names of a classifier's outputs, in order.
    """

    begins: tuple[int, ...]
    ends: tuple[int, ...]
    pad: int
    context: int
    stated: int
    precision: str
    adapter: Adapter | None
    problem: str | None
    labels: tuple[str, ...]

    @property
    def room(self) -> int:
        """How many tokens of a text it can read at once: `context` without its beginning."""
        return self.context - len(self.begins)

    @property
    def multi_label(self) -> bool:
        """Whether each output of a classifier has a probability of its own."""
        return self.problem == "multi_label_classification"

    def limit(self, max_tokens: int | None = None) -> int:
        """Where a classifier cuts a text, special tokens included."""
        return min(max_tokens or _LONGEST, self.stated, self.context, _LONGEST)


def checkpoint_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, adapter: Adapter | None = None
) -> Checkpoint:
    """Read a model's card."""
    names = {int(at): name for at, name in (model.config.id2label or {}).items()}
    return Checkpoint(
        begins=tuple(beginning(tokenizer)),
        ends=_end_tokens(model, tokenizer),
        pad=tokenizer.pad_token_id,
        context=_positions(model) or int(tokenizer.model_max_length),
        stated=int(tokenizer.model_max_length),
        precision=str(model.dtype).removeprefix("torch."),
        adapter=adapter,
        problem=model.config.problem_type,
        labels=tuple(names[at] for at in sorted(names)),
    )


def text_config(model: Any) -> Any:  # noqa: ANN401 - not typed
    """Give the part of a model's config that says its sizes, which may lie in a ``text_config``."""
    config = model.config
    return config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config


def rows_of(model: PreTrainedModel) -> int:
    """Count the tokens that a model has an embedding of."""
    return len(next(model.get_input_embeddings().parameters()))


def _positions(model: PreTrainedModel) -> int | None:
    config = text_config(model)
    found = (getattr(config, name, None) for name in ("max_position_embeddings", "n_positions"))
    positions = next((int(length) for length in found if length and length > 0), None)
    if positions is None:
        return None
    # Of RoBERTa and its kin, position ids start after the padding's.
    padding = (
        module.padding_idx
        for name, module in model.named_modules()
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
    )
    return positions - next((index + 1 for index in padding), 0)


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """List the tokens that end a text.

    A model without a ``generation_config.json`` has what its architecture's config says by
    default, which may be any word of its vocabulary; that is left aside.
    """
    found = _own_settings(model).get("eos_token_id")
    own = [tokenizer.eos_token_id, *(found if isinstance(found, list) else [found])]
    rows = rows_of(model)
    return tuple(dict.fromkeys(end for end in own if type(end) is int and 0 <= end < rows))


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
    ends = _end_tokens(model, tokenizer)
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
