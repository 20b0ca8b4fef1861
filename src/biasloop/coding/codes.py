"""Read what coders wrote back. Knows files and the key, no statistics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from biasloop.coding.draw import Member, bodies_of, options_of
from biasloop.coding.sheet import KEY
from biasloop.corpus import read_delimited
from biasloop.errors import InputError, nearest
from biasloop.files import read_text, sha256_text
from biasloop.loop import Results, config_hash
from biasloop.untrusted import visible

#: One row per article that a coder coded.
CODES = pl.Schema({"coder": pl.String, "id": pl.String, "label": pl.String})

_LONGEST_KEY = 2**28


@dataclass(frozen=True)
class Key:
    """Which id is what.

    Attributes
    ----------
    options
        What coders may choose, in order.
    members
        Id -> the articles that have this text.
    chains
        The seeds that articles were drawn from.
    """

    options: tuple[str, ...]
    members: dict[str, tuple[Member, ...]]
    chains: tuple[int, ...]


def find_sheets(paths: Sequence[Path], key: Path | None = None) -> tuple[list[Path], Path]:
    """List the CSV files that are given or stand in folders that are, and find the key.

    Raises
    ------
    InputError
        If a path is not there, there is no CSV file, or no key.
    """
    sheets: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            sheets |= dict.fromkeys(sorted(path.rglob("*.csv")))
        elif path.is_file():
            sheets[path] = None
        else:
            raise InputError(f"{path}: there is no such file or folder")
    if not sheets:
        raise InputError(f"{paths[0]}: there is no CSV file in it")
    if key is None:
        around = [path if path.is_dir() else path.parent for path in paths]
        places = [folder / KEY for one in around for folder in (one, one.parent)]
        key = next((place for place in places if place.is_file()), None)
        if key is None:
            raise InputError(
                f"no {KEY} beside the sheets or one folder up: name it with --key; `biasloop "
                "label write` wrote it"
            )
    return list(sheets), key


def read_key(path: Path, results: Results) -> Key:
    """Read the key and hold it against the run.

    Raises
    ------
    InputError
        If it is no key, of another run, or of texts that the run no longer has.
    """
    try:
        content = json.loads(read_text(path, _LONGEST_KEY))
        run, options = content["run"], tuple(map(str, content["options"]))
        hashes = {name: row["sha256"] for name, row in content["articles"].items()}
        members = {
            name: tuple((str(r), int(s), int(g), str(a)) for r, s, g, a in row["sets"])
            for name, row in content["articles"].items()
        }
        key = Key(options, members, tuple(map(int, content["chains"])))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is no key that `biasloop label write` wrote") from error
    if run != (own := config_hash(results.config)):
        raise InputError(
            f"{path}: is the key of another run (its config's hash begins with {str(run)[:12]}, "
            f"this one's with {own[:12]})"
        )
    if key.options != options_of(results.labels):
        raise InputError(f"{path}: its labels are not those of this run")
    bodies = bodies_of(results)
    for name, articles in members.items():
        if any(sha256_text(bodies.get(one, "\0")) != hashes[name] for one in articles):
            raise InputError(
                f"{path}: article {name} has another text in this run: the sheets are of an "
                "earlier state of it"
            )
    return key


def read_codes(sheets: Sequence[Path], key: Key) -> pl.DataFrame:
    """Read every row that has a label.

    Parameters
    ----------
    sheets
        CSV files with the columns ``id`` and ``label``; ``coder`` says who coded, and where it is
        missing or empty the file's name does. A row without a label was not coded.
    key
        For the ids and labels.

    Returns
    -------
    pl.DataFrame
        `CODES`, sorted.

    Raises
    ------
    InputError
        If a row cannot be read, its id or label is unknown, or its coder coded the article before;
        the message names file and row. If no row has a label.
    """
    known = {option.strip().casefold(): option for option in key.options}
    exact = {option.strip(): option for option in key.options}
    places: dict[tuple[str, str], str] = {}
    rows = []
    for path in sheets:
        table = read_delimited(path)
        missing = [name for name in ("id", "label") if name not in table.columns]
        if missing:
            advice = "save it with commas" if any(";" in name for name in table.columns) else ""
            raise InputError(
                f"{path}: has no column '{missing[0]}'; {advice or 'needed are id and label'}"
            )
        for record in table.records:
            place = f"{path}, row {record.location.rpartition(':')[2]}"
            if record.fields is None:
                raise InputError(f"{place}: cannot be read: {record.reason}")
            values = {name: str(value).strip() for name, value in record.fields.items()}
            if not values["label"]:
                continue
            name, given = values["id"], values["label"]
            if name not in key.members:
                raise InputError(f"{place}: unknown id '{_brief(name)}': not in this key")
            label = exact.get(given) or known.get(given.casefold())
            if label is None:
                raise InputError(
                    f"{place}: unknown label '{_brief(given)}'; {nearest(given, key.options)}"
                )
            coder = values.get("coder") or path.stem
            before = places.setdefault((coder, name), place)
            if before != place:
                raise InputError(
                    f"{place}: '{_brief(coder)}' coded article {name} before, in {before}"
                )
            rows.append((coder, name, label))
    if not rows:
        raise InputError(f"{sheets[0]}: no row has a label, in it or in any other sheet")
    return pl.DataFrame(rows, schema=CODES, orient="row").sort("coder", "id")


def _brief(text: str) -> str:
    shown = visible(text)
    return shown if len(shown) <= 60 else f"{shown[:59]}…"
