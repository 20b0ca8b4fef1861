"""Leaning classifiers that came trained, as the config names them. Knows no corpus.

Each kind gives texts -> probabilities of our labels; what they err on is measured in `leaning`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from biasloop.config import LeaningConfig
from biasloop.metrics.entailment import load_entailment
from biasloop.metrics.judge import load_judge
from biasloop.metrics.sequence_classifier import load_classifier

#: Where to say which of a classifier's labels is which of ours.
NAMES = {
    "sequence": "metrics.leaning.label_map",
    "judge": "metrics.leaning.label_names",
    "entailment": "metrics.leaning.label_names",
}


class Trained(Protocol):
    """A model that gives texts probabilities of our labels.

    Attributes
    ----------
    revision
        The hub's commit, None for a local model.
    """

    @property
    def revision(self) -> str | None:
        """See above."""
        ...

    def probabilities(
        self, texts: Sequence[str], batch_size: int, max_tokens: int | None = None
    ) -> np.ndarray:
        """Give probabilities, shape (texts, labels); rows sum to 1."""
        ...

    def cut(self, texts: Sequence[str], max_tokens: int | None = None) -> int:
        """Count the texts that are not read to their end."""
        ...


@dataclass(frozen=True)
class External:
    """A loaded classifier and what its card says of it.

    Attributes
    ----------
    trained
        The model.
    settings
        The config's section.
    instrument, notes
        For the card.
    """

    trained: Trained
    settings: LeaningConfig
    instrument: str
    notes: tuple[str, ...]

    def classify(self, texts: Sequence[str]) -> np.ndarray:
        """Give probabilities, shape (texts, labels); rows sum to 1."""
        return self.trained.probabilities(texts, self.settings.batch_size, self.settings.max_tokens)

    def cut(self, texts: Sequence[str]) -> int:
        """Count the texts that are not read to their end."""
        return self.trained.cut(texts, self.settings.max_tokens)


def load_external(
    settings: LeaningConfig, labels: Sequence[str], revision: str | None = None
) -> External:
    """Load the classifier that a config names.

    Parameters
    ----------
    settings
        The config's section; ``kind`` is none that is trained here.
    labels
        Our labels, in order.
    revision
        Of a hub model.

    Raises
    ------
    InputError
        If it cannot be had, or does not fit our labels.
    """
    return _LOADERS[settings.kind](settings, labels, revision)


def _sequence(settings: LeaningConfig, labels: Sequence[str], revision: str | None) -> External:
    found = load_classifier(
        settings.classifier, labels, settings.label_map, "leaning", revision, settings.precision
    )
    name = f"{settings.classifier} (transformers sequence classifier)"
    return External(found, settings, name, found.notes)


def _judge(settings: LeaningConfig, labels: Sequence[str], revision: str | None) -> External:
    found = load_judge(
        settings.classifier,
        labels,
        settings.label_names,
        settings.prompt,
        revision,
        settings.precision,
        settings.max_tokens,
    )
    way = (
        "the probabilities of the answers' first tokens"
        if found.by_first_token
        else "the probabilities of the whole answers, of which some begin with the same token (a "
        "longer answer is less likely for its length alone)"
    )
    place = "in the tokenizer's chat template" if found.chat else "as plain text (no chat template)"
    notes = (
        f"the prompt is put {place}, and {way} are divided by their sum; nothing is generated",
        f"the prompt: {settings.prompt}",
    )
    return External(found, settings, f"{settings.classifier} (language model as judge)", notes)


def _entailment(settings: LeaningConfig, labels: Sequence[str], revision: str | None) -> External:
    found = load_entailment(
        settings.classifier,
        labels,
        settings.label_names,
        settings.hypothesis,
        revision,
        settings.precision,
        settings.max_tokens,
    )
    notes = (
        "a label's probability is that of its hypothesis being entailed by the article, divided "
        f"by the sum over the labels; the hypotheses: {' '.join(found.hypotheses)}",
    )
    name = f"{settings.classifier} (zero-shot by natural language inference)"
    return External(found, settings, name, notes)


_LOADERS = {"sequence": _sequence, "judge": _judge, "entailment": _entailment}
