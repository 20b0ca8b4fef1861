"""Sheets for coders: articles drawn by chance, a CSV file and a page each, and what came back.

The same prompts are drawn for every set, so that a change between two generations is paired. A
drawn text is read once however many sets it stands in: regimes that share Generation 0 share its
labels, too. What a model wrote is untrusted: it is data in the page, never markup, and no cell of
the CSV file begins as a formula does.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import polars as pl

from biasloop import seeds
from biasloop.corpus.delimited import read_delimited
from biasloop.errors import InputError, nearest
from biasloop.files import (
    canonical_json,
    new_folder,
    read_text,
    sha256_text,
    write_json,
    write_text,
)
from biasloop.loop import Results, config_hash
from biasloop.stages.generate import prompted_by
from biasloop.tables import BASE, REAL
from biasloop.untrusted import content_policy, script_json, templates, visible

#: What a coder chooses where a text leans no way that can be told.
UNCLEAR = "unclear"

#: No vowels, so that an id is no word; nothing that looks like something else.
_ALPHABET = list("23456789bcdfghjkmnpqrstvwxz")
_ID_LENGTH = 7

#: Regime, seed, generation, article id.
Member = tuple[str, int, int, str]


@dataclass(frozen=True)
class Drawn:
    """What people are to read.

    Attributes
    ----------
    run
        `loop.config_hash` of the run.
    options
        What a coder may choose: the run's labels in order, then `UNCLEAR`.
    texts
        Opaque id -> text, as a model or a person wrote it: untrusted.
    members
        Opaque id -> the articles that have this text.
    coders
        Coder -> the ids to read, in order.
    both
        How many texts every coder reads.
    chains
        The seeds that articles were drawn from.
    """

    run: str
    options: tuple[str, ...]
    texts: dict[str, str]
    members: dict[str, list[Member]]
    coders: dict[str, list[str]]
    both: int
    chains: tuple[int, ...]

    def key(self) -> dict[str, object]:
        """Give what says which id is what, as JSON: not for coders."""
        return {
            "run": self.run,
            "options": list(self.options),
            "chains": list(self.chains),
            "articles": {
                name: {"sha256": sha256_text(text), "sets": [list(m) for m in self.members[name]]}
                for name, text in self.texts.items()
            },
        }


def options_of(labels: Sequence[str]) -> tuple[str, ...]:
    """List what a coder may choose."""
    return (*labels, UNCLEAR) if UNCLEAR not in labels else tuple(labels)


def draw(
    results: Results,
    articles: int = 100,
    coders: int = 2,
    overlap: float = 0.25,
    regimes: Sequence[str] = (),
    generations: Sequence[int] = (),
    seed: int = 0,
) -> Drawn:
    """Draw articles by chance and deal them out.

    Parameters
    ----------
    articles
        How many of every set (a regime's generation over all seeds, or the real articles); a set
        that has fewer is read whole.
    overlap
        The share of texts that all of them read, 0 to 1, so that their agreement can be told. The
        rest is read once.
    regimes
        Of these only; ``real`` and ``base`` are allowed. None: the real articles and every regime.
    generations
        These only. None: Generation 0 and the last of every regime.
    seed
        Of everything that is drawn.

    Raises
    ------
    InputError
        If a number is out of range, or a regime or generation is not in the run.
    """
    if articles < 1 or not 1 <= coders <= 50 or not 0 <= overlap <= 1:
        raise InputError(
            f"{articles} articles a set, {coders} coders, an overlap of {overlap:g}: at least 1 "
            "article, 1 to 50 coders, and an overlap from 0 to 1"
        )
    sets = _sets(results, regimes, generations)
    bodies = bodies_of(results, sets)
    units, chains = _units(results, sets, bodies, seed)
    texts: dict[str, list[Member]] = {}
    for regime, generation in sets:
        chosen = [
            (REAL, 0, -1, prompt)
            if regime == REAL
            else (regime, 0 if regime == BASE else chain, generation, article)
            for prompt, chain, article in units
        ]
        for member in list(dict.fromkeys(chosen))[:articles]:
            texts.setdefault(bodies[member], []).append(member)
    random = seeds.generator(seed, "label", "ids")
    names = _names(len(texts), random)
    order = random.permutation(len(texts))
    pairs = list(texts.items())
    shuffled = [pairs[place] for place in order]
    both = round(overlap * len(names)) if coders > 1 else 0
    return Drawn(
        config_hash(results.config),
        options_of(results.labels),
        {name: text for name, (text, _) in zip(names, shuffled, strict=True)},
        {name: members for name, (_, members) in zip(names, shuffled, strict=True)},
        _dealt(names, coders, both, seed),
        both,
        chains,
    )


def _sets(
    results: Results, regimes: Sequence[str], generations: Sequence[int]
) -> list[tuple[str, int]]:
    """Choose the sets, in the order of the config."""
    there = results.articles.select("regime", "generation").unique().rows()
    known = [REAL, *([BASE] if (BASE, -1) in there else [])]
    known += [regime.label for regime in results.config.regimes]
    for name in regimes:
        if name not in known:
            raise InputError(f"--regime: '{name}' is not in this run; {nearest(name, known)}")
    found: list[tuple[str, int]] = []
    for name in known:
        if name in regimes or (not regimes and name != BASE):
            if name in (REAL, BASE):
                found.append((name, -1))
                continue
            own = sorted(g for regime, g in there if regime == name)
            chosen = set(generations) if generations else {0, *own[-1:]}
            found += [(name, g) for g in own if g in chosen]
    missing = sorted(set(generations) - {g for _, g in found})
    if missing:
        raise InputError(f"--generation: no chosen regime of this run has generation {missing[0]}")
    return found


def bodies_of(results: Results, sets: Sequence[tuple[str, int]] | None = None) -> dict[Member, str]:
    """Give the text of every article of some sets (None: of all), and of the real ones."""
    rows = results.articles.select("regime", "seed", "generation", "article_id", "body")
    found: dict[Member, str] = {
        (regime, chain or 0, generation, article): body or ""
        for regime, chain, generation, article, body in rows.iter_rows()
        if sets is None or (regime, generation) in sets
    }
    for article, body in results.real.select("article_id", "body").iter_rows():
        found[REAL, 0, -1, article] = body or ""
    return found


def _units(
    results: Results, sets: Sequence[tuple[str, int]], bodies: dict[Member, str], seed: int
) -> tuple[list[tuple[str, int, str]], tuple[int, ...]]:
    """Order (prompt, seed, article id) by chance, every prompt once before any twice.

    Each is as likely as any other to be among the first so many.
    """
    written = sorted({(article, chain) for name, chain, _, article in bodies if name != REAL})
    prompts = prompted_by(
        pl.Series([article for article, _ in written], dtype=pl.String), results.config.generation
    )
    own: dict[str, list[tuple[int, str]]] = {}
    generated = [one for one in sets if one[0] not in (REAL, BASE)]
    for prompt, (article, chain) in zip(prompts, written, strict=True):
        if all((name, chain, g, article) in bodies for name, g in generated):
            own.setdefault(prompt, []).append((chain, article))
    if not any(name != REAL for name, _ in sets):
        own = {article: [(0, article)] for article in results.real["article_id"]}
    if not own:
        raise InputError("no seed of this run has all of the sets that are to be read")
    random = seeds.generator(seed, "label", "articles")
    order = [sorted(own)[place] for place in random.permutation(len(own))]
    turned = [
        [(prompt, *own[prompt][place]) for place in random.permutation(len(own[prompt]))]
        for prompt in order
    ]
    rounds = itertools.zip_longest(*turned)
    units = [one for together in rounds for one in together if one is not None]
    return units, tuple(sorted({chain for _, chain, _ in units}))


def _names(count: int, random: np.random.Generator) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(random.choice(_ALPHABET, _ID_LENGTH))] = None
    return list(found)


def _dealt(names: Sequence[str], coders: int, both: int, seed: int) -> dict[str, list[str]]:
    """Deal ids that are in an order of chance already; each coder's in an order of their own."""
    found = {}
    for place in range(coders):
        own = [*names[:both], *names[both + place :: coders]]
        coder = f"coder-{place + 1}"
        order = seeds.generator(seed, "label", coder).permutation(len(own))
        found[coder] = [own[index] for index in order]
    return found


KEY = "key.json"
SHEETS = "sheets"
COLUMNS = ("coder", "id", "label", "text")

#: A spreadsheet's cell holds no more than 32,767 characters.
_LONGEST = 32_000
_FORMULA = ("=", "+", "-", "@", "\t")


def write_sheets(drawn: Drawn, folder: Path) -> Path:
    """Write ``key.json`` and ``sheets/CODER.csv`` and ``.html`` into a new folder.

    Returns
    -------
    Path
        The folder of the sheets.

    Raises
    ------
    InputError
        If the folder is there already, since it may hold what people coded.
    """
    if folder.exists():
        raise InputError(
            f"{folder}: is there already, perhaps with what people coded; give another --out"
        )
    with new_folder(folder) as building:
        write_json(building / KEY, drawn.key())
        (building / SHEETS).mkdir()
        for coder, names in drawn.coders.items():
            stem = building / SHEETS / coder
            texts = [(name, _shown(drawn.texts[name])) for name in names]
            write_text(stem.with_suffix(".csv"), sheet_csv(coder, texts))
            write_text(stem.with_suffix(".html"), sheet_page(coder, drawn.options, texts))
    return folder / SHEETS


def sheet_csv(coder: str, texts: Sequence[tuple[str, str]]) -> str:
    """Write the sheet of (id, text) as CSV, with a byte order mark, so that Excel reads UTF-8."""
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\r\n")
    rows.writerow(COLUMNS)
    for name, text in texts:
        rows.writerow((coder, name, "", f"'{text}" if text.startswith(_FORMULA) else text))
    return "\ufeff" + buffer.getvalue()


def sheet_page(coder: str, options: Sequence[str], texts: Sequence[tuple[str, str]]) -> str:
    """Write the sheet as one page that asks no network; equal input gives equal text."""
    from markupsafe import Markup

    environment = templates("biasloop.coding")
    folder = resources.files("biasloop.coding") / "templates"
    script = (folder / "sheet.js").read_text(encoding="utf-8").strip()
    data = {
        "coder": coder,
        "options": [{"label": label, "shown": visible(label)} for label in options],
        "articles": [{"id": name, "text": text} for name, text in texts],
        # Where the browser keeps what was coded so far: that of no other sheet.
        "store": f"biasloop-{sha256_text(canonical_json([coder, texts]))[:16]}",
    }
    return environment.get_template("sheet.html").render(
        coder=coder,
        policy=content_policy(script),
        style=Markup((folder / "sheet.css").read_text(encoding="utf-8").strip()),  # noqa: S704
        script=Markup(script),  # noqa: S704
        data=Markup(script_json(data)),  # noqa: S704
    )


def _shown(text: str) -> str:
    shown = visible(text).strip() or "(there is no text)"
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]} […]"


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
