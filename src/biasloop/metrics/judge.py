"""A causal language model as a classifier: asked about a text, it answers with a label's name.

What is read is the probability of each answer after the prompt, among the answers: of its first
token, or, where two answers begin with the same token, of the whole answer. Tokens that all answers
begin with (a blank, say) are of the prompt. Nothing is generated.
The text is untrusted: whatever it says, its characters never become a token of the chat template.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np

from biasloop.config import filled
from biasloop.errors import InputError
from biasloop.metrics.linear import softmax
from biasloop.metrics.pretrained import each_once, longer, refuse_lost, require_room
from biasloop.models import (
    batches,
    beginning,
    checkpoint_of,
    few_lengths,
    load_model,
    packed,
    read_at_once,
    tokenized,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_KEY = "metrics.leaning"
#: Stands for the text while a chat template is filled in.
_TEXT = "[[biasloop: the text]]"


@dataclass(frozen=True)
class Judge:
    """A loaded judge.

    Attributes
    ----------
    model, tokenizer
        In evaluation mode, on their device.
    before, after
        Token ids around the text, as far as no answer differs.
    answers
        Of each label the token ids that follow.
    revision
        The hub's commit, None for a local model.
    chat
        Whether the prompt is in the tokenizer's chat template.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    before: tuple[int, ...]
    after: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]
    revision: str | None
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

    def cut(self, texts: Sequence[str], max_tokens: int | None = None) -> int:
        """Count the texts that are not read to their end."""
        return longer(self.tokenizer, texts, self.room(max_tokens))

    def probabilities(
        self, texts: Sequence[str], batch_size: int, max_tokens: int | None = None
    ) -> np.ndarray:
        """Judge texts, those of like length together, and each different one once.

        Parameters
        ----------
        texts
            Any text, the empty one included.
        batch_size
            Prompts at once, at most; fewer where they come to more than `models.read_at_once`
            says.
        max_tokens
            A text is cut here, and at what the context has room for beside the prompt.

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
        prompts = [
            np.array([*self.before, *ids, *self.after], np.int32)
            for ids in tokenized(self.tokenizer, different, self.room(max_tokens))
        ]
        ways: list[tuple[int, ...]] = (
            [()] if self.by_first_token else [answer[:-1] for answer in self.answers]
        )
        asked = [(row, way) for row in range(len(prompts)) for way in range(len(ways))]
        lengths = [len(prompts[row]) + len(ways[way]) for row, way in asked]
        result = np.empty((len(different), len(self.answers)))
        with torch.inference_mode(), packed(self.model):
            for places in batches(lengths, batch_size, read_at_once(self.model)):
                self._read(prompts, [asked[place] for place in places], result)
        refuse_lost(self.model, result)
        return softmax(result)[places_of]

    def _read(
        self, prompts: list[np.ndarray], asked: list[tuple[int, int]], result: np.ndarray
    ) -> None:
        """Read one batch: logits of the first tokens, or log probabilities of whole answers."""
        import torch

        whole = not self.by_first_token
        rows = [
            np.concatenate([prompts[row], self.answers[way][:-1]]) if whole else prompts[row]
            for row, way in asked
        ]
        longest = min(few_lengths(max(len(ids) for ids in rows)), self.context)
        padded = torch.zeros((len(rows), longest), dtype=torch.long)
        mask = torch.zeros_like(padded)
        for row, ids in enumerate(rows):
            padded[row, : len(ids)] = torch.from_numpy(ids.astype(np.int64))
            mask[row, : len(ids)] = 1
        device = self.model.device
        needed = [
            range(len(prompts[row]) - 1, len(prompts[row]) + (len(self.answers[way]) - 1) * whole)
            for row, way in asked
        ]
        kept = sorted({place for places in needed for place in places})
        options = {}
        if "logits_to_keep" in inspect.signature(self.model.forward).parameters:
            options["logits_to_keep"] = torch.tensor(kept, device=device)
        logits = self.model(
            input_ids=padded.to(device), attention_mask=mask.to(device), use_cache=False, **options
        ).logits
        if not options:
            logits = logits[:, kept]
        at = {place: index for index, place in enumerate(kept)}
        for place, (row, way) in enumerate(asked):
            own = logits[place, [at[position] for position in needed[place]]].float()
            if whole:
                tokens = torch.tensor(self.answers[way], device=device)
                each = own.log_softmax(-1).gather(1, tokens[:, None])
                result[row, way] = float(each.double().sum())
            else:
                firsts = [answer[0] for answer in self.answers]
                result[row] = own[0, firsts].double().cpu().numpy()


def load_judge(
    name: str,
    labels: Sequence[str],
    label_names: dict[str, str],
    prompt: str,
    revision: str | None = None,
    precision: str = "float32",
    max_tokens: int | None = None,
) -> Judge:
    """Load a judge and lay out what it is asked.

    Parameters
    ----------
    name
        A local folder, a ``.gguf`` file, an asset or a hub id: see `models.load_model`.
    labels
        Our labels, in order.
    label_names
        Label -> what it is called; one that is not in it is called as it is.
    prompt
        With ``{text}``, and ``{labels}`` where the names are listed.
    revision
        Of a hub model.
    precision
        ``float32`` or ``bfloat16``: of its weights.
    max_tokens
        What is read of a text, at most.

    Raises
    ------
    InputError
        If it cannot be had, the prompt does not name every label, the answers of two labels
        cannot be told apart, or the prompt leaves no room for a text.
    """
    names = named(labels, label_names)
    asked = filled(prompt, {"labels": listed(names)})
    missing = [name for name in names if name not in asked]
    if missing:
        raise InputError(
            f"{_KEY}.prompt: does not say that '{missing[0]}' is an answer: put {{labels}} into it"
        )
    try:
        loaded = load_model(name, revision, precision)
    except InputError as error:
        raise InputError(f"{_KEY}.classifier: {error}") from error
    model, tokenizer = loaded.model, loaded.tokenizer
    before, endings = _around(tokenizer, asked, names)
    ids = [tokenizer(ending, add_special_tokens=False)["input_ids"] for ending in endings]
    _refuse_same(labels, names, ids)
    shared = _shared(ids)
    start = tokenizer(before, add_special_tokens=False)["input_ids"]
    if not tokenizer.chat_template:
        start = [*beginning(tokenizer), *start]
    judge = Judge(
        model,
        tokenizer,
        tuple(start or ([] if shared else [tokenizer.eos_token_id])),
        tuple(ids[0][:shared]),
        tuple(tuple(own[shared:]) for own in ids),
        loaded.commit,
        bool(tokenizer.chat_template),
    )
    require_room(
        judge.room(max_tokens),
        max_tokens,
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
        question = _said(tokenizer, [user], begun=True)
        endings = []
        for name in names:
            # How the template has an answer, a blank before it, say.
            whole = _said(tokenizer, [user, {"role": "assistant", "content": name}], begun=False)
            rest = whole.removeprefix(question)
            known = whole.startswith(question) and name in rest
            lead = rest[: rest.index(name)] if known else ""
            endings.append(f"{question}{lead}{name}")
    except Exception as error:
        raise InputError(
            f"{_KEY}.classifier: the chat template of {tokenizer.name_or_path} cannot take a "
            f"question and an answer ({type(error).__name__}: {error})"
        ) from error
    if question.count(_TEXT) != 1:
        raise InputError(
            f"{_KEY}.classifier: the chat template of {tokenizer.name_or_path} has the text "
            f"{question.count(_TEXT)} times, and it is to be there once"
        )
    return question.split(_TEXT)[0], [ending.split(_TEXT)[1] for ending in endings]


def _said(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]], begun: bool) -> str:
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=begun))


def _shared(ids: Sequence[Sequence[int]]) -> int:
    """Count the leading tokens that all have."""
    return sum(1 for _ in takewhile(lambda tokens: len(set(tokens)) == 1, zip(*ids, strict=False)))


def _refuse_same(labels: Sequence[str], names: Sequence[str], ids: Sequence[Sequence[int]]) -> None:
    for one, own in enumerate(ids):
        for other, longer_one in enumerate(ids):
            if one != other and longer_one[: len(own)] == own:
                what = "are" if len(own) == len(longer_one) else "begin"
                raise InputError(
                    f"{_KEY}.label_names: the tokens of '{names[one]}' (label '{labels[one]}') "
                    f"{what} those of '{names[other]}' (label '{labels[other]}'), so that the "
                    "answers cannot be told apart: give them other names"
                )
