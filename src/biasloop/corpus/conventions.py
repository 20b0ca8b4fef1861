"""The built-in corpus: passages of US convention speeches, 2012, with whose speech each is from."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

from biasloop.assets import ASSETS, asset_path
from biasloop.config import Columns, CorpusConfig
from biasloop.corpus.passages import passages
from biasloop.corpus.source import Record, Source
from biasloop.corpus.transcript import speeches
from biasloop.errors import InputError

NAME = "conventions"
LABELS = ("democrat", "republican")
#: Goes up whenever the same transcripts give other passages, so that no stale result is reused.
CLEANING = 1


def transcripts(path: Path) -> dict[str, list[str]]:
    """Read the asset: each party's transcripts.

    Parameters
    ----------
    path
        A JSON list of ``{name, speeches}``, where speeches are a list of texts or the Python
        literal of one.

    Raises
    ------
    InputError
        If the file is anything else.
    """
    try:
        parties = json.loads(path.read_bytes())
        found = {}
        for party in parties:
            texts = party["speeches"]
            texts = ast.literal_eval(texts) if isinstance(texts, str) else texts
            if not all(isinstance(text, str) for text in texts):
                raise TypeError("a speech is not text")
            found[str(party["name"])] = list(texts)
    except (OSError, ValueError, TypeError, KeyError, SyntaxError) as error:
        raise InputError(
            f"{path}: not the transcripts that were expected ({error}): "
            "run `biasloop download conventions`"
        ) from error
    return found


def passage_records(parties: dict[str, list[str]], words: int) -> Iterator[Record]:
    """Cut every transcript into passages, each with the one speaker whose words it is.

    Parameters
    ----------
    parties
        Transcripts by party.
    words
        See `passages`. What a speaker says in one transcript is cut on its own, so no passage
        mixes speakers; where it comes to less than half a passage it is left out.
    """
    for party, texts in parties.items():
        for number, text in enumerate(texts):
            said = [
                (speech.speaker or f"{party} speech {number}", passage)
                for speech in speeches(text)
                for passage in passages(speech.text, words)
            ]
            for count, (speaker, passage) in enumerate(said):
                identity = f"{NAME}-{party}-{number:03d}-{count:02d}"
                fields = {
                    "id": identity,
                    "title": "",
                    "body": passage,
                    "label": party,
                    "source": speaker,
                }
                yield Record(identity, fields)


def open_conventions(config: CorpusConfig) -> Source:
    """Open the convention speeches, cut into passages of ``corpus.passage_words`` words.

    Raises
    ------
    InputError
        If the asset is not downloaded: with the command that does it.
    """
    asset = ASSETS[NAME]
    path = asset_path(NAME) / asset.files[0].path
    return Source(
        records=passage_records(transcripts(path), config.passage_words),
        columns=Columns(),
        name=NAME,
        citation=asset.citation,
        licence=asset.licence,
        labels=LABELS,
    )
