"""Load a model that reads whole texts, by hub id or local folder, and classify texts by it.

No code that a model carries is run, and only safetensors are read. Sequence classifiers serve for
leaning (a RoBERTa classifier, say) and for quality (the Gibberish Detector) alike.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from biasloop import device
from biasloop.config import LeaningConfig
from biasloop.errors import InputError
from biasloop.models.adapters import WEIGHTS, Adapter, has_tokenizer, merge, saved_modules
from biasloop.models.batches import batches, few_lengths, padding_changes, read_at_once
from biasloop.models.fast.linear import prepacked
from biasloop.models.load import (
    checkpoint_of,
    first_line,
    refuse_lacking,
    refuse_tokens,
    resolve_model,
    without_adapter,
)
from biasloop.models.tokens import tokenized

if TYPE_CHECKING:
    import torch
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
    folder
        Where its files are.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    revision: str | None
    folder: Path


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

    shown = f"{key}.classifier: {name}"
    try:
        location = resolve_model(name, revision)
        location.fetch_weights()
    except InputError as error:
        raise InputError(f"{key}.classifier: {error}") from error
    adapter, hosted = location.adapter, location.hosted
    words = adapter.folder if adapter and has_tokenizer(adapter.folder) else Path(location.name)
    head = _head(adapter, shown) if adapter else {}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(words, trust_remote_code=False)
        with without_adapter(location) as plain:
            model, loading = getattr(transformers, loader).from_pretrained(
                plain.name,
                use_safetensors=True,
                output_loading_info=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,
                **head,
            )
    except Exception as error:
        tried = "a copy of the hub's" if hosted else "a local folder"
        raise InputError(
            f"{key}.classifier: '{name}' cannot be loaded; it was read as {tried}: "
            f"{first_line(error)}. A classifier needs config.json, safetensors "
            "weights and a tokenizer; 'builtin' needs none of them"
        ) from error
    own = {*may_lack, *(saved_modules(adapter) if adapter else ())}
    advice = f"it was not trained for this use. Is {key}.kind right?"
    refuse_lacking(shown, loading, advice, own)
    if adapter:
        model = merge(model, adapter)
    model.name_or_path = name
    if tokenizer is not None and tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer is None or tokenizer.pad_token is None:
        raise InputError(f"{shown}: has a tokenizer without a padding token or an end token")
    refuse_tokens(shown, model, tokenizer)
    # A decoder reads its answer at the last token that is no padding, so it has to know that one.
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    tokenizer.padding_side = "right"
    hosted = adapter.hosted if adapter and adapter.hosted else hosted
    chosen = device.choose(precision)
    model = model.to(device=chosen.name, dtype=chosen.dtype).eval()
    folder = Path(location.name)
    return Pretrained(model, tokenizer, hosted.commit if hosted else None, folder)


def _head(adapter: Adapter, shown: str) -> dict[str, Any]:
    """Say how many outputs the head has that an adapter brings, and what they are called.

    An adapter's folder may hold the ``config.json`` of the classifier that it was trained as.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(adapter.folder / WEIGHTS, "pt") as weights:
            shapes = {key: weights.get_slice(key).get_shape() for key in weights.keys()}  # noqa: SIM118
        config = adapter.folder / "config.json"
        names = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{shown}: its adapter cannot be read: {error}") from error
    outputs = [
        shape[0]
        for key, shape in sorted(shapes.items())
        if len(shape) == 2
        and saved_modules(adapter) & set(key.split("."))
        and key.split(".")[-2] in ("classifier", "score", "out_proj")
    ]
    if not outputs:
        return {}
    known = names.get("id2label") if isinstance(names, dict) else None
    if isinstance(known, dict) and len(known) == outputs[-1]:
        return {
            "num_labels": outputs[-1],
            "id2label": {int(at): str(label) for at, label in known.items()},
            "problem_type": names.get("problem_type"),
        }
    return {"num_labels": outputs[-1]}


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


@contextmanager
def _own_errors(model: PreTrainedModel) -> Generator[None]:
    """Tell of a model that fails to read a text by its name."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise InputError(
            f"the classifier '{model.name_or_path}' cannot read a text ({first_line(error)}): "
            "lower max_tokens, or take another classifier"
        ) from error


_SECTIONS = {"leaning": "metrics.leaning", "quality": "metrics.quality"}


@dataclass(frozen=True)
class TrainedClassifier(ABC):
    """A model that came trained and gives texts probabilities of our labels.

    Attributes
    ----------
    model, tokenizer
        In evaluation mode, on their device.
    revision
        The hub's commit, None for a local model.
    """

    #: What it is, for an instrument's card.
    what: ClassVar[str]
    #: Whether `room` counts special tokens, too.
    special: ClassVar[bool] = False

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    revision: str | None

    @abstractmethod
    def room(self, max_tokens: int | None = None) -> int:
        """How many tokens of a text are read."""

    @abstractmethod
    def _read(self, texts: list[str], batch_size: int, room: int) -> np.ndarray:
        """Give probabilities, shape (texts, labels), of different texts cut at ``room`` tokens."""

    def probabilities(
        self, texts: Sequence[str], batch_size: int, max_tokens: int | None = None
    ) -> np.ndarray:
        """Classify texts, those of like length together, and each different one once.

        Parameters
        ----------
        texts
            Any text, the empty one included.
        batch_size
            Inputs at once, at most; fewer where they come to more than `models.read_at_once` says.
        max_tokens
            A text is cut here, and at what the model has room for.

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
        with torch.inference_mode(), prepacked(self.model):
            return self._read(different, batch_size, self.room(max_tokens))[places_of]

    def cut(self, texts: Sequence[str], max_tokens: int | None = None) -> int:
        """Count the texts that are not read to their end."""
        room = self.room(max_tokens)
        ids = tokenized(self.tokenizer, texts, room + 1, self.special)
        return sum(len(own) > room for own in ids)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a card has to say of its probabilities."""
        return ()

    def _logits(
        self, rows: Sequence[Mapping[str, Sequence[int] | np.ndarray]], batch_size: int, limit: int
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Read tokenized rows in batches: their places and the model's outputs, in float64.

        Outputs of which one is not finite are NaN.

        Raises
        ------
        InputError
            If the model cannot read them.
        """
        import torch

        lengths = [len(row["input_ids"]) for row in rows]
        most = 1 if self._takes_padding_in else batch_size
        for places in batches(lengths, most, read_at_once(self.model)):
            # Few lengths by steps of one: of a sentence, eight tokens would be a third.
            longest = max(1, *(lengths[place] for place in places))
            batch = self.tokenizer.pad(
                [{name: list(map(int, ids)) for name, ids in rows[at].items()} for at in places],
                padding="max_length",
                max_length=longest if most == 1 else min(few_lengths(longest, least=1), limit),
                return_tensors="pt",
            ).to(self.model.device)
            with _own_errors(self.model):
                logits = self.model(**batch).logits.double()
            # One of minus infinity would leave the probabilities finite.
            yield places, logits.masked_fill(~logits.isfinite().all(-1, keepdim=True), torch.nan)

    @cached_property
    def _takes_padding_in(self) -> bool:
        """Whether texts may not be padded."""
        text = self.tokenizer("a")["input_ids"]  # short: a convolution reaches its end
        with _own_errors(self.model):
            return padding_changes(self.model, text, self.tokenizer.pad_token_id, "right")


@dataclass(frozen=True)
class SequenceClassifier(TrainedClassifier):
    """A classifier of transformers whose outputs are summed into our labels.

    Where each output has a probability of its own, they are sigmoids, divided by their sum.

    Attributes
    ----------
    assignment
        Shape (classifier's labels, our labels), one 1 per row.
    """

    what = "transformers sequence classifier"
    special = True
    assignment: np.ndarray

    def room(self, max_tokens: int | None = None) -> int:
        """How many tokens of a text are read, special ones included."""
        return checkpoint_of(self.model, self.tokenizer).limit(max_tokens)

    def _read(self, texts: list[str], batch_size: int, room: int) -> np.ndarray:
        import torch

        # As arrays: of many texts, lists of numbers would be nine times as large.
        rows = [
            {"input_ids": np.asarray(ids, np.int32)}
            for ids in tokenized(self.tokenizer, texts, room, special=True)
        ]
        result = np.empty((len(texts), self.assignment.shape[1]))
        for places, logits in self._logits(rows, batch_size, room):
            if is_multi_label(self.model):
                logits = torch.nn.functional.logsigmoid(logits)
            result[places] = logits.softmax(dim=-1).cpu().numpy() @ self.assignment
        refuse_lost(self.model, result)
        return result

    @property
    def notes(self) -> tuple[str, ...]:
        """What a card has to say of its probabilities."""
        if not is_multi_label(self.model):
            return ()
        return (
            "the classifier gives each label a probability of its own (multi-label); they are "
            "divided by their sum, so that a text of no label or of several looks undecided",
        )


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
    outputs = outputs_of(model, f"{key}.classifier: {name}")
    assignment = assign_labels(outputs, labels, label_map, name, key)
    found = SequenceClassifier(model, loaded.tokenizer, loaded.revision, assignment)
    room = found.room() - len(loaded.tokenizer("")["input_ids"])
    require_room(room, None, f"{key}.classifier", name, found.room(), "is model_max_length right?")
    return found


def outputs_of(model: PreTrainedModel, shown: str) -> dict[int, str]:
    """Say what each output of a classifier means, counted from 0.

    Raises
    ------
    InputError
        If its config does not say so of every output, or the outputs are no classes.
    """
    outputs = {int(index): str(label) for index, label in (model.config.id2label or {}).items()}
    if sorted(outputs) != list(range(len(outputs))):
        raise InputError(
            f"{shown}: id2label in its config.json numbers the labels "
            f"{', '.join(map(str, sorted(outputs)))}, and outputs are counted from 0"
        )
    if model.config.problem_type == "regression":
        raise InputError(
            f"{shown}: its problem_type is regression: its outputs are amounts, of which no "
            "probabilities are made; take a classifier"
        )
    return outputs


def load_sequence(
    settings: LeaningConfig, labels: Sequence[str], revision: str | None = None
) -> SequenceClassifier:
    """Load the classifier of leaning that a config names; see `load_classifier`."""
    own, given = settings.label_map, settings.precision
    return load_classifier(settings.classifier, labels, own, "leaning", revision, given)


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
