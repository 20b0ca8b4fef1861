"""The card of a model or data set made by a run: what the hub shows of it, as Markdown.

Whatever a card says of a run is in its ``summary.json`` or a verdict. Labels, names and messages
may come from files that someone else wrote: each is escaped for Markdown and HTML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biasloop.analysis import Verdict
from biasloop.config import without_folders, write_yaml
from biasloop.loop.results import Results
from biasloop.report import formatting as fmt
from biasloop.report.statistics import verdict_table
from biasloop.untrusted import in_markdown, visible

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
    parts = [
        *(_model(results, subject) if subject.place else _scores(results, subject)),
        *_findings(summary),
        *_verdicts(verdicts),
        *_cautions(summary),
        *_instruments(summary),
        "## Config",
        _code(write_yaml(without_folders(results.config).model_dump(mode="json"))),
        "## Made with",
        ", ".join(f"{key} {in_markdown(str(v))}" for key, v in results.provenance.items()) + ".",
    ]
    return f"---\n{_metadata(results, subject)}\n---\n\n" + "\n\n".join(parts) + "\n"


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


def _model(results: Results, subject: Subject) -> list[str]:
    assert subject.place is not None  # noqa: S101
    regime, seed, generation = subject.place
    config = results.config
    base = "a model trained from scratch" if config.base.model == "scratch" else "a base model"
    if subject.base:
        base = f"`{subject.base}`"
    corpus = in_markdown(str(results.corpus.get("name") or without_folders(config).corpus.source))
    return [
        f"# {in_markdown(fmt.name(config.name))}: Generation {generation} of the regime "
        f"{in_markdown(fmt.name(regime))}",
        f"Generation {generation} (seed {seed}) of {base} that was fine-tuned, generation after "
        f"generation, on what its regime gives it of the corpus {corpus} and of text that the "
        "generation before wrote. It was made by biasloop, to measure whether bias grows in such a "
        "loop, and is meant for that study only: **its text may be biased and damaged.**",
        _code(
            "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            "model = AutoModelForCausalLM.from_pretrained(FOLDER_OR_ID)\n"
            "tokenizer = AutoTokenizer.from_pretrained(FOLDER_OR_ID)\n"
        ),
    ]


def _scores(results: Results, subject: Subject) -> list[str]:
    listed = {
        "scores": "one row per article per metric",
        "leaning_scores": "one row per article per leaning, with its probability",
        "set_scores": "one row per set of articles per metric",
    }
    return [
        f"# {in_markdown(fmt.name(results.config.name))}: scores",
        "Scores of the articles that language models wrote which were trained on their own output, "
        "generation after generation, made by biasloop. `regime`, `seed` and `generation` say "
        "which model; real articles are regime `real`, generation −1. The articles are not here.",
        "\n".join(f"- `{file}`: {listed[name]}" for name, file in subject.tables.items()),
    ]


def _findings(summary: Mapping[str, Any]) -> list[str]:
    answer = summary["answer"]
    found = ["## What the run found", f"**{in_markdown(answer['sentence'])}**"]
    if answer["untold"]:
        found.append(f"Not answered: {in_markdown(answer['untold'])}.")
    rows = [[_cell(entry) for entry in row] for row in answer["rows"]]
    found.append(_table(answer["columns"], rows))
    if frontier := answer["frontier"]:
        found.append(in_markdown(frontier["sentence"]))
    return [part for part in found if part]


def _cell(entry: Mapping[str, str]) -> str:
    note = f" ({in_markdown(entry['note'])})" if entry["note"] else ""
    return in_markdown(entry["text"]) + note


def _verdicts(verdicts: Sequence[Verdict]) -> list[str]:
    parts = ["## Verdicts"]
    for table in (verdict_table(one, None) for one in verdicts):
        for part in table.parts:
            rows = [[in_markdown(str(cell)) for cell in (row, *own)] for row, own in part.rows]
            parts += [f"### {in_markdown(table.title)}", _table(("", *part.columns), rows)]
    return parts if verdicts else []


def _cautions(summary: Mapping[str, Any]) -> list[str]:
    lines = [
        f"- **{in_markdown(one['topic'])}**{' (note)' if one['level'] == 'note' else ''}: "
        f"{in_markdown(one['text'])}"
        for one in summary["warnings"]
    ]
    return ["## What to know before believing it", "\n".join(lines)] if lines else []


def _instruments(summary: Mapping[str, Any]) -> list[str]:
    rows = []
    for one in summary["instruments"]:
        held_out = one["held_out"]
        measured = [
            fmt.number((held_out.get(part) or {}).get("macro_f1"), 2)
            for part in ("articles", "sources")
        ]
        rows.append(
            [in_markdown(str(one["metric"])), in_markdown(str(one["instrument"])), *measured]
        )
    columns = ("Metric", "Instrument", "Macro-F1, unseen articles", "Macro-F1, unseen sources")
    return ["## Instruments", _table(columns, rows)] if rows else []


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [[in_markdown(column) for column in columns], ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(text: str) -> str:
    """Indent a text as code, which nothing in it can end."""
    return "\n".join(f"    {line}" for line in visible(text).rstrip().split("\n"))
