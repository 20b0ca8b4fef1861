"""Which of the authors' file formats a CSV file has, by its columns, and what its name says."""

from __future__ import annotations

import re
from dataclasses import dataclass

from biasloop.errors import InputError, nearest
from biasloop.published.csv_file import CsvFile

#: How a label's column ends: ``Right_Score``.
SCORE = "_score"
GENERATION = "generation"
MODEL = "model"
ARTICLE = "article_id"


@dataclass(frozen=True)
class ScoreFormat:
    """One format of per-article files.

    Attributes
    ----------
    kind
        ``bias``, ``quality`` or ``perplexity``.
    ending
        How its file names end, after the regime.
    column
        The column that holds its numbers, as the authors write it; empty for the labels' columns.
    """

    kind: str
    ending: str
    column: str


FORMATS = (
    ScoreFormat("bias", "Bias_Performance", ""),
    ScoreFormat("quality", "Generation_Quality", "GibberishLevel"),
    ScoreFormat("perplexity", "Perplexity", "Perplexity"),
)

#: The columns of the neuron tables, and what tells the two apart.
NEURON = ("neuron_id", "layer")
REGRESSION = ("beta_coefficient", "p_value")
CORRELATION = "pearson_correlation"

_NEURON_NAME = re.compile(r"\bneuron[\s_]+(\w+?)[\s_]+and[\s_]+(.+)$", re.IGNORECASE)
_SAID_ANYWAY = ("performance", "generation", "text", "index")


def label_columns(file: CsvFile) -> list[str]:
    """List the label columns in order, as written."""
    return [name for name in file.header if name.lower().endswith(SCORE) and name[: -len(SCORE)]]


def formats_of(file: CsvFile) -> list[ScoreFormat]:
    """Find which per-article formats a file holds.

    Returns
    -------
    list
        Usually one; none if the file is something else.

    Raises
    ------
    InputError
        If its name or one of its columns says a format, but a column of that is missing.
    """
    if is_neuron_table(file):
        return []
    labels, said = label_columns(file), _ending(file.path.stem)
    by_set = bool({GENERATION, MODEL} & set(file.columns))
    found = []
    if labels and (ARTICLE in file.columns or (by_set and len(labels) > 1)):
        found.append(FORMATS[0])
    found += [layout for layout in FORMATS[1:] if by_set and layout.column.lower() in file.columns]
    if said is not None and said not in found:
        found.append(said)
    for layout in found:
        _complete(file, layout, labels)
    return found


def is_neuron_table(file: CsvFile) -> bool:
    """Say whether a file is one of the neuron tables."""
    figures = {REGRESSION[1], CORRELATION} & set(file.columns)
    return NEURON[0] in file.columns or (NEURON[1] in file.columns and bool(figures))


def require(file: CsvFile, column: str) -> None:
    """Raise an InputError where a file lacks a column."""
    if column.lower() not in file.columns:
        raise InputError(
            f"{file.path}: row 1: the column '{column}' is missing; "
            + nearest(column, file.header).replace("known:", "there are:")
        )


def _complete(file: CsvFile, layout: ScoreFormat, labels: list[str]) -> None:
    if MODEL not in file.columns:
        require(file, "Generation")
    if layout.column:
        require(file, layout.column)
        return
    require(file, "Article_ID")
    if len(labels) < 2:
        raise InputError(
            f"{file.path}: row 1: at least two columns like 'Left_Score', one per label, are "
            f"needed; there are: {', '.join(file.header)}"
        )


def regime_of(stem: str, layout: ScoreFormat) -> str:
    """Take the regime from a file name: ``Synthetic_Bias_Performance`` -> ``synthetic``."""
    return own_name(stem, layout).lower()


def own_name(stem: str, layout: ScoreFormat) -> str:
    """Take what a file name says besides its format, as written; the whole of it if nothing."""
    return _pattern(layout).sub("", stem).strip(" _-") or stem


def _ending(stem: str) -> ScoreFormat | None:
    return next((layout for layout in FORMATS if _pattern(layout).search(stem)), None)


def _pattern(layout: ScoreFormat) -> re.Pattern[str]:
    return re.compile(layout.ending.replace("_", r"[\s_-]*") + "$", re.IGNORECASE)


def neuron_names(stem: str) -> tuple[str, str]:
    """Take quantity and metric from a neuron table's name.

    ``... Between Neuron Weight and Bias Performance`` -> ``weight``, ``bias``. A name that is not
    built so is itself the metric, of the quantity ``unnamed``.
    """
    match = _NEURON_NAME.search(stem)
    if match is None:
        return "unnamed", stem.lower()
    words = [word for word in re.split(r"[\s_]+", match[2].lower()) if word]
    metric = " ".join(word for word in words if word not in _SAID_ANYWAY)
    return match[1].lower(), metric or match[2].lower()
