"""What is fuzzed: one function per target, which makes a case and says how to judge it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from biasloop.api import load_run
from biasloop.config import (
    Config,
    CorpusConfig,
    load_config,
    parse_config,
    read_yaml,
    write_yaml,
)
from biasloop.corpus.load import fingerprint, load_corpus, read_unlabelled
from biasloop.corpus.split import PARTED_ARTICLES, PARTS, split_parts
from biasloop.files import canonical_json, sha256_text
from fuzzing import configs, corpora, places, texts


@dataclass(frozen=True)
class Case:
    """A call, and the texts of which its message must hold one."""

    act: Callable[[], object]
    names: list[str]


def _holds(config: Config) -> None:
    """A config that was accepted can be hashed, written and read back the same."""
    values = config.model_dump(mode="json")
    sha256_text(canonical_json(values))
    text = write_yaml(values).encode("utf-8").decode("utf-8")
    again = parse_config(read_yaml(text, "as written", len(text)))
    if again != config:
        raise AssertionError("a config is not the same when read back")


def config(random: Random, folder: Path) -> Case:
    """A config file of any content, with overrides, or a path that is no file."""
    path = folder / random.choice(("run.yaml", "run.yml", "é.yaml", "a b", "[x].yaml"))
    source = str(path)
    if random.random() < 0.05:
        source = places.put(random.choice(places.KINDS), path, random)
    else:
        path.write_bytes(configs.content(random))
    overrides = configs.overrides(random)
    return Case(
        lambda: _holds(load_config(source, overrides)),
        [*places.named(source), "--set", "no example has this name"],
    )


def mapping(random: Random, _folder: Path) -> Case:
    """A config as Python gives it: any value in any place."""
    values = configs.fitting(configs.schema(), random)
    for _ in range(random.choice((0, 1, 2))):
        values[random.choice((*Config.model_fields, texts.nasty(random)))] = texts.tree(random)
    overrides = configs.overrides(random)
    return Case(lambda: _holds(parse_config(values, overrides, "given")), ["given", "--set"])


def _corpus(kind: str) -> Callable[[Random, Path], Case]:
    def case(random: Random, folder: Path) -> Case:
        source = corpora.make(kind, folder, random)
        values = corpora.settings(source, random)
        settings = CorpusConfig.model_validate(values)

        def act() -> None:
            fingerprint(settings)
            corpus = load_corpus(settings, 0)
            for text in corpus.articles.to_series(0):
                if text != text.strip() or "\0" in text or not text.encode("utf-8"):
                    raise AssertionError(f"an id that is none: {text!r}")
            if corpus.articles["article_id"].n_unique() != corpus.articles.height:
                raise AssertionError("an id stands twice")
            parts = split_parts(corpus, settings, 0)
            if parts.schema != PARTED_ARTICLES or parts.height != corpus.articles.height:
                raise AssertionError("articles were lost")
            if not set(parts["part"]) <= set(PARTS):
                raise AssertionError("an unknown part")

        return Case(act, [*places.named(source), "corpus."])

    case.__doc__ = f"A corpus: {kind}."
    return case


def unlabelled(random: Random, folder: Path) -> Case:
    """Articles that are only scored, of any kind of file."""
    kind = random.choice(("jsonl", "csv", "parquet", "tsv") * 3 + ("folder", "place"))
    source = Path(corpora.make(kind, folder, random))
    body = random.choice(("body", "body", "body", "title", texts.nasty(random)))

    def act() -> None:
        articles = read_unlabelled(source, body)
        if articles.null_count().sum_horizontal().item():
            raise AssertionError("a field is null")
        if articles["article_id"].n_unique() != articles.height:
            raise AssertionError("an id stands twice")

    return Case(act, places.named(str(source)))


def chat(random: Random, folder: Path) -> Case:
    """Conversations that are only scored."""
    source = Path(corpora.chat(folder, random))

    def act() -> None:
        articles = read_unlabelled(source, random.choice(("body", "body", "messages")))
        if not all(body.strip() for body in articles["body"]):
            raise AssertionError("a body is empty")

    return Case(act, places.named(str(source)))


def record(random: Random, folder: Path) -> Case:
    """A run folder whose record or config is damaged, or was written by someone else."""
    run = folder / "run"
    run.mkdir()
    values = parse_config({"name": "x"}).model_dump(mode="json")
    written = {"config": values, "provenance": {}, "contents": {}}
    if random.random() < 0.3:
        written[random.choice(("config", "contents", "x"))] = texts.tree(random)
    content = json.dumps(written).encode()
    if random.random() < 0.02:
        content = b'{"provenance": {}, "config": ' + b'{"a":' * 100_000
    text = write_yaml(values).encode() if random.random() < 0.7 else configs.content(random)
    (run / "run.json").write_bytes(
        texts.spoil(content, random) if random.random() < 0.3 else content
    )
    (run / "config.yaml").write_bytes(texts.spoil(text, random) if random.random() < 0.3 else text)
    if random.random() < 0.1:
        place = run / random.choice(("run.json", "config.yaml"))
        place.unlink()
        places.put(random.choice(places.KINDS[:-3]), place, random)
    return Case(lambda: load_run(run), ["run.json", "config.yaml", str(run)])


#: By name: how to make a case, and its share of all cases.
TARGETS: dict[str, tuple[Callable[[Random, Path], Case], int]] = {
    "config": (config, 30),
    "mapping": (mapping, 10),
    "jsonl": (_corpus("jsonl"), 13),
    "csv": (_corpus("csv"), 13),
    "tsv": (_corpus("tsv"), 4),
    "parquet": (_corpus("parquet"), 12),
    "folder": (_corpus("folder"), 6),
    "json": (_corpus("json"), 5),
    "classes": (_corpus("classes"), 6),
    "dialect": (_corpus("dialect"), 8),
    "packed": (_corpus("packed"), 8),
    "saved": (_corpus("saved"), 4),
    "chat": (chat, 6),
    "place": (_corpus("place"), 4),
    "unlabelled": (unlabelled, 8),
    "record": (record, 4),
}
