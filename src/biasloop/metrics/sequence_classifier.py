"""Any transformers sequence classifier, by hub id or local folder. Knows no metric.

Used for leaning (a RoBERTa classifier, say) and for quality (the Gibberish Detector) alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from biasloop import device
from biasloop.errors import InputError
from biasloop.models import (
    batches,
    few_lengths,
    packed,
    read_at_once,
    refuse_adapter,
    refuse_tokens,
    tokenized,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

#: For a classifier that states no limit of its own.
_LONGEST = 8192
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
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    assignment: np.ndarray
    revision: str | None

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

        limit = _limit(self.model, self.tokenizer, max_tokens)
        different = {text: row for row, text in enumerate(dict.fromkeys(texts))}
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
                logits = self.model(**batch).logits
                result[rows] = logits.double().softmax(dim=-1).cpu().numpy() @ self.assignment
        lost = np.count_nonzero(~np.isfinite(result).all(axis=1))
        if lost:
            raise InputError(
                f"the classifier '{self.model.name_or_path}' gives no finite numbers for {lost:,} "
                f"of {len(result):,} texts, as {self.model.dtype} weights that overflow or are "
                "damaged do: set its precision to float32 (metrics.leaning.precision, "
                "metrics.quality.precision), or take another classifier"
            )
        return result[[different[text] for text in texts]]


def _limit(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_tokens: int | None
) -> int:
    limits = [max_tokens, tokenizer.model_max_length, _positions(model), _LONGEST]
    return min(limit for limit in limits if limit is not None)


def _positions(model: PreTrainedModel) -> int | None:
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions is None:
        return None
    # Of RoBERTa and its kin, position ids start after the padding's.
    padding = (
        module.padding_idx
        for name, module in model.named_modules()
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
    )
    return positions - next((index + 1 for index in padding), 0)


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
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    key = _KEY[metric]
    place = Path(name).expanduser()
    local = place.is_dir()
    if not local and (name.startswith(("/", ".", "~")) or name.count("/") > 1):
        raise InputError(f"{key}.classifier: no such folder: {name}")
    target = str(place) if local else name
    refuse_adapter(f"{key}.classifier: {name}", (place / "adapter_config.json").is_file())
    options = {"trust_remote_code": False, "revision": revision or "main"}
    try:
        tokenizer = AutoTokenizer.from_pretrained(target, **options)
        model = AutoModelForSequenceClassification.from_pretrained(
            target, use_safetensors=True, **options
        )
    except Exception as error:
        tried = "read as a local folder" if local else "looked for on the hub (no such folder here)"
        reason = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"{key}.classifier: '{name}' cannot be loaded; it was {tried}: "
            f"{type(error).__name__}: {reason}. A classifier needs config.json, safetensors "
            "weights and a tokenizer; 'builtin' needs none of them"
        ) from error
    shown = f"{key}.classifier: {name}"
    refuse_adapter(shown, getattr(model, "_hf_peft_config_loaded", False))
    if tokenizer is not None and tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer is None or tokenizer.pad_token is None:
        raise InputError(f"{shown}: has a tokenizer without a padding token or an end token")
    refuse_tokens(shown, model, tokenizer)
    # A decoder reads its answer at the last token that is no padding, so it has to know that one.
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    tokenizer.padding_side = "right"
    assignment = assign_labels(dict(model.config.id2label), labels, label_map, name, key)
    commit = None if local else getattr(model.config, "_commit_hash", None)
    chosen = device.choose(precision)
    model = model.to(device=chosen.name, dtype=chosen.dtype).eval()
    return SequenceClassifier(model, tokenizer, assignment, commit)


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
