"""The card of a model or data set made by a run: what the hub shows of it, as Markdown.

Whatever a card says of a run is in its ``summary.json`` or a verdict. Labels, names and messages
may come from files that someone else wrote: each is escaped for Markdown and HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biasloop.analysis import Verdict
from biasloop.config import without_folders, write_yaml
from biasloop.loop.results import Results
from biasloop.report import formatting as fmt
from biasloop.report.cells import Cell
from biasloop.report.statistics import verdict_table
from biasloop.untrusted import in_markdown, templates, visible

if TYPE_CHECKING:
    from markupsafe import Markup

#: What every card is tagged with.
TAGS = ("biasloop", "bias-amplification", "model-collapse", "synthetic-data")
_HUB = "hub:"


@dataclass(frozen=True)
class Subject:
    """What a card is of: a generation's model, or (``place`` None) the run's tables of scores.

    Attributes
    ----------
    place
        Regime, seed, generation.
    base
        The base model's id on the hub, if it is one.
    license
        As the hub calls it.
    tables
        File names of the tables, by what to call each.
    """

    place: tuple[str, int, int] | None
    base: str | None
    license: str
    tables: Mapping[str, str]


def card(
    results: Results, summary: Mapping[str, Any], verdicts: Sequence[Verdict], subject: Subject
) -> str:
    """Write a card.

    Parameters
    ----------
    results
        The run.
    summary
        Its ``summary.json``.
    verdicts
        Its verdicts.
    subject
        What the card is of.

    Returns
    -------
    str
        A ``README.md``: the hub's metadata as YAML, then Markdown.
    """
    config, answer = without_folders(results.config), summary["answer"]
    text = templates("biasloop.report", _in_markdown).get_template("hub_card.md")
    return text.render(
        metadata=_safe(_metadata(results, subject)),
        name=fmt.name(config.name),
        subject=subject,
        regime=fmt.name(subject.place[0]) if subject.place else "",
        scratch=config.base.model == "scratch",
        corpus=str(results.corpus.get("name") or config.corpus.source),
        summary=summary,
        answers=[[Cell(one["text"], one["note"]) for one in row] for row in answer["rows"]],
        verdicts=[
            (table.title, ("", *part.columns), [(row, *cells) for row, cells in part.rows])
            for table in (verdict_table(one, None) for one in verdicts)
            for part in table.parts
        ],
        instruments=[
            (
                one["metric"],
                one["instrument"],
                *(_macro_f1(one, part) for part in ("articles", "sources")),
            )
            for one in summary["instruments"]
        ],
        table=_table,
        config=_code(write_yaml(config.model_dump(mode="json"))),
        provenance=results.provenance,
    )


def _metadata(results: Results, subject: Subject) -> str:
    from huggingface_hub import DatasetCardData, ModelCardData

    if subject.place is None:
        configs = [{"config_name": n, "data_files": file} for n, file in subject.tables.items()]
        name = fmt.name(results.config.name)
        data: Any = DatasetCardData(
            license=subject.license, pretty_name=name, configs=configs, tags=list(TAGS)
        )
        return data.to_yaml()
    source = results.config.corpus.source
    return ModelCardData(
        license=subject.license,
        base_model=subject.base,
        datasets=[source.removeprefix(_HUB)] if source.startswith(_HUB) else None,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=list(TAGS),
    ).to_yaml()


def _macro_f1(card: Mapping[str, Any], part: str) -> str:
    return fmt.number((card["held_out"].get(part) or {}).get("macro_f1"))


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Markup:
    lines = [[in_markdown(column) for column in columns], ["---"] * len(columns)]
    lines += [[in_markdown(str(cell)) for cell in row] for row in rows]
    return _safe("\n".join(f"| {' | '.join(line)} |" for line in lines))


def _code(text: str) -> Markup:
    """Indent a text as code, which nothing in it can end."""
    return _safe("\n".join(f"    {line}" for line in visible(text).rstrip().split("\n")))


def _in_markdown(text: str) -> Markup:
    return _safe(in_markdown(text))


def _safe(text: str) -> Markup:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - escaped for Markdown, or YAML
