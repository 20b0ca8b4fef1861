"""Features of the built-in classifier: TF-IDF of words or characters, or sentence embeddings.

TF-IDF counts are made once and weighted per fold: what refitting scikit-learn's `TfidfVectorizer`
on the fold gives (a test holds the two together), without counting the text again.

For an embedding an article is cut into chunks of the encoder's length; a chunk's vector is pooled
from its tokens' states, an article's is the mean of its chunks' unit vectors, scaled to length 1.
MiniLM (Wang et al. 2020; all-MiniLM-L6-v2 of Reimers and Gurevych) is the asset ``minilm``, and
pools by the mean. Any other encoder pools as its ``1_Pooling/config.json`` says, which
sentence-transformers writes (that package is not needed), or by the mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from biasloop import device
from biasloop.assets import asset_path
from biasloop.config import LeaningConfig
from biasloop.device import return_freed_memory
from biasloop.errors import InputError
from biasloop.files import sha256_file
from biasloop.metrics.pretrained import (
    Pretrained,
    each_once,
    limit_of,
    load_pretrained,
    refuse_lost,
)
from biasloop.models import beginning, tokenized

if TYPE_CHECKING:
    import torch
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import CountVectorizer
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


#: Counts that are looked at once: every step of it makes an array of eight bytes for each.
_AT_ONCE = 2**18


@dataclass(frozen=True)
class Terms:
    """What is counted: scikit-learn's ``analyzer``, n-gram range and least document frequency."""

    analyzer: str
    shortest: int
    longest: int
    least_articles: int

    def counter(self, vocabulary: Sequence[str] | None = None) -> CountVectorizer:
        """Make scikit-learn's counter, over a known vocabulary where one is given."""
        from sklearn.feature_extraction.text import CountVectorizer

        pattern = {} if self.analyzer != "word" else {"token_pattern": r"(?u)\b\w[\w'’]*"}
        return CountVectorizer(
            analyzer=self.analyzer,
            ngram_range=(self.shortest, self.longest),
            vocabulary=None if vocabulary is None else list(vocabulary),
            dtype=np.int32,
            **pattern,
        )


@dataclass(frozen=True)
class Weighting:
    """Which columns are kept and their inverse document frequencies, both shape (columns,)."""

    columns: np.ndarray
    idf: np.ndarray


def fit_weighting(counts: csr_matrix, least_articles: int) -> Weighting:
    """Keep the columns with enough articles, and give them ``ln((1 + n) / (1 + df)) + 1``."""
    frequency = np.zeros(counts.shape[1], dtype=np.int64)
    for at in range(0, len(counts.indices), _AT_ONCE):
        some = counts.indices[at : at + _AT_ONCE]
        frequency += np.bincount(some, minlength=counts.shape[1])
    columns = np.flatnonzero(frequency >= least_articles)
    return Weighting(columns, np.log((1 + counts.shape[0]) / (1 + frequency[columns])) + 1.0)


def weigh(counts: csr_matrix, idf: np.ndarray) -> csr_matrix:
    """Turn counts into rows of ``(1 + ln count) * idf``, of length 1 (or 0 for an empty one)."""
    from scipy.sparse import csr_matrix
    from sklearn.preprocessing import normalize

    # In place, and with the counts' own indices (scikit-learn's `TfidfTransformer` makes an array
    # more): the matrix is the largest thing in fitting. They are sorted first, since their order is
    # that in which the fitting adds up.
    counts.sort_indices()
    values = counts.data.astype(np.float64)
    np.log(values, out=values)
    values += 1.0
    for at in range(0, len(values), _AT_ONCE):
        values[at : at + _AT_ONCE] *= idf[counts.indices[at : at + _AT_ONCE]]
    weighted = csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)
    return normalize(weighted, norm="l2", copy=False)


@dataclass(frozen=True)
class TfidfEncoder:
    """A fitted TF-IDF: text -> rows of unit length."""

    terms: Terms
    vocabulary: Sequence[str]
    idf: np.ndarray

    #: Every row is counted, weighted and multiplied by itself.
    at_once = 1024

    @cached_property
    def _counter(self) -> CountVectorizer:
        return self.terms.counter(self.vocabulary)

    def encode(self, texts: Sequence[str]) -> csr_matrix:
        """Encode texts, shape (texts, terms)."""
        from scipy.sparse import csr_matrix

        if not self.vocabulary or not texts:  # which scikit-learn refuses
            return csr_matrix((len(texts), len(self.vocabulary)))
        return weigh(self._counter.transform(texts), self.idf)

    def save(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Give JSON and arrays to keep."""
        return {"vocabulary": list(self.vocabulary)}, {"idf": self.idf}


@dataclass(frozen=True)
class TfidfCandidate:
    """A TF-IDF to try as the built-in classifier's features.

    Attributes
    ----------
    name
        As the card calls it.
    terms
        What is counted.
    strength
        Inverse regularisation of the logistic regression on it.
    """

    name: str
    terms: Terms
    strength: float

    def prepare(self, texts: Sequence[str]) -> TfidfPrepared:
        """Count every text's terms, once."""
        counter = self.terms.counter()
        try:
            counts = counter.fit_transform(texts)
        except ValueError:  # scikit-learn's "empty vocabulary": no text has a single term
            counts = counter.set_params(vocabulary=[" "]).fit_transform(texts)
        # A term that is too rare in all the rows is too rare in any part of them.
        possible = fit_weighting(counts, self.terms.least_articles).columns
        # As one block: single strings of it would hold on to what the whole vocabulary lay in.
        names = counter.get_feature_names_out()[possible].astype(np.dtypes.StringDType())
        counts = counts[:, possible]
        del counter
        return_freed_memory()
        return TfidfPrepared(self.terms, names, counts)

    def restore(self, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> TfidfEncoder:
        """Read back what `TfidfEncoder.save` gave."""
        return TfidfEncoder(self.terms, meta["vocabulary"], arrays["idf"])


@dataclass(frozen=True)
class TfidfPrepared:
    """Counted texts: rows can be encoded by what other rows say, without a leak."""

    terms: Terms
    names: np.ndarray
    counts: csr_matrix

    def encode(
        self, train: np.ndarray, test: np.ndarray | None = None
    ) -> tuple[csr_matrix, csr_matrix | None]:
        """Encode the rows ``train``, and ``test`` likewise, by ``train``'s frequencies only."""
        counts = self.counts[train]
        weighting = fit_weighting(counts, self.terms.least_articles)

        def weighed(counts: csr_matrix) -> csr_matrix:
            kept = len(weighting.columns) == counts.shape[1]
            return weigh(counts if kept else counts[:, weighting.columns], weighting.idf)

        return weighed(counts), None if test is None else weighed(self.counts[test])

    def encoder(self, train: np.ndarray | None = None) -> TfidfEncoder:
        """Fit on the rows ``train``; None takes every row."""
        counts = self.counts if train is None else self.counts[train]
        weighting = fit_weighting(counts, self.terms.least_articles)
        names = [str(name) for name in self.names[weighting.columns]]
        return TfidfEncoder(self.terms, names, weighting.idf)


_WEIGHTS = "model.safetensors"
_CHUNK = 254
_BATCH = 32

E = TypeVar("E")


def _unit(rows: np.ndarray) -> np.ndarray:
    """Scale rows to length 1; zeros stay zeros, and what is not finite becomes NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths != 0)


def mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Average the states of tokens that are no padding.

    Parameters
    ----------
    states, mask
        Shapes (texts, tokens, width) and (texts, tokens); padding is on the right.

    Returns
    -------
    torch.Tensor
        Shape (texts, width).
    """
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1)


def embed(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    chunk: int,
    around: tuple[Sequence[int], Sequence[int]],
    pool: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    width: int,
    batch_size: int = _BATCH,
) -> np.ndarray:
    """Embed articles: the mean of their chunks' unit vectors, scaled to length 1.

    Parameters
    ----------
    model, tokenizer
        An encoder, on its device.
    texts
        Any text.
    chunk
        Tokens of a chunk, at most, without those around it.
    around
        Tokens that go before and after every chunk.
    pool
        Last states and mask of chunks -> their vectors; see `mean`.
    width
        Of a vector.
    batch_size
        Chunks at once.

    Returns
    -------
    np.ndarray
        Shape (texts, width), float64; a text without tokens is zeros.

    Raises
    ------
    InputError
        If the model gives a text no finite numbers.
    """
    import torch

    before, after = around
    pad = tokenizer.pad_token_id
    chunks: list[tuple[int, list[int]]] = []
    for row, ids in enumerate(tokenized(tokenizer, texts)):
        chunks += [
            (row, [*before, *ids[at : at + chunk], *after]) for at in range(0, len(ids), chunk)
        ]
    chunks.sort(key=lambda chunk: (len(chunk[1]), chunk[0]))
    sums = np.zeros((len(texts), width))
    for at in range(0, len(chunks), batch_size):
        batch = chunks[at : at + batch_size]
        longest = max(len(ids) for _, ids in batch)
        ids = torch.tensor([ids + [pad] * (longest - len(ids)) for _, ids in batch])
        mask = torch.tensor([[1] * len(i) + [0] * (longest - len(i)) for _, i in batch])
        ids, mask = ids.to(model.device), mask.to(model.device)
        with torch.inference_mode():
            states = model(input_ids=ids, attention_mask=mask).last_hidden_state
            vectors = _unit(pool(states, mask).double().cpu().numpy())
        np.add.at(sums, [row for row, _ in batch], vectors)
    result = _unit(sums)
    refuse_lost(model, result)
    return result


@dataclass(frozen=True)
class MiniLmEncoder:
    """Articles -> unit vectors of the encoder's width. Nothing in it is fitted."""

    folder: Path

    @cached_property
    def _loaded(self) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
        from transformers import AutoModel, AutoTokenizer

        options = {"local_files_only": True, "trust_remote_code": False}
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.folder, **options)
            model = AutoModel.from_pretrained(self.folder, use_safetensors=True, **options)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.folder}: the sentence encoder cannot be read ({error}); "
                "'biasloop download minilm' fetches it again"
            ) from error
        assert tokenizer is not None  # noqa: S101 - from_pretrained raises instead
        return tokenizer, model.to(device.choose("float32").name).eval()

    @cached_property
    def weights_sha256(self) -> str:
        """Identifies the encoder that an instrument was fitted with."""
        return sha256_file(self.folder / _WEIGHTS)

    #: Texts of like length are read together, whichever they are.
    at_once = None

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encode articles, shape (texts, width), float64; a text without tokens is zeros."""
        tokenizer, model = self._loaded
        chunk = min(_CHUNK, model.config.max_position_embeddings - 2)
        around = [tokenizer.cls_token_id], [tokenizer.sep_token_id]
        return embed(model, tokenizer, texts, chunk, around, mean, model.config.hidden_size)

    def save(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Give JSON and arrays to keep: only which encoder it was."""
        return {"encoder_sha256": self.weights_sha256}, {}


@dataclass(frozen=True)
class MiniLmCandidate:
    """MiniLM embeddings to try as the built-in classifier's features; see `TfidfCandidate`."""

    name: str
    strength: float

    def _encoder(self) -> MiniLmEncoder:
        return MiniLmEncoder(Path(asset_path("minilm")))

    def prepare(self, texts: Sequence[str]) -> Embedded[MiniLmEncoder]:
        """Embed every text, once."""
        encoder = self._encoder()
        return Embedded(encoder, encoder.encode(texts))

    def restore(self, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> MiniLmEncoder:
        """Read back what `MiniLmEncoder.save` gave.

        Raises
        ------
        InputError
            If the asset is no longer the encoder that the instrument was fitted with.
        """
        del arrays
        encoder = self._encoder()
        if encoder.weights_sha256 != meta["encoder_sha256"]:
            raise InputError(
                f"{encoder.folder}: not the sentence encoder that the instrument was fitted with; "
                "fetch that one again or start in a new output folder"
            )
        return encoder


@dataclass(frozen=True)
class Embedded(Generic[E]):
    """Embedded texts; nothing is fitted, so nothing can leak."""

    fixed: E
    rows: np.ndarray

    def encode(
        self, train: np.ndarray, test: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Give the embeddings of the rows ``train`` and ``test``."""
        return self.rows[train], None if test is None else self.rows[test]

    def encoder(self, train: np.ndarray | None = None) -> E:
        """Give the encoder itself, whatever the rows."""
        del train
        return self.fixed


_KEY = "metrics.leaning"
_POOLING = "1_Pooling/config.json"
_MODE = "pooling_mode_"


def _first(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    del mask  # padding is on the right
    return states[:, 0]


def _last(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    import torch

    return states[torch.arange(len(states), device=states.device), mask.sum(dim=1) - 1]


def _largest(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return states.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).max(dim=1).values


def _mean_by_root(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return mean(states, mask) * mask.sum(dim=1, keepdim=True).to(states.dtype).sqrt()


def _weighted_mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return mean(states, mask.cumsum(dim=1) * mask)


#: The poolings of sentence-transformers, by the name in its file, in the order that it joins them.
POOLINGS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "cls_token": _first,
    "max_tokens": _largest,
    "mean_tokens": mean,
    "mean_sqrt_len_tokens": _mean_by_root,
    "weightedmean_tokens": _weighted_mean,
    "lasttoken": _last,
}


def pooled(modes: Sequence[str]) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Join the vectors of several poolings, shape (texts, poolings x width)."""
    import torch

    return lambda states, mask: torch.cat([POOLINGS[mode](states, mask) for mode in modes], dim=-1)


def pooling_of(folder: Path) -> tuple[str, ...]:
    """Read how a model pools: from its file of sentence-transformers, else by the mean.

    Parameters
    ----------
    folder
        That holds it.

    Returns
    -------
    tuple of str
        Names from `POOLINGS`.

    Raises
    ------
    InputError
        If the file cannot be read, or names no pooling that is known.
    """
    file = folder / _POOLING
    if not file.is_file():
        return ("mean_tokens",)
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        chosen = {key.removeprefix(_MODE) for key in settings if key.startswith(_MODE)}
        chosen = {mode for mode in chosen if settings[_MODE + mode] is True}
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{_KEY}.classifier: {file}: cannot be read: {error}") from error
    unknown = sorted(chosen - set(POOLINGS))
    if unknown or not chosen:
        what = f"names a pooling that is not known, '{unknown[0]}'" if unknown else "names none"
        raise InputError(
            f"{_KEY}.classifier: {file}: {what}; known are, each as {_MODE}...: true, "
            f"{', '.join(POOLINGS)}"
        )
    return tuple(mode for mode in POOLINGS if mode in chosen)


@dataclass(frozen=True)
class SentenceEncoder:
    """A loaded encoder: texts -> unit vectors. Nothing in it is fitted.

    Attributes
    ----------
    loaded
        The model, its tokenizer and its revision.
    pooling
        Names from `POOLINGS`.
    settings
        The config's section.
    """

    loaded: Pretrained
    pooling: tuple[str, ...]
    settings: LeaningConfig

    #: Texts of like length are read together, whichever they are.
    at_once = None

    @cached_property
    def around(self) -> tuple[list[int], list[int]]:
        """Tokens that the tokenizer puts before and after a text."""
        tokenizer = self.loaded.tokenizer
        before = beginning(tokenizer)
        whole, plain = (
            tokenizer("a", add_special_tokens=special)["input_ids"] for special in (True, False)
        )
        return before, whole[len(before) + len(plain) :]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encode texts, each different one once, shape (texts, width), float64.

        Raises
        ------
        InputError
            If the model gives a text no finite numbers.
        """
        model, tokenizer = self.loaded.model, self.loaded.tokenizer
        different, places_of = each_once(texts)
        before, after = self.around
        limit = limit_of(model, tokenizer, self.settings.max_tokens)
        chunk = max(1, limit - len(before) - len(after))
        pool = pooled(self.pooling)
        size = self.settings.batch_size
        width = model.config.hidden_size * len(self.pooling)
        vectors = embed(model, tokenizer, different, chunk, self.around, pool, width, size)
        return vectors[places_of]

    def save(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Give JSON and arrays to keep: only which encoder it was."""
        return {"revision": self.loaded.revision, "pooling": list(self.pooling)}, {}


@dataclass(frozen=True)
class EmbeddingCandidate:
    """The encoder of a config as features of the classifier; see `TfidfCandidate`.

    Attributes
    ----------
    name, strength
        As the classifier's file names it, and its inverse regularisation.
    settings
        The config's section.
    """

    name: str
    strength: float
    settings: LeaningConfig

    def load(self, revision: str | None = None) -> SentenceEncoder:
        """Load the encoder.

        Raises
        ------
        InputError
            If it cannot be had, or is none.
        """
        name = self.settings.classifier
        loaded = load_pretrained(
            "AutoModel", name, _KEY, revision, self.settings.precision, may_lack=("pooler",)
        )
        if loaded.model.config.is_encoder_decoder:
            raise InputError(
                f"{_KEY}.classifier: {name}: has an encoder and a decoder; take a model that is an "
                "encoder only"
            )
        return SentenceEncoder(loaded, pooling_of(loaded.folder), self.settings)

    def prepare(self, texts: Sequence[str]) -> Embedded[SentenceEncoder]:
        """Embed every text, once."""
        encoder = self.load()
        return Embedded(encoder, encoder.encode(texts))

    def restore(self, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> SentenceEncoder:
        """Read back what `SentenceEncoder.save` gave.

        Raises
        ------
        InputError
            If the model pools otherwise now.
        """
        del arrays
        encoder = self.load(meta["revision"])
        if list(encoder.pooling) != meta["pooling"]:
            raise InputError(
                f"{_KEY}.classifier: {self.settings.classifier} pools by "
                f"{', '.join(encoder.pooling)}, but the classifier was fitted with "
                f"{', '.join(meta['pooling'])}: start in a new output folder"
            )
        return encoder
