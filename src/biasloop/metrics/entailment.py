"""Zero-shot classification by natural language inference (Yin et al. 2019, arXiv 1909.00161).

The text is the premise; a label is a hypothesis that says so (``This text is left.``). A label's
probability is that of its hypothesis being entailed, divided by the sum over the labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from biasloop.config import filled
from biasloop.errors import InputError
from biasloop.metrics.judge import named
from biasloop.metrics.linear import softmax
from biasloop.metrics.pretrained import (
    each_once,
    is_multi_label,
    limit_of,
    load_pretrained,
    longer,
    refuse_lost,
    require_room,
)
from biasloop.models import as_text, batches, few_lengths, packed, read_at_once

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_KEY = "metrics.leaning"
#: Texts that are tokenized at once.
_AT_ONCE = 256


@dataclass(frozen=True)
class EntailmentClassifier:
    """A loaded model of natural language inference.

    Attributes
    ----------
    model, tokenizer
        In evaluation mode, on their device.
    hypotheses
        One per label.
    entailment
        Which of the model's outputs says "entailed".
    revision
        The hub's commit, None for a local folder.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    hypotheses: tuple[str, ...]
    entailment: int
    revision: str | None

    @property
    def _around(self) -> int:
        """Tokens of the longest hypothesis, and special ones."""
        empty = self.tokenizer([""] * len(self.hypotheses), list(self.hypotheses))["input_ids"]
        return max(len(ids) for ids in empty)

    def room(self, max_tokens: int | None = None) -> int:
        """How many tokens of a text are read."""
        room = limit_of(self.model, self.tokenizer) - self._around
        return room if max_tokens is None else min(room, max_tokens)

    def cut(self, texts: Sequence[str], max_tokens: int | None = None) -> int:
        """Count the texts that are not read to their end."""
        return longer(self.tokenizer, texts, self.room(max_tokens))

    def probabilities(
        self, texts: Sequence[str], batch_size: int, max_tokens: int | None = None
    ) -> np.ndarray:
        """Classify texts, those of like length together, and each different one once.

        Parameters
        ----------
        texts
            Any text, the empty one included.
        batch_size
            Pairs of text and hypothesis at once, at most; fewer where they come to more than
            `models.read_at_once` says.
        max_tokens
            A text is cut here, and at what the model has room for beside the hypothesis.

        Returns
        -------
        np.ndarray
            Shape (texts, labels); rows sum to 1.

        Raises
        ------
        InputError
            If the model gives a text no finite numbers.
        """
        import torch

        different, places_of = each_once(texts)
        limit = self.room(max_tokens) + self._around
        pairs = self._pairs(different, limit)
        logs = np.empty(len(pairs))
        with torch.inference_mode(), packed(self.model):
            lengths = [len(pair["input_ids"]) for pair in pairs]
            for places in batches(lengths, batch_size, read_at_once(self.model)):
                longest = min(few_lengths(max(lengths[place] for place in places), least=1), limit)
                batch = self.tokenizer.pad(
                    [pairs[place] for place in places],
                    padding="max_length",
                    max_length=longest,
                    return_tensors="pt",
                ).to(self.model.device)
                logits = self.model(**batch).logits.double()
                if logits.shape[1] == 1 or is_multi_label(self.model):
                    entailed = torch.nn.functional.logsigmoid(logits)
                else:
                    entailed = logits.log_softmax(dim=-1)
                logs[places] = entailed[:, self.entailment].cpu().numpy()
        result = logs.reshape(len(different), len(self.hypotheses))
        refuse_lost(self.model, result)
        return softmax(result)[places_of]

    def _pairs(self, texts: list[str], limit: int) -> list[dict[str, list[int]]]:
        """Tokenize each text with each hypothesis: text by text, and in each label by label."""
        kinds = "token_type_ids" in self.tokenizer.model_input_names
        found: list[dict[str, list[int]]] = []
        for at in range(0, len(texts), _AT_ONCE):
            some = list(map(as_text(self.tokenizer), texts[at : at + _AT_ONCE]))
            count = len(self.hypotheses)
            encoded: Any = self.tokenizer(
                [text for text in some for _ in range(count)],
                list(self.hypotheses) * len(some),
                truncation="only_first",
                max_length=limit,
                split_special_tokens=True,
                return_attention_mask=False,
                return_token_type_ids=kinds,
                verbose=False,
            )
            found += [
                {name: encoded[name][row] for name in encoded} for row in range(count * len(some))
            ]
        return found


def load_entailment(
    name: str,
    labels: Sequence[str],
    label_names: dict[str, str],
    hypothesis: str,
    revision: str | None = None,
    precision: str = "float32",
    max_tokens: int | None = None,
) -> EntailmentClassifier:
    """Load a model of natural language inference.

    Parameters
    ----------
    name
        A local folder or a hub id.
    labels
        Our labels, in order.
    label_names
        Label -> what it is called; one that is not in it is called as it is.
    hypothesis
        With ``{label}``.
    revision
        Of a hub model.
    precision
        ``float32`` or ``bfloat16``: of its weights.
    max_tokens
        What is read of a text, at most.

    Raises
    ------
    InputError
        If it cannot be had, none of its labels means entailment, two labels have the same
        hypothesis, or a hypothesis leaves no room for a text.
    """
    hypotheses = [filled(hypothesis, {"label": own}) for own in named(labels, label_names)]
    shown = f"{_KEY}.classifier: {name}"
    loaded = load_pretrained("AutoModelForSequenceClassification", name, _KEY, revision, precision)
    entailment = _entailment(loaded.model.config.id2label or {}, shown)
    found = EntailmentClassifier(
        loaded.model, loaded.tokenizer, tuple(hypotheses), entailment, loaded.revision
    )
    _refuse_same(loaded.tokenizer, labels, hypotheses)
    require_room(
        found.room(max_tokens),
        max_tokens,
        f"{_KEY}.hypothesis",
        name,
        limit_of(loaded.model, loaded.tokenizer),
        "shorten it",
    )
    return found


def _entailment(outputs: Mapping[Any, str], shown: str) -> int:
    means = [int(index) for index, label in outputs.items() if label.lower().startswith("entail")]
    if len(means) != 1:
        raise InputError(
            f"{shown}: {'none' if not means else 'more than one'} of its labels "
            f"({', '.join(outputs.values())}) means entailment, as one of a model of natural "
            "language inference does: if it is one, name that label 'entailment' in id2label of "
            f"its config.json; if it was trained for your labels, set {_KEY}.kind: sequence"
        )
    return means[0]


def _refuse_same(
    tokenizer: PreTrainedTokenizerBase, labels: Sequence[str], hypotheses: Sequence[str]
) -> None:
    seen: dict[tuple[int, ...], int] = {}
    for row, ids in enumerate(tokenizer(list(hypotheses))["input_ids"]):
        other = seen.setdefault(tuple(ids), row)
        if other != row:
            raise InputError(
                f"{_KEY}.label_names: the hypotheses of '{labels[other]}' and '{labels[row]}' "
                f"('{hypotheses[row]}') have the same tokens: give them other names"
            )
