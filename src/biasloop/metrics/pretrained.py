"""Classifiers of transformers, by hub id or local folder: sequence classifiers and entailment.

No code that a model carries is run, and only safetensors are read. Sequence classifiers serve for
leaning (a RoBERTa classifier, say) and for quality (the Gibberish Detector) alike.

Entailment is zero-shot classification by natural language inference (Yin et al. 2019, arXiv
1909.00161): the text is the premise; a label is a hypothesis that says so (``This text is left.``).
A label's probability is that of its hypothesis being entailed, divided by the sum over the labels.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biasloop import device
from biasloop.config import filled
from biasloop.errors import InputError
from biasloop.hub import check_hub, switched_off
from biasloop.models import (
    as_text,
    batches,
    checkpoint_of,
    few_lengths,
    packed,
    read_at_once,
    refuse_adapter,
    refuse_tokens,
    tokenized,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


#: A text of fewer tokens is none.
_LEAST_ROOM = 16


@dataclass(frozen=True)
class Pretrained:
    """A model in evaluation mode on its device, and its tokenizer, which pads on the right.

    Attributes
    ----------
    revision
        The hub's commit, None for a local folder.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    revision: str | None


def load_pretrained(
    loader: str,
    name: str,
    key: str,
    revision: str | None = None,
    precision: str = "float32",
    may_lack: Collection[str] = (),
) -> Pretrained:
    """Load a model and its tokenizer.

    Parameters
    ----------
    loader
        The class of transformers that loads it.
    name
        A local folder or a hub id.
    key
        The config's section, for the error texts.
    revision
        Of a hub model.
    precision
        ``float32`` or ``bfloat16``: of its weights.
    may_lack
        Modules whose weights are not needed.

    Raises
    ------
    InputError
        If it cannot be had, or weights are missing that it would have to guess.
    """
    import transformers

    place = Path(name).expanduser()
    local = place.is_dir()
    if not local and (name.startswith(("/", ".", "~")) or name.count("/") > 1):
        raise InputError(f"{key}.classifier: no such folder: {name}")
    target = str(place) if local else name
    shown = f"{key}.classifier: {name}"
    refuse_adapter(shown, (place / "adapter_config.json").is_file())
    options: dict[str, Any] = {"trust_remote_code": False, "revision": revision or "main"}
    if not local:
        check_hub(f"{key}.classifier: '{name}'", name, "model", revision)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(target, **options)
        model, loading = getattr(transformers, loader).from_pretrained(
            target, use_safetensors=True, output_loading_info=True, **options
        )
    except Exception as error:
        tried = "read as a local folder" if local else "looked for on the hub (no such folder here)"
        reason = (str(error).strip().splitlines() or [""])[0]
        if not local and (off := switched_off()):
            raise InputError(f"{key}.classifier: '{name}' cannot be loaded: {off}") from error
        raise InputError(
            f"{key}.classifier: '{name}' cannot be loaded; it was {tried}: "
            f"{type(error).__name__}: {reason}. A classifier needs config.json, safetensors "
            "weights and a tokenizer; 'builtin' needs none of them"
        ) from error
    refuse_adapter(shown, getattr(model, "_hf_peft_config_loaded", False))
    lacking = sorted(
        weight for weight in loading["missing_keys"] if not set(may_lack) & set(weight.split("."))
    )
    if lacking:
        raise InputError(
            f"{shown}: has no weights for {', '.join(lacking[:3])}"
            + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
            + ", so that they would be drawn at random: it was not trained for this use. Is "
            f"{key}.kind right?"
        )
    if tokenizer is not None and tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer is None or tokenizer.pad_token is None:
        raise InputError(f"{shown}: has a tokenizer without a padding token or an end token")
    refuse_tokens(shown, model, tokenizer)
    # A decoder reads its answer at the last token that is no padding, so it has to know that one.
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    tokenizer.padding_side = "right"
    commit = None if local else getattr(model.config, "_commit_hash", None)
    chosen = device.choose(precision)
    model = model.to(device=chosen.name, dtype=chosen.dtype).eval()
    return Pretrained(model, tokenizer, commit)


def limit_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_tokens: int | None = None
) -> int:
    """Tell where a text is cut, special tokens included: by the caller, or by the model."""
    return checkpoint_of(model, tokenizer).limit(max_tokens)


def longer(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], limit: int, special: bool = False
) -> int:
    """Count the texts of more tokens than ``limit``, with or without special ones."""
    return sum(len(ids) > limit for ids in tokenized(tokenizer, texts, limit + 1, special))


def each_once(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    """List the different texts, and of each text its place among them.

    Collapsed text says the same again and again, and is read once.
    """
    different = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    return list(different), [different[text] for text in texts]


def is_multi_label(model: PreTrainedModel) -> bool:
    """Say whether each output of a classifier has a probability of its own."""
    return model.config.problem_type == "multi_label_classification"


def require_room(
    room: int, max_tokens: int | None, key: str, name: str, whole: int, advice: str
) -> None:
    """Refuse what stands around a text where it leaves too few tokens for one.

    Parameters
    ----------
    room
        Tokens of a text that are read, at most ``max_tokens``.
    max_tokens
        What the config allows; None for no bound.
    key, name
        The config's key and the model, for the message.
    whole
        Tokens that the model reads in all.
    advice
        What to do.

    Raises
    ------
    InputError
        If there are too few.
    """
    if room < min(_LEAST_ROOM, max_tokens or _LEAST_ROOM):
        raise InputError(
            f"{key}: leaves room for {max(0, room)} tokens of a text; {name} reads {whole:,} in "
            f"all: {advice}"
        )


def refuse_lost(model: PreTrainedModel, read: np.ndarray) -> None:
    """Refuse a model that gives a text numbers, shape (texts, ...), which are not finite.

    Raises
    ------
    InputError
        If there is such a text.
    """
    lost = int((~np.isfinite(read).all(axis=1)).sum())
    if lost:
        raise InputError(
            f"the classifier '{model.name_or_path}' gives no finite numbers for {lost:,} of "
            f"{len(read):,} texts, as {model.dtype} weights that overflow or are damaged do: set "
            "its precision to float32 (metrics.leaning.precision, metrics.quality.precision), or "
            "take another classifier"
        )


_SECTIONS = {"leaning": "metrics.leaning", "quality": "metrics.quality"}


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
    key = _SECTIONS[metric]
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


_KEY = "metrics.leaning"
#: Texts that are tokenized at once.
_TOKENIZED_AT_ONCE = 256


def named(labels: Sequence[str], label_names: dict[str, str]) -> list[str]:
    """Say what each label is called.

    Raises
    ------
    InputError
        If a name is for a label that is none of ours.
    """
    for label in label_names:
        if label not in labels:
            raise InputError(
                f"{_KEY}.label_names: '{label}' is none of the labels ({', '.join(labels)})"
            )
    return [label_names.get(label, label) for label in labels]


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
        from scipy.special import softmax

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
        return softmax(result, axis=1)[places_of]

    def _pairs(self, texts: list[str], limit: int) -> list[dict[str, list[int]]]:
        """Tokenize each text with each hypothesis: text by text, and in each label by label."""
        kinds = "token_type_ids" in self.tokenizer.model_input_names
        found: list[dict[str, list[int]]] = []
        for at in range(0, len(texts), _TOKENIZED_AT_ONCE):
            some = list(map(as_text(self.tokenizer), texts[at : at + _TOKENIZED_AT_ONCE]))
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
