"""Zero-shot classifiers of leaning: a language model that is asked, and entailment.

A causal language model is asked about a text. What is read is the probability of each answer after
the prompt, among the answers: of its first token, or, where two answers begin with the same token,
of the whole answer. Tokens that all answers begin with (a blank, say) are of the prompt. Nothing is
generated. The text is untrusted: whatever it says, its characters never become a token of the chat
template.

Entailment is classification by natural language inference (Yin et al. 2019, arXiv 1909.00161): the
text is the premise; a label is a hypothesis that says so (``This text is left.``). A label's
probability is that of its hypothesis being entailed, divided by the sum over the labels.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from biasloop.config import LeaningConfig, filled
from biasloop.errors import InputError
from biasloop.metrics.pretrained import (
    TrainedClassifier,
    is_multi_label,
    load_pretrained,
    outputs_of,
    refuse_lost,
    require_room,
)
from biasloop.models.batches import batches, few_lengths, read_at_once
from biasloop.models.load import checkpoint_of, load_model
from biasloop.models.tokens import as_text, beginning, padded, said, tokenized

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

_KEY = "metrics.leaning"
#: Texts that are tokenized at once.
_TOKENIZED_AT_ONCE = 256
#: Stands for the text while a chat template is filled in.
_TEXT = "[[biasloop: the text]]"


@dataclass(frozen=True)
class Judge(TrainedClassifier):
    """A causal language model that is asked about a text, and answers with a label's name.

    Attributes
    ----------
    prompt
        As the config has it.
    before, after
        Token ids around the text, as far as no answer differs.
    answers
        Of each label the token ids that follow.
    chat
        Whether the prompt is in the tokenizer's chat template.
    """

    what = "language model as judge"
    prompt: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]
    chat: bool

    @property
    def by_first_token(self) -> bool:
        """Whether the answers' first tokens tell them apart."""
        return len({answer[0] for answer in self.answers}) == len(self.answers)

    @cached_property
    def context(self) -> int:
        """How many tokens the model can read at once."""
        return checkpoint_of(self.model, self.tokenizer).context

    def room(self, max_tokens: int | None = None) -> int:
        """How many tokens of a text are read."""
        answer = 0 if self.by_first_token else max(map(len, self.answers)) - 1
        room = self.context - len(self.before) - len(self.after) - answer
        return room if max_tokens is None else min(room, max_tokens)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a card has to say of its probabilities."""
        way = (
            "the probabilities of the answers' first tokens"
            if self.by_first_token
            else "the probabilities of the whole answers, of which some begin with the same token "
            "(a longer answer is less likely for its length alone)"
        )
        place = (
            "in the tokenizer's chat template" if self.chat else "as plain text (no chat template)"
        )
        return (
            f"the prompt is put {place}, and {way} are divided by their sum; nothing is generated",
            f"the prompt: {self.prompt}",
        )

    def _read(self, texts: list[str], batch_size: int, room: int) -> np.ndarray:
        """Read logits of the first tokens, or log probabilities of whole answers."""
        import torch
        from scipy.special import softmax

        prompts = [
            np.array([*self.before, *ids, *self.after], np.int32)
            for ids in tokenized(self.tokenizer, texts, room)
        ]
        whole, firsts = not self.by_first_token, [answer[0] for answer in self.answers]
        ways = range(len(firsts) if whole else 1)
        asked = [(row, way) for row in range(len(prompts)) for way in ways]
        rows = [
            np.concatenate([prompts[row], self.answers[way][:-1]]) if whole else prompts[row]
            for row, way in asked
        ]
        result = np.empty((len(texts), len(firsts)))
        for places in batches([len(ids) for ids in rows], batch_size, read_at_once(self.model)):
            needed = [range(len(prompts[asked[at][0]]) - 1, len(rows[at])) for at in places]
            kept = sorted({position for own in needed for position in own})
            logits = self._logits_at([rows[at] for at in places], kept)
            for at, own, read in zip(places, needed, logits, strict=True):
                row, way = asked[at]
                found = read[[kept.index(position) for position in own]].float()
                if whole:
                    tokens = torch.tensor(self.answers[way], device=found.device)
                    each = found.log_softmax(-1).gather(1, tokens[:, None])
                    result[row, way] = float(each.double().sum())
                else:
                    result[row] = found[0, firsts].double().cpu().numpy()
        refuse_lost(self.model, result)
        return softmax(result, axis=1)

    def _logits_at(self, rows: list[np.ndarray], kept: list[int]) -> torch.Tensor:
        """Read a batch: logits at some positions, shape (rows, positions, vocabulary)."""
        import torch

        device = self.model.device
        longest = min(few_lengths(max(map(len, rows))), self.context)
        input_ids, mask = (x.to(device) for x in padded(rows, 0, length=longest))
        options = {}
        if "logits_to_keep" in inspect.signature(self.model.forward).parameters:
            options["logits_to_keep"] = torch.tensor(kept, device=device)
        read = self.model(input_ids=input_ids, attention_mask=mask, use_cache=False, **options)
        return read.logits if options else read.logits[:, kept]


def load_judge(
    settings: LeaningConfig, labels: Sequence[str], revision: str | None = None
) -> Judge:
    """Load the judge that a config names (see `models.load_model`), and lay out what it is asked.

    Raises
    ------
    InputError
        If it cannot be had, the prompt does not name every label, the answers of two labels
        cannot be told apart, or the prompt leaves no room for a text.
    """
    name = settings.classifier
    names = named(labels, settings.label_names)
    asked = filled(settings.prompt, {"labels": listed(names)})
    if asked.count("{text}") != 1:
        raise InputError(f"{_KEY}.label_names: '{{text}}' stands in a name: give it another one")
    missing = [name for name in names if name not in asked]
    if missing:
        raise InputError(
            f"{_KEY}.prompt: does not say that '{missing[0]}' is an answer: put {{labels}} into it"
        )
    try:
        loaded = load_model(name, revision, settings.precision)
    except InputError as error:
        raise InputError(f"{_KEY}.classifier: {error}") from error
    model, tokenizer = loaded.model, loaded.tokenizer
    before, endings = _around(tokenizer, asked, names)
    ids = [tokenizer(ending, add_special_tokens=False)["input_ids"] for ending in endings]
    _refuse_same_answers(labels, names, ids)
    # The leading tokens that all have.
    alike = takewhile(lambda tokens: len(set(tokens)) == 1, zip(*ids, strict=False))
    shared = len(list(alike))
    start = tokenizer(before, add_special_tokens=False)["input_ids"]
    if not tokenizer.chat_template:
        start = [*beginning(tokenizer), *start]
    judge = Judge(
        model,
        tokenizer,
        loaded.commit,
        settings.prompt,
        tuple(start or ([] if shared else [tokenizer.eos_token_id])),
        tuple(ids[0][:shared]),
        tuple(tuple(own[shared:]) for own in ids),
        bool(tokenizer.chat_template),
    )
    require_room(
        judge.room(settings.max_tokens),
        settings.max_tokens,
        f"{_KEY}.prompt",
        name,
        judge.context,
        "shorten it, or take another model",
    )
    return judge


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


def listed(names: Sequence[str]) -> str:
    """List names as a sentence has them: left, center or right."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def _around(
    tokenizer: PreTrainedTokenizerBase, asked: str, names: Sequence[str]
) -> tuple[str, list[str]]:
    """Give what stands before the text, and of each label what stands after it, answer included."""
    if not tokenizer.chat_template:
        before, after = asked.split("{text}")
        blank = "" if after[-1:].isspace() else " "
        return before, [f"{after}{blank}{name}" for name in names]
    user = {"role": "user", "content": asked.replace("{text}", _TEXT)}
    try:
        question = said(tokenizer, [user], begun=True)
        endings = []
        for name in names:
            # How the template has an answer, a blank before it, say.
            whole = said(tokenizer, [user, {"role": "assistant", "content": name}], begun=False)
            rest = whole.removeprefix(question)
            known = whole.startswith(question) and name in rest
            lead = rest[: rest.index(name)] if known else ""
            endings.append(f"{question}{lead}{name}")
    except InputError as error:
        raise InputError(f"{_KEY}.classifier: {error}") from error
    if question.count(_TEXT) != 1:
        raise InputError(
            f"{_KEY}.classifier: the chat template of {tokenizer.name_or_path} has the text "
            f"{question.count(_TEXT)} times, and it is to be there once"
        )
    return question.split(_TEXT)[0], [ending.split(_TEXT)[1] for ending in endings]


def _refuse_same_answers(
    labels: Sequence[str], names: Sequence[str], ids: Sequence[Sequence[int]]
) -> None:
    for one, own in enumerate(ids):
        for other, longer_one in enumerate(ids):
            if one != other and longer_one[: len(own)] == own:
                what = "are" if len(own) == len(longer_one) else "begin"
                raise InputError(
                    f"{_KEY}.label_names: the tokens of '{names[one]}' (label '{labels[one]}') "
                    f"{what} those of '{names[other]}' (label '{labels[other]}'), so that the "
                    "answers cannot be told apart: give them other names"
                )


@dataclass(frozen=True)
class Entailment(TrainedClassifier):
    """A model of natural language inference.

    Attributes
    ----------
    hypotheses
        One per label.
    entailment
        Which of the model's outputs says "entailed".
    """

    what = "zero-shot by natural language inference"
    hypotheses: tuple[str, ...]
    entailment: int

    @property
    def _around(self) -> int:
        """Tokens of the longest hypothesis, and special ones."""
        empty = self.tokenizer([""] * len(self.hypotheses), list(self.hypotheses))["input_ids"]
        return max(len(ids) for ids in empty)

    def room(self, max_tokens: int | None = None) -> int:
        """How many tokens of a text are read."""
        room = checkpoint_of(self.model, self.tokenizer).limit() - self._around
        return room if max_tokens is None else min(room, max_tokens)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a card has to say of its probabilities."""
        return (
            "a label's probability is that of its hypothesis being entailed by the article, "
            f"divided by the sum over the labels; the hypotheses: {' '.join(self.hypotheses)}",
        )

    def _read(self, texts: list[str], batch_size: int, room: int) -> np.ndarray:
        import torch
        from scipy.special import softmax

        limit = room + self._around
        pairs = self._pairs(texts, limit)
        logs = np.empty(len(pairs))
        for places, logits in self._logits(pairs, batch_size, limit):
            if logits.shape[1] == 1 or is_multi_label(self.model):
                entailed = torch.nn.functional.logsigmoid(logits)
            else:
                entailed = logits.log_softmax(dim=-1)
            logs[places] = entailed[:, self.entailment].cpu().numpy()
        result = logs.reshape(len(texts), len(self.hypotheses))
        refuse_lost(self.model, result)
        return softmax(result, axis=1)

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
    settings: LeaningConfig, labels: Sequence[str], revision: str | None = None
) -> Entailment:
    """Load the model of natural language inference that a config names.

    Raises
    ------
    InputError
        If it cannot be had, none of its labels means entailment, two labels have the same
        hypothesis, or a hypothesis leaves no room for a text.
    """
    name = settings.classifier
    hypotheses = [
        filled(settings.hypothesis, {"label": own}) for own in named(labels, settings.label_names)
    ]
    loaded = load_pretrained(
        "AutoModelForSequenceClassification", name, _KEY, revision, settings.precision
    )
    shown = f"{_KEY}.classifier: {name}"
    entailment = _entailment(outputs_of(loaded.model, shown), shown)
    found = Entailment(
        loaded.model, loaded.tokenizer, loaded.revision, tuple(hypotheses), entailment
    )
    _refuse_same_hypotheses(loaded.tokenizer, labels, hypotheses)
    require_room(
        found.room(settings.max_tokens),
        settings.max_tokens,
        f"{_KEY}.hypothesis",
        name,
        checkpoint_of(loaded.model, loaded.tokenizer).limit(),
        "shorten it",
    )
    return found


def _entailment(outputs: Mapping[int, str], shown: str) -> int:
    means = [index for index, label in outputs.items() if label.lower().startswith("entail")]
    if len(means) != 1:
        raise InputError(
            f"{shown}: {'none' if not means else 'more than one'} of its labels "
            f"({', '.join(outputs.values())}) means entailment, as one of a model of natural "
            "language inference does: if it is one, name that label 'entailment' in id2label of "
            f"its config.json; if it was trained for your labels, set {_KEY}.kind: sequence"
        )
    return means[0]


def _refuse_same_hypotheses(
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
