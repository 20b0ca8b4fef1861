"""Stages that make articles: the corpus is read, and models write, in shards where asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from biasloop.config import GenerationConfig, without_folders
from biasloop.corpus import PARTED_ARTICLES, load_corpus, repeated_texts, split_parts
from biasloop.files import write_json
from biasloop.loop.stage import Paths, Progress, Stage
from biasloop.models import load_model
from biasloop.seeds import integer
from biasloop.stages import (
    articles_of,
    chat_for,
    check_prompts,
    generate_blocks,
    openings_of,
    writer_of,
)
from biasloop.tables import ARTICLES, BLOCKS, EVENTS, conform, read_table, write_table

#: Articles that are written, or scored, together at most. The last bits of a number depend on what
#: else is in its batch: units are the same ones however many shards there are.
UNIT = 64


def units(table: pl.DataFrame, size: int) -> list[pl.DataFrame]:
    """Cut a table into units; an empty one is one unit."""
    return [table[at : at + size] for at in range(0, max(1, table.height), size)]


@dataclass(frozen=True)
class Shard:
    """One of ``count`` contiguous parts of a table, as even as can be; the first are longer."""

    number: int
    count: int

    def of(self, table: pl.DataFrame, unit: int = 1) -> pl.DataFrame:
        """Cut the shard out of a table, at multiples of ``unit`` rows."""
        size, longer = divmod(-(-table.height // unit), self.count)
        start = self.number * size + min(self.number, longer)
        end = start + size + (self.number < longer)
        return table[start * unit : end * unit]

    @property
    def settings(self) -> dict[str, Any]:
        """What of it is part of a stage's key: nothing where it is the whole table."""
        return {} if self.count == 1 else {"shard": [self.number, self.count]}


WHOLE = Shard(0, 1)


@dataclass(frozen=True, eq=False)
class ShardedStage(Stage):
    """A stage of a whole set of articles, or of a shard of it."""

    shard: Shard = field(default=WHOLE, kw_only=True)

    @property
    def cost(self) -> float:
        """How much work it is: a share of the whole."""
        return 1.0 / self.shard.count

    @staticmethod
    def join(shards: Sequence[Path], out: Path) -> None:
        """Put what the shards wrote together, in order."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class JoinShards(Stage):
    """Make the output of ``whole`` from its shards: under the key of ``whole``.

    So nothing that is computed depends on the number of shards.
    """

    kind = "join"
    whole: ShardedStage

    @property
    def recorded(self) -> Stage:
        """The stage whose output this is."""
        return self.whole

    def run(self, out: Path, paths: Paths, progress: Progress, scratch: Path) -> None:
        """Put the shards together."""
        self.whole.join([paths[name] for name in self.inputs], out)


def in_shards(whole: ShardedStage, name: str) -> Stage:
    """Return a stage itself, or the join, called ``name``, of as many shards as the config says."""
    count = whole.config.loop.shards
    if count == 1:
        return whole
    inputs = {
        f"shard-{n}": replace(whole, name=f"{whole.name} {n + 1}/{count}", shard=Shard(n, count))
        for n in range(count)
    }
    return JoinShards(whole.config, name, inputs, whole)


@dataclass(frozen=True, eq=False)
class Corpus(Stage):
    """Read, check and part the corpus, whose files have the hash ``content``."""

    kind = "corpus"
    content: Any

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Settings that came later and are not used are left out, so that older runs are known."""
        unused = {"real_labels": None, "fresh_sets": 0}
        others = {"control"} if self.config.corpus.source != "control" else set()
        own = without_folders(self.config).corpus.model_dump(mode="json", exclude=others)
        own = {name: value for name, value in own.items() if unused.get(name, ...) != value}
        return {"corpus": own, "seed": self.config.seed, "content": self.content}

    def run(self, out: Path, paths: Paths, progress: Progress, scratch: Path) -> None:
        """Write ``articles``, ``bad_rows``, ``events`` where there are any, and what it is."""
        corpus = load_corpus(self.config.corpus, self.config.seed)
        parts = split_parts(corpus, self.config.corpus, self.config.seed)
        write_table(out / "articles.parquet", parts)
        write_table(out / "bad_rows.parquet", corpus.bad_rows)
        if self.config.corpus.columns.event is not None:
            events = pl.DataFrame([*corpus.events.items()], EVENTS, orient="row")
            write_table(out / "events.parquet", events)
        counts = parts.group_by("part", "label").len().sort("part", "label")
        by_part: dict[str, dict[str, int]] = {}
        for part, label, count in counts.iter_rows():
            by_part.setdefault(part, {})[label] = count
        found = {
            "name": corpus.name,
            "citation": corpus.citation,
            "licence": corpus.licence,
            "labels": list(corpus.labels),
            "parts": by_part,
            "repeated_texts": repeated_texts(parts),
        }
        if corpus.note:
            found["reading"] = corpus.note
        write_json(out / "corpus.json", found)


def read_part(corpus: Path, part: str) -> pl.DataFrame:
    """Read one part of the corpus stage's output as `tables.ARTICLES`."""
    table = read_table(corpus / "articles.parquet", PARTED_ARTICLES)
    return conform(table.filter(pl.col("part") == part), ARTICLES)


def read_labels(corpus: Path) -> tuple[str, ...]:
    """Read the label set from the corpus stage's output."""
    return tuple(json.loads((corpus / "corpus.json").read_text(encoding="utf-8"))["labels"])


def generation_settings(generation: GenerationConfig) -> dict[str, Any]:
    """Return how articles are written; what came later only where it is not what it always was.

    Settings of the protocol that is not chosen are left out by the config itself.
    """
    always = {"engine": "transformers", "prompts": "blocks", "min_p": 0.0}
    settings = generation.model_dump(mode="json")
    return {name: value for name, value in settings.items() if always.get(name, ...) != value}


@dataclass(frozen=True, eq=False)
class Generate(ShardedStage):
    """Let ``model`` write from the real articles of ``corpus``, as ``generation`` says.

    Streams of other names are independent of each other where articles are sampled; every prompt
    has random numbers of its own, in whatever shard it is.
    """

    kind = "generate"
    generation: GenerationConfig
    place: tuple[int, int]
    stream: str = "generate"

    @cached_property
    def seed(self) -> int:
        """Of the stream, which the model's seed and generation decide."""
        return integer(self.config.seed, self.stream, self.place[0], self.place[1] + 1)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The seed only where articles are sampled."""
        seed = self.seed if self.generation.decoding == "nucleus" else None
        own = {"generation": generation_settings(self.generation), "seed": seed}
        if instruction := self.config.training.asks:
            own["instruction"] = instruction
        return own | self.shard.settings

    def run(self, out: Path, paths: Paths, progress: Progress, scratch: Path) -> None:
        """Write ``blocks`` and the ``articles`` that they make up."""
        generation, folder = self.generation, paths["model"] / "model"
        write = writer_of(generation, folder)
        loaded = load_model(str(folder), precision=generation.precision, weights=write is None)
        whole = read_part(paths["corpus"], "real")
        instruction = self.config.training.asks
        chat = chat_for(loaded, instruction)
        # So that a message counts all articles that cannot be used, not those of one unit.
        check_prompts(whole, generation, loaded, chat)
        if generation.prompts == "openings" and not (chat and chat.by_title):
            openings_of(loaded.tokenizer, whole, generation.opening_tokens)
        unit = max(UNIT, generation.batch_size)
        real = self.shard.of(whole, unit)
        blocks = pl.concat(
            generate_blocks(loaded, part, generation, self.seed, progress, write, instruction)
            # An engine loads the model anew for each call, and chooses itself what goes together.
            for part in ([real] if write else units(real, unit))
        )
        write_table(out / "blocks.parquet", blocks)
        write_table(out / "articles.parquet", articles_of(loaded, real, blocks, generation))

    @staticmethod
    def join(shards: Sequence[Path], out: Path) -> None:
        """Put the shards' tables together, in order."""
        for table, schema in (("blocks", BLOCKS), ("articles", ARTICLES)):
            name = f"{table}.parquet"
            write_table(out / name, pl.concat([read_table(one / name, schema) for one in shards]))
