"""What a reader must know before believing the figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from biasloop.analysis import Evidence, Verdict, fine_tuned_alone
from biasloop.loop.results import Results
from biasloop.report import formatting as fmt
from biasloop.report.cells import figure_cell
from biasloop.tables import BASE, REAL

#: Fewer articles per set than this make a warning.
FEW_ARTICLES = 50
#: Where the instrument reads the real articles' shares wrong by more than this, it says so.
_MISREAD = 0.1
#: Corrected shares by confusion counts and by EM further apart than this are worth a warning.
_APART = 0.2
#: Less than this that cannot be read is not worth a word.
UNREAD = 0.01
_VACUOUS = "(over all of them the share of a leaning could be nearly anything)"


@dataclass(frozen=True)
class Caution:
    """One warning (``serious``) or note, with what it is about in a word or two."""

    topic: str
    text: str
    level: Literal["serious", "note"] = "serious"


def cautions(
    results: Results,
    summary: pl.DataFrame,
    checked: pl.DataFrame,
    missing: pl.DataFrame,
    verdicts: Iterable[Verdict],
    evidence: Evidence,
) -> tuple[Caution, ...]:
    """Collect every warning, the gravest first.

    Parameters
    ----------
    results
        The run.
    summary, checked, missing, verdicts, evidence
        What `analysis.summarise`, `validity`, `missing_sets`, `judge_run` and `evidence` made of
        it.
    """
    found = [
        *of_withheld(checked),
        *of_instruments(results),
        *_misread(results, summary),
        *_unfinished(results, missing),
        *_of_data(results),
        *_of_decoding(results),
        *unsubtracted(results, verdicts),
        *_of_evidence(evidence),
    ]
    return tuple(sorted(found, key=lambda caution: caution.level != "serious"))


def unsubtracted(results: Results, verdicts: Iterable[Verdict]) -> Iterator[Caution]:
    """Say of which chains fine-tuning on real articles alone could not be subtracted."""
    alone = fine_tuned_alone(results.config)
    for verdict in verdicts:
        own = results.scores.filter(pl.col("generation") > 0, regime=verdict.regime)
        if alone in (None, verdict.regime) or own.is_empty():
            continue
        other = fmt.name(alone)
        seeds = own.filter(generation=verdict.last)["seed"].n_unique()
        if not verdict.beyond_fine_tuning:
            text = f"the change under {other} is not subtracted: it has no Generation 1 yet"
        elif verdict.last != own["generation"].max() or verdict.chains < seeds:
            chains = fmt.counted(verdict.chains, "chain")
            text = (
                f"judged up to Generation {verdict.last} in {chains}, as far as {other}, which is "
                "subtracted, has come"
            )
        else:
            continue
        yield Caution("Unfinished", f"{fmt.name(verdict.regime)}: {text}.")


def of_withheld(checked: pl.DataFrame) -> Iterator[Caution]:
    """Say which sets' leaning figures are withheld."""
    for (regime,), own in checked.filter("withheld").group_by("regime", maintain_order=True):
        worst = fmt.visible(own.sort("outside", descending=True)["reason"][0])
        if regime in (REAL, BASE):
            who = "The real articles'" if regime == REAL else "The base model's"
            text = f"{who} leaning figures are withheld: {worst} {_VACUOUS}."
        else:
            where = f"{fmt.name(str(regime))}, Generation "
            where += fmt.generations(own["generation"].to_list())
            text = f"{where}: leaning figures are withheld; at worst {worst} {_VACUOUS}."
        yield Caution("Text too damaged to read", text)
    scored = checked.filter(pl.col("outside").is_not_null())
    unchecked = checked.filter(pl.col("outside").is_null() & (pl.col("regime") != REAL))
    if scored.height and unchecked.height:
        text = (
            f"{fmt.counted(unchecked.height, 'set')} of articles were not held against the "
            "classifier's range."
        )
        yield Caution("Not checked", text)


def of_instruments(results: Results) -> Iterator[Caution]:
    """Repeat what the instruments' cards warn of."""
    for card in results.cards:
        for warning in card.get("warnings", ()):
            yield Caution(f"Instrument: {fmt.name(card['metric'])}", fmt.visible(warning) + ".")


def _misread(results: Results, summary: pl.DataFrame) -> Iterator[Caution]:
    for label, true, read in real_shares(results, summary):
        if read is not None and true is not None and abs(read - true) > _MISREAD:
            text = (
                f"It reads {fmt.percent(read)} of the real articles as “{fmt.name(label)}”, where "
                f"{fmt.percent(true)} are: compare generations with the real articles as read."
            )
            yield Caution("Instrument: leaning", text)


def real_shares(
    results: Results, summary: pl.DataFrame
) -> list[tuple[str, float | None, float | None]]:
    """Give each label's share of the real articles, as labelled and as the instrument reads it."""
    counts = dict(results.real["label"].value_counts().iter_rows())
    own = summary.filter((pl.col("regime") == REAL) & pl.col("seed").is_null())
    read = dict(own.select("quantity", "value").iter_rows())
    total = results.real.height
    return [
        (label, counts.get(label, 0) / total if total else None, read.get(f"share:{label}"))
        for label in results.labels
    ]


def _unfinished(results: Results, missing: pl.DataFrame) -> Iterator[Caution]:
    several = len(results.config.loop.seeds) > 1
    for (regime,), own in missing.group_by("regime", maintain_order=True):
        places: dict[str, list[str]] = {}
        for (metric,), lacking in own.group_by("metric", maintain_order=True):
            where = fmt.generations(lacking["generation"].to_list())
            seeds = fmt.generations(lacking["seed"].unique().to_list())
            of = f" (seed {seeds})" if several else ""
            places.setdefault(f"at Generation {where}{of}", []).append(str(metric))
        parts = [f"{', '.join(metrics)} {place}" for place, metrics in places.items()]
        text = f"{fmt.name(str(regime))}: not scored yet: {'; '.join(parts)}."
        yield Caution("Unfinished", text)
    names = results.config.metrics.names
    if "leaning" not in names:
        text = "Leaning was not scored, so nothing is said of bias."
        yield Caution("Not asked for", text, "note")
    if "quality" not in names:
        text = "Quality was not scored, so a moving bias cannot be told from collapse."
        yield Caution("Not asked for", text)


def _of_data(results: Results) -> Iterator[Caution]:
    """Say what to know of the corpus, and of how much of it and how many chains there are."""
    if count := results.bad_rows.height:
        text = f"{fmt.counted(count, 'row')} of the corpus could not be used and were left out"
        yield Caution("Skipped rows", f"{text}; they are listed under Provenance.")
    if note := results.corpus.get("reading"):
        text = f"The file is {fmt.visible(str(note))}, as its first rows tell."
        yield Caution("Corpus", text, "note")
    if count := results.corpus.get("repeated_texts", 0):
        text = (
            f"{fmt.counted(count, 'article')} of the corpus {'has' if count == 1 else 'have'} the "
            "text of another. Equal texts are in one part only, so the classifiers have not learnt "
            "what they judge; intervals over articles still count each copy as an article of its "
            "own."
        )
        yield Caution("Repeated texts", text)
    if (count := results.real.height) < FEW_ARTICLES:
        text = (
            f"Each figure rests on {fmt.counted(count, 'article')}: intervals are wide, and from "
            "so few a bootstrap interval is rather too narrow."
        )
        yield Caution("Few articles", text)
    seeds = len(results.config.loop.seeds)
    if seeds == 1:
        text = (
            "Each regime is one chain: the intervals cover the choice of articles, not the luck of "
            "training and sampling, so the verdicts say what this chain did and no more. Set "
            "loop.seeds to three or more for a yes or a no."
        )
        yield Caution("One seed", text)
    elif seeds < 5:
        text = (
            f"Each regime has {seeds} chains: the intervals cover their differences only roughly."
        )
        yield Caution("Few seeds", text, "note")


def _of_decoding(results: Results) -> Iterator[Caution]:
    """Say how models were prompted and decoded, where that is not the usual."""
    if adapter := results.decoding.get("adapter"):
        kind, base = (fmt.visible(str(adapter[key])[:200]) for key in ("type", "base"))
        text = f"The base model is {base} with a PEFT adapter ({kind}) merged into it."
        yield Caution("Adapter", text, "note")
    if asked := results.decoding.get("not_applied"):
        listed = ", ".join(fmt.visible(f"{name} {value}"[:80]) for name, value in asked.items())
        text = (
            f"The base model's generation_config.json asks for {listed}. The config's generation "
            "settings decide, in every way of decoding; of that file only the end tokens count."
        )
        yield Caution("Decoding", text, "note")
    for regime in results.config.regimes:
        if regime.decoding:
            text = (
                f"{fmt.name(regime.label)}: its Generation 0 writes with it, too, so a change "
                "since Generation 0 leaves out what the decoding does to the leaning at once: "
                "compare the levels of Generation 0."
            )
            yield Caution("Decoding of its own", text)
    if results.config.training.text != "plain":
        text = (
            "Models were prompted, and trained, through their chat template. Perplexity, held-out "
            "perplexity and neurons read articles as plain text, outside it."
        )
        yield Caution("Chat template", text, "note")


def _of_evidence(evidence: Evidence) -> Iterator[Caution]:
    """Warn where the corrections, or the classifier itself, should not be trusted."""
    if evidence.confusion and evidence.confusion.problem:
        problem = fmt.visible(evidence.confusion.problem)
        text = f"Shares are not corrected for the classifier's errors: {problem}."
        yield Caution("Not corrected", text)
    yield from _unread(evidence.adjusted)
    yield from of_shifts(evidence.shifts)
    apart = (pl.col("adjusted") - pl.col("likelihood")).abs() > _APART
    own = evidence.adjusted.filter((pl.col("generation") >= 0) & apart)
    if own.height:
        sets = own.select("regime", "generation").unique().height
        text = (
            f"In {fmt.counted(sets, 'generation')} the share corrected by the classifier's "
            "measured errors and that corrected by its probabilities (EM) lie more than "
            f"{fmt.number(100 * _APART, 0)} points apart: one of the two is wrong here."
        )
        yield Caution("Two corrections disagree", text)


def _bounds(row: dict[str, Any]) -> str:
    """Say of a row of `analysis.prevalence` what its readable articles show, and what all can."""
    leans = f"lean “{fmt.name(row['leaning'])}”"
    text = f"{fmt.percent(row['adjusted'], 0)} of the readable articles {leans}"
    if row["adjusted_low"] is not None:
        inside = fmt.between(100 * row["adjusted_low"], 100 * row["adjusted_high"], 0)
        text = f"{text} ({inside})"
    if row["unread"] < UNREAD:
        return text
    text = f"{text}; {fmt.percent(row['unread'], 0)} could not be read"
    if row["least"] is None:  # too few sources for an interval, so for its bounds
        return text
    over = fmt.between(100 * row["least"], 100 * row["most"], 0)
    return f"{text}; over all articles {over} %"


def _unread(adjusted: pl.DataFrame) -> Iterator[Caution]:
    """Say of each regime's generation with the most unread articles what is known of it."""
    own = adjusted.filter((pl.col("unread") >= UNREAD) & (pl.col("generation") >= 0))
    for (regime,), rows in own.group_by("regime", maintain_order=True):
        generation = rows.sort("unread", descending=True)["generation"][0]
        told = rows.filter(generation=generation).rows(named=True)
        text = ". ".join(_bounds(row) for row in (told[-1:] if len(told) == 2 else told))
        where = f"{fmt.name(str(regime))}, Generation {generation}"
        yield Caution("Articles that cannot be read", f"{where}: {text}.")


#: Measure -> what is told of a set where it fell.
_SHIFTS = {
    "confidence": (
        "the classifier is less sure than on the real ones",
        "points of mean confidence",
    ),
    "agreement": (
        "a second classifier, of other features, agrees with it less than on the real ones",
        "points",
    ),
}


def of_shifts(shifts: pl.DataFrame) -> Iterator[Caution]:
    """Say where a classifier is less sure, or less agreed with, than on the real articles."""
    for measure, (what, unit) in _SHIFTS.items():
        own = shifts.filter(pl.col("generation") >= 0, measure=measure)
        doubtful = own.filter("doubtful").sort("shift")
        if not doubtful.height:
            continue
        worst = doubtful.row(0, named=True)
        inside = f"{fmt.INTERVAL} {figure_cell(worst, 'shift', 100, 1).interval}"
        text = (
            f"In {doubtful.height} of {fmt.counted(own.height, 'set')} of articles {what}, "
            f"at worst by {fmt.number(-100 * worst['shift'], 1)} {unit} ({inside}; "
            f"{fmt.name(worst['regime'])}, Generation {worst['generation']}): its errors "
            "there may be others than those that were measured."
        )
        yield Caution("Classifier on synthetic text", text)
