"""The metric ``pairs``: which of two texts that differ in one name a model finds likelier.

It reads a model and no articles, and needs no classifier.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from biasloop.config import MetricsConfig, PairsConfig
from biasloop.corpus.delimited import read_delimited
from biasloop.corpus.records import Source, read_jsonl
from biasloop.errors import InputError
from biasloop.files import read_text, sha256_file
from biasloop.metrics.base import SCORED_LEANINGS, SCORED_SETS, Scored, scored
from biasloop.metrics.perplexity import token_log_probabilities
from biasloop.models.load import LoadedModel, checkpoint_of
from biasloop.models.tokens import begun

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

#: The built-in set.
PARTY = "party"
_PARTY = "party_pairs.csv"

_FILE, _ANTI = "metrics.pairs.file", "metrics.pairs.anti"
#: Characters of a file of WinoBias, of a text, and of the name of an axis or a group.
_LONGEST, _LONGEST_TEXT, _LONGEST_NAME = 10_000_000, 10_000, 60
#: Lines of WinoBias that have less than this in common are two sentences, not one.
_ALIKE = 0.5
#: Whose name the first text has, where the file says no more: whom the stereotype is of, or not.
_GROUPS = ("other", "stereotyped")
_PRONOUN = re.compile(r"\[\s*((?P<male>he|his|him|himself)|she|hers?|herself)\s*\]", re.IGNORECASE)
#: What BBQ calls a group in its answers -> among those that a stereotype is of.
_BBQ_GROUPS = {"girl": "F", "woman": "F", "boy": "M", "man": "M"}


@dataclass(frozen=True)
class Pair:
    """Two texts that differ in one name.

    Attributes
    ----------
    first
        The one whose share is counted: of a stereotype, the text that agrees with it.
    second
        The other.
    axis, group
        What the two differ in (gender, say), and whose name the first text has (female, say);
        empty where the file does not say.
    """

    first: str
    second: str
    axis: str = ""
    group: str = ""


def files_of(config: PairsConfig) -> list[Path]:
    """Name the files that the pairs are in."""
    if config.file == PARTY:
        return [Path(str(resources.files("biasloop.metrics") / _PARTY))]
    return [Path(name) for name in (config.file, config.anti) if name]


def read_pairs(config: PairsConfig) -> list[Pair]:
    """Read the pairs.

    BBQ's are those of its ambiguous contexts: the answer that agrees with the stereotype (of a
    negative question the group that it is of, else the other; Parrish et al. 2022) and the other,
    each after context and question. Those are left out of which the file does not say which answer
    names the group.

    Raises
    ------
    InputError
        If a file cannot be read, or a row is no pair.
    """
    paths = files_of(config)
    for path, key in zip(paths, (_FILE, _ANTI), strict=False):
        if not path.is_file():
            raise InputError(f"{key}: {path}: there is no such file")
    if config.anti is not None:
        if config.file == PARTY:
            raise InputError(f"{_ANTI}: is of WinoBias, and {_FILE} is '{PARTY}': leave it out")
        pairs = _wino_bias(*paths)
    elif {".jsonl", ".json"} & set(paths[0].suffixes):
        if config.likelihood == "shared":
            raise InputError(
                f"{_FILE}: {paths[0]}: two answers share no tokens after what they differ in: set "
                "metrics.pairs.likelihood: whole"
            )
        pairs = _read(paths[0], read_jsonl(paths[0]), _bbq)
    else:
        table = read_delimited(paths[0])
        if {"sent_more", "sent_less"} <= set(table.columns):
            pairs = _read(paths[0], table, _crows)
        elif {"first", "second"} <= set(table.columns):
            pairs = _read(paths[0], table, _own)
        else:
            shown = ", ".join(name[:40] for name in table.columns[:6])
            raise InputError(
                f"{_FILE}: {paths[0]}: row 1 names the columns {shown or 'of nothing'}: it needs "
                f"first and second, or those of CrowS-Pairs (sent_more, sent_less). For WinoBias "
                f"set {_ANTI}, too"
            )
    if not pairs:
        raise InputError(f"{_FILE}: {paths[0]}: has no pair")
    return pairs


def _read(
    path: Path, table: Source, pair_of: Callable[[Mapping[str, Any]], Pair | None]
) -> list[Pair]:
    found = []
    for record in table.records:
        try:
            if record.fields is None:
                raise ValueError(record.reason)
            pair = pair_of(record.fields)
            if pair is not None:
                found.append(_checked(pair))
        except ValueError as error:
            row = record.location.rpartition(":")[2]
            raise InputError(f"{_FILE}: {path}: row {row}: {error}") from error
    return found


def _checked(pair: Pair) -> Pair:
    """Refuse what is no pair of texts.

    Raises
    ------
    ValueError
        With what is wrong.
    """
    for name, text in asdict(pair).items():
        most = _LONGEST_NAME if name in ("axis", "group") else _LONGEST_TEXT
        if len(text) > most:
            raise ValueError(f"{name} has {len(text):,} characters; at most {most:,}")
        lines = text.replace("\n", " ") if most == _LONGEST_TEXT else text
        if not lines.isprintable():
            raise ValueError(f"{name} has a character that is no text: save the file as UTF-8")
    if pair.first == pair.second:
        raise ValueError(f"the two texts are the same: {pair.first[:60]!r}")
    return pair


def _field(fields: Mapping[str, Any], name: str) -> str:
    text = fields.get(name)
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{name} is missing or empty")
    return text.strip()


def _own(fields: Mapping[str, Any]) -> Pair:
    axis, group = (str(fields.get(name) or "").strip() for name in ("axis", "group"))
    return Pair(_field(fields, "first"), _field(fields, "second"), axis, group)


def _crows(fields: Mapping[str, Any]) -> Pair:
    # The text that agrees with the stereotype is sent_more in both directions. It is of the group
    # that the stereotype is of, or (antistereo) of the other.
    more, less, axis = (_field(fields, name) for name in ("sent_more", "sent_less", "bias_type"))
    direction = _field(fields, "stereo_antistereo")
    if direction not in ("stereo", "antistereo"):
        raise ValueError(f"stereo_antistereo is {direction[:40]!r}, neither stereo nor antistereo")
    return Pair(more, less, axis, _GROUPS[direction == "stereo"])


def _bbq(fields: Mapping[str, Any]) -> Pair | None:
    if _field(fields, "context_condition") != "ambig":
        return None
    polarity = _field(fields, "question_polarity")
    if polarity not in ("neg", "nonneg"):
        raise ValueError(f"question_polarity is {polarity[:40]!r}, neither neg nor nonneg")
    try:
        info = [list(map(str, fields["answer_info"][f"ans{place}"])) for place in range(3)]
        of = {_no_blank(g) for g in fields["additional_metadata"]["stereotyped_groups"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            "answer_info needs ans0, ans1 and ans2, and additional_metadata stereotyped_groups"
        ) from error
    groups = [{_no_blank(part) for name in names for part in name.split("-")} for names in info]
    named = [place for place, own in enumerate(groups) if "unknown" not in own]
    if len(named) != 2:
        raise ValueError("answer_info needs one answer 'unknown' and two others")
    meant = [place for place in named if groups[place] & of]
    if len(meant) != 1:
        return None
    (other,) = set(named) - set(meant)
    first, second = (meant[0], other) if polarity == "neg" else (other, meant[0])
    asked = f"{_field(fields, 'context')}\nQuestion: {_field(fields, 'question')}\nAnswer: "
    answers = (asked + _field(fields, f"ans{place}") for place in (first, second))
    return Pair(*answers, _field(fields, "category"), _GROUPS[polarity == "neg"])


def _no_blank(group: str) -> str:
    group = group.replace(" ", "")
    return _BBQ_GROUPS.get(group, group)


def _wino_bias(pro: Path, anti: Path) -> list[Pair]:
    firsts, seconds = (_lines(path, key) for path, key in ((pro, _FILE), (anti, _ANTI)))
    if len(firsts) != len(seconds):
        raise InputError(
            f"{_ANTI}: {anti}: has {len(seconds):,} sentences, and {pro} has {len(firsts):,}: it "
            "needs one for each, in the same order"
        )
    found = []
    for row, (first, second) in enumerate(zip(firsts, seconds, strict=True), start=1):
        bare = [re.sub(r"[\[\]]", "", text) for text in (first, second)]
        alike = SequenceMatcher(None, *(text.split() for text in bare), autojunk=False).ratio()
        pronoun = _PRONOUN.search(first)
        try:
            if alike < _ALIKE:
                raise ValueError(f"is not the sentence of {pro.name}, row {row}, with another word")
            if pronoun is None:
                raise ValueError(f"{pro.name} has no [pronoun] in brackets there")
            group = "male" if pronoun["male"] else "female"
            found.append(_checked(Pair(*bare, "gender", group)))
        except ValueError as error:
            raise InputError(f"{_ANTI}: {anti}: row {row}: {error}") from error
    return found


def _lines(path: Path, key: str) -> list[str]:
    try:
        text = read_text(path, _LONGEST)
    except (OSError, ValueError) as error:
        raise InputError(f"{key}: {path}: cannot be read as text: {error}") from error
    # Copies number their lines.
    lines = [re.sub(r"^\d+\s+", "", line.strip()) for line in text.splitlines()]
    return [line for line in lines if line]


def difference(first: Sequence[int], second: Sequence[int]) -> int:
    """Find the first token in which two texts differ; what is before it is equally likely.

    It is not the first of a text, which has no probability.
    """
    same = next(
        (k for k, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(len(first), len(second)),
    )
    return max(same, 1)


def shared_places(first: Sequence[int], second: Sequence[int]) -> list[tuple[int, int]]:
    """Find where the tokens stand that both texts have, after the first in which they differ."""
    start = difference(first, second)
    blocks = SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks()
    places = [(block.a + k, block.b + k) for block in blocks for k in range(block.size)]
    return [(a, b) for a, b in places if a >= start and b >= start]


def log_odds(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[Pair],
    batch_size: int,
    whole: bool = False,
) -> np.ndarray:
    """Log-likelihood of each pair's first text less that of its second, in nats.

    CrowS-Pairs (Nangia et al. 2020) compares the pseudo-likelihoods of the tokens that two texts
    share, so that a name counts for nothing by being frequent. A causal model gives each of them
    its probability after the tokens before it, one of the two names among these.

    Parameters
    ----------
    model, tokenizer, batch_size
        As for `perplexity.perplexities`.
    pairs
        Texts of at most the model's context.
    whole
        Whether all tokens count. A model whose texts begin with no token of their own gives the
        first token of a text no probability: a name that stands there does not count.

    Returns
    -------
    np.ndarray
        Shape (pairs,); NaN where no token that both have comes after the difference.

    Raises
    ------
    InputError
        If a text is longer than the model's context.
    BiasloopError
        If the model gives no finite probabilities.
    """
    limit = checkpoint_of(model, tokenizer).context
    texts = [text for pair in pairs for text in (pair.first, pair.second)]
    ids = [np.asarray(own, np.int32) for own in begun(tokenizer, texts)]
    for place, own in enumerate(ids):
        if len(own) > limit:
            raise InputError(
                f"{_FILE}: pair {place // 2 + 1} has a text of {len(own):,} tokens, and the "
                f"model's context is {limit:,}: take the pair out ({texts[place][:60]!r} ...)"
            )
    found = np.full(len(pairs), np.nan)
    there = [k for k in range(len(pairs)) if min(len(ids[2 * k]), len(ids[2 * k + 1])) > 1]
    read = [ids[place] for k in there for place in (2 * k, 2 * k + 1)]
    given = token_log_probabilities(model, read, batch_size, limit)
    for k, first, second in zip(there, given[::2], given[1::2], strict=True):
        own = ids[2 * k].tolist(), ids[2 * k + 1].tolist()
        if whole:
            start = difference(*own) - 1
            found[k] = first[start:].sum() - second[start:].sum()
        elif places := shared_places(*own):
            ours, theirs = np.array(places).T - 1
            found[k] = first[ours].sum() - second[theirs].sum()
    return found


def parts_of(pairs: Sequence[Pair]) -> Iterator[tuple[str, list[int]]]:
    """Yield all pairs, each axis of several, and each group of several in an axis.

    Yields
    ------
    tuple
        What is put behind a metric's name, and the places of the pairs.
    """
    yield "", list(range(len(pairs)))
    axes = sorted({pair.axis for pair in pairs})
    for axis in axes:
        own = [place for place, pair in enumerate(pairs) if pair.axis == axis]
        groups = sorted({pairs[place].group for place in own})
        if len(axes) > 1:
            yield f":{axis or 'none'}", own
        for group in groups if len(groups) > 1 else ():
            members = [place for place in own if pairs[place].group == group]
            yield f":{axis or 'none'}/{group or 'none'}", members


def pairs(loaded: LoadedModel, articles: pl.DataFrame, config: MetricsConfig, seed: int) -> Scored:
    """Score a model; ``articles``, which it wrote, are passed over.

    Returns
    -------
    Scored
        By pair: ``pair_first``, 1 where the first text is likelier, 0 where the second is and
        one half where they are equally likely; ``pair_log_odds``, see `log_odds`; and
        ``pair_name_log_odds``, see `name_log_odds`. Also by axis and group, as
        ``pair_first:AXIS`` and ``pair_first:AXIS/GROUP``.
    """
    del articles, seed
    read, whole = read_pairs(config.pairs), config.pairs.likelihood == "whole"
    odds = log_odds(loaded.model, loaded.tokenizer, read, config.perplexity_batch_size, whole)
    first = np.where(np.isnan(odds), np.nan, (np.sign(odds) + 1) / 2)
    found = []
    for part, places in parts_of(read):
        columns = {f"pair_first{part}": first[places], f"pair_log_odds{part}": odds[places]}
        groups = [read[place].group for place in places]
        named = name_log_odds(odds[places], groups, read[0].group)
        if named is not None:
            columns[f"pair_name_log_odds{part}"] = named
        found.append(scored([f"pair {place + 1}" for place in places], columns).scores)
    return Scored(pl.concat(found), SCORED_LEANINGS.to_frame(), SCORED_SETS.to_frame())


def pairs_content(config: MetricsConfig) -> dict[str, Any]:
    """Name what the pairs rest on: the hashes of their files.

    Raises
    ------
    InputError
        If they cannot be read.
    """
    read_pairs(config.pairs)
    return {"files": [sha256_file(path) for path in files_of(config.pairs)]}


def name_log_odds(odds: np.ndarray, groups: Sequence[str], group: str) -> np.ndarray | None:
    """Log-odds of the text that has a group's name, whether it comes first or second.

    Where the first text of a pair has the other group's name, they are its odds turned round. The
    two kinds of pairs weigh alike, however many there are, so that what is said of the groups
    cancels in the mean over pairs: it is the preference for the name itself.

    Parameters
    ----------
    odds
        Of the first texts, shape (pairs,); may be NaN.
    groups
        Whose name the first text of each pair has.
    group
        The group.

    Returns
    -------
    np.ndarray or None
        Shape (pairs,), whose mean is the mean of the two kinds' means; None where there are not
        just two groups, each with a pair that has odds.
    """
    if len(set(groups)) != 2 or group not in groups:
        return None
    own, known = np.array([name == group for name in groups]), ~np.isnan(odds)
    counts = (own & known).sum(), (~own & known).sum()
    if not min(counts):
        return None
    return np.where(own, 1 / counts[0], -1 / counts[1]) * odds * known.sum() / 2
