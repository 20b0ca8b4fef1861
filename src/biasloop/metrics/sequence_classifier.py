"""Any transformers sequence classifier, by hub id or local folder. Knows no metric.

Used for leaning (a RoBERTa classifier, say) and for quality (the Gibberish Detector) alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from biasloop.errors import InputError
from biasloop.metrics.pretrained import (
    each_once,
    is_multi_label,
    limit_of,
    load_pretrained,
    longer,
    refuse_lost,
)
from biasloop.models import batches, few_lengths, packed, read_at_once, tokenized

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_KEY = {"leaning": "metrics.leaning", "quality": "metrics.quality"}


@dataclass(frozen=True)
class SequenceClassifier:
    """A loaded classifier whose outputs are summed into our labels.

    Attributes
    ----------
    model, tokenizer
        In evaluation mode, on their device.
    assignment
        Shape (classifier's labels, our labels), one 1 per row.
    revision
        The hub's commit, None for a local folder.
    multi_label
        Whether each output has a probability of its own (``problem_type`` is
        ``multi_label_classification``): sigmoids, divided by their sum.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    assignment: np.ndarray
    revision: str | None
    multi_label: bool = False

    def probabilities(
        self, texts: Sequence[str], batch_size: int, max_tokens: int | None = None
    ) -> np.ndarray:
        """Classify texts, those of like length together, and each different one once.

        Collapsed text says the same sentences again and again.

        Parameters
        ----------
        texts
            Any text, the empty one included.
        batch_size
            Texts at once, at most; fewer where they come to more than `models.read_at_once`
            says.
        max_tokens
            A text is cut here, special tokens included, and at what the classifier can read.

        Returns
        -------
        np.ndarray
            Shape (texts, our labels); rows sum to 1.

        Raises
        ------
        InputError
            If the classifier gives a text no finite numbers.
        """
        import torch

        limit = limit_of(self.model, self.tokenizer, max_tokens)
        different, places_of = each_once(texts)
        ids = [
            np.asarray(tokens, np.int32)
            for tokens in tokenized(self.tokenizer, different, limit, special=True)
        ]
        result = np.empty((len(different), self.assignment.shape[1]))
        with torch.inference_mode(), packed(self.model):
            lengths = [len(tokens) for tokens in ids]
            for rows in batches(lengths, batch_size, read_at_once(self.model)):
                # Of a sentence, eight tokens would be a third.
                longest = max(len(ids[row]) for row in rows)
                longest = min(few_lengths(max(1, longest), least=1), limit)
                batch = self.tokenizer.pad(
                    {"input_ids": [ids[row].tolist() for row in rows]},
                    padding="max_length",
                    max_length=longest,
                    return_tensors="pt",
                ).to(self.model.device)
                logits = self.model(**batch).logits.double()
                if self.multi_label:  # each label for itself; what they come to is shared out
                    logits = torch.nn.functional.logsigmoid(logits)
                result[rows] = logits.softmax(dim=-1).cpu().numpy() @ self.assignment
        refuse_lost(self.model, result)
        return result[places_of]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a card has to say of its outputs."""
        if not self.multi_label:
            return ()
        return (
            "the classifier gives each label a probability of its own (multi-label); they are "
            "divided by their sum, so that a text of no label or of several looks undecided",
        )

    def cut(self, texts: Sequence[str], max_tokens: int | None = None) -> int:
        """Count the texts that `probabilities` does not read to their end."""
        limit = limit_of(self.model, self.tokenizer, max_tokens)
        return longer(self.tokenizer, texts, limit, special=True)


def load_classifier(
    name: str,
    labels: Sequence[str],
    label_map: Mapping[str, str],
    metric: str,
    revision: str | None = None,
    precision: str = "float32",
) -> SequenceClassifier:
    """Load a classifier and hold its labels against ours.

    Parameters
    ----------
    name
        A local folder or a hub id. No code that it carries is run, and only safetensors are read.
    labels
        Our labels, in order.
    label_map
        Classifier's label -> ours; a label that is not in it keeps its name.
    metric
        ``leaning`` or ``quality``: for the error texts.
    revision
        Of a hub model.
    precision
        ``float32`` or ``bfloat16``: of its weights.

    Raises
    ------
    InputError
        If the classifier cannot be had, or its labels and ours do not match.
    """
    key = _KEY[metric]
    loaded = load_pretrained("AutoModelForSequenceClassification", name, key, revision, precision)
    model = loaded.model
    outputs = {int(index): label for index, label in (model.config.id2label or {}).items()}
    assignment = assign_labels(outputs, labels, label_map, name, key)
    return SequenceClassifier(
        model, loaded.tokenizer, assignment, loaded.revision, is_multi_label(model)
    )


def assign_labels(
    outputs: Mapping[int, str],
    labels: Sequence[str],
    label_map: Mapping[str, str],
    name: str,
    key: str,
) -> np.ndarray:
    """Say which of our labels each output of a classifier counts for.

    Parameters
    ----------
    outputs
        Output index -> the classifier's label.
    labels, label_map
        See `load_classifier`.
    name, key
        The classifier and the config's section, for the error text.

    Returns
    -------
    np.ndarray
        Shape (outputs, labels), one 1 per row.

    Raises
    ------
    InputError
        If an output has none of our labels, one of ours has no output, or the map names a label
        that the classifier does not have.
    """
    theirs = [outputs[index] for index in range(len(outputs))]
    mapped = [label_map.get(label, label) for label in theirs]
    problems = [
        f"label_map names '{label}', which it does not have"
        for label in label_map
        if label not in theirs
    ]
    problems += [
        f"its label '{label}' stands for '{ours}', which is none of ours"
        for label, ours in zip(theirs, mapped, strict=True)
        if ours not in labels
    ]
    problems += [f"no label of it stands for '{label}'" for label in labels if label not in mapped]
    if problems:
        raise InputError(
            f"{key}: the labels of the classifier '{name}' ({', '.join(theirs)}) do not cover "
            f"ours ({', '.join(labels)}): {'; '.join(problems)}. Say which is which in "
            f"{key}.label_map"
        )
    assignment = np.zeros((len(theirs), len(labels)))
    for row, ours in enumerate(mapped):
        assignment[row, list(labels).index(ours)] = 1.0
    return assignment
