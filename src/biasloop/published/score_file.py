"""One per-article file: its rows as numbers, in their order. Knows no other file.

Which article a row is of, where the file does not say, is decided in `articles`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biasloop.errors import InputError
from biasloop.published.csv_file import CsvFile
from biasloop.published.formats import (
    ARTICLE,
    GENERATION,
    MODEL,
    SCORE,
    ScoreFormat,
    label_columns,
    regime_of,
)
from biasloop.tables import BASE, REAL

#: An article's probabilities may miss 1 by this for rounding.
_ROUNDING = 0.01
_HIGHEST_QUALITY = 3


@dataclass(frozen=True)
class Part:
    """The rows of one per-article file.

    Attributes
    ----------
    file, layout
        What was read.
    regime
        ``base`` for the base model, whose name is ``model``.
    generation
        As the file numbers them, shape (rows,); zeros for the base model.
    articles
        Their ids; None where the file names none.
    values
        Label or metric -> shape (rows,).
    """

    file: CsvFile
    layout: ScoreFormat
    regime: str
    model: str
    generation: np.ndarray
    articles: tuple[str, ...] | None
    values: dict[str, np.ndarray]


def read_part(file: CsvFile, layout: ScoreFormat) -> Part:
    """Read one file's rows, in their order.

    Raises
    ------
    InputError
        If a cell is bad, a row's scores are no probabilities, an article stands twice in a
        generation, or the file holds two models.
    """
    of_base = GENERATION not in file.columns
    regime = BASE if of_base else regime_of(file.path.stem, layout)
    if not of_base and regime in (REAL, BASE):
        raise InputError(
            f"{file.path}: a regime cannot be called '{regime}': rename the file, or give the "
            "base model's file a column 'Model' in place of 'Generation'"
        )
    generation = np.zeros(len(file.rows), dtype=np.int64)
    model = ""
    if of_base:
        names = file.texts(MODEL)
        model = names[0]
        other = next((i for i, name in enumerate(names) if name != model), None)
        if other is not None:
            raise file.error(other, MODEL, f"a second model beside '{model}': give each its file")
    else:
        generation = file.whole_numbers(GENERATION)
    values: dict[str, np.ndarray]
    if layout.column:
        value = (
            file.numbers(layout.column, 0, _HIGHEST_QUALITY)
            if layout.kind == "quality"
            else file.numbers(layout.column, 0, above=True)
        )
        values = {layout.kind: value}
    else:
        values = _probabilities(file)
    articles = tuple(file.texts(ARTICLE)) if ARTICLE in file.columns else None
    _once(file, generation, articles)
    return Part(file, layout, regime, model, generation, articles, values)


def _probabilities(file: CsvFile) -> dict[str, np.ndarray]:
    names = label_columns(file)
    values = {name[: -len(SCORE)].strip().lower(): file.numbers(name, 0, 1) for name in names}
    total = np.sum(list(values.values()), axis=0)
    wrong = np.abs(total - 1) > _ROUNDING
    if wrong.any():
        index = int(np.argmax(wrong))
        problem = f"the scores of its {len(names)} labels sum to {total[index]:.4g}, not to 1"
        raise file.error(index, names[0], problem)
    return values


def _once(file: CsvFile, generation: np.ndarray, articles: tuple[str, ...] | None) -> None:
    seen: dict[tuple[int, str], int] = {}
    for index, key in enumerate(zip(generation.tolist(), articles or (), strict=False)):
        if key in seen:
            where = f" of generation {key[0]}" if GENERATION in file.columns else ""
            problem = f"article '{key[1]}'{where} stands in row {file.rows[seen[key]]} already"
            raise file.error(index, ARTICLE, problem)
        seen[key] = index
