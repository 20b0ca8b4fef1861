"""The tests behind the verdicts, in tables and warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import polars as pl

from biasloop import quantities
from biasloop.analysis import Change, Evidence, Verdict, sign_agreement
from biasloop.report import words
from biasloop.report.cautions import Caution
from biasloop.report.cells import ABSENT, Cell, Part, Table, figure_cell, first_row
from biasloop.report.verdicts import DETAIL, in_percent, negligible_changes

_PARTS = {"sources": "unseen sources", "articles": "unseen articles"}
#: Corrected shares by confusion counts and by EM further apart than this are worth a warning.
_APART = 0.2
#: Less than this that cannot be read is not worth a word.
_UNREAD = 0.01


def verdict_table(verdict: Verdict, evidence: Evidence) -> Table:
    """Lay out what a regime's verdict says and rests on, a question by row.

    Returns
    -------
    Table
        Of each question the answer, the change with its interval, the levels between which it
        lies, and what the answer rests on.
    """
    rests = (
        f"{words.counted(verdict.chains, 'chain')} of {words.counted(verdict.articles, 'article')}"
    )
    title = f"{words.name(verdict.regime)}: {rests}, Generation 0 to {verdict.last}"
    title += "; changes less those under real articles only" * verdict.beyond_fine_tuning
    last = f"Generation {verdict.last}"
    columns = ("answer", "change", "Generation 0", last, "real articles", "rests on")
    rows = [*_share_rows(verdict), *_test_rows(verdict, evidence), *_text_rows(verdict)]
    return Table(title, (Part(columns, tuple(rows)),) if rows else ())


def verdict_tables(
    verdicts: Sequence[Verdict], evidence: Evidence, colours: Mapping[str, str]
) -> list[tuple[Table, str, str, str]]:
    """Give what a page shows of each verdict in full: its table, colour, and both answers."""
    return [
        (
            verdict_table(verdict, evidence),
            colours[verdict.regime],
            "cannot be told" if verdict.withheld else verdict.amplified * bool(verdict.leaning),
            verdict.collapsed,
        )
        for verdict in verdicts
    ]


_Row = tuple[str, tuple[Cell, ...]]


def _share_rows(verdict: Verdict) -> list[_Row]:
    """Of two leanings one mirrors the other, so only the one that is told has a row."""
    if not verdict.leaning:
        return []
    judged = verdict.corrected or verdict.changes
    errors = ", corrected for the classifier's errors" * bool(verdict.corrected)
    answer = Cell("cannot be told" if verdict.withheld else verdict.amplified)
    others = [label for label in judged if label != verdict.leaning and len(judged) > 2]
    labels = (verdict.leaning, *others)
    told: list[tuple[str, str, Change | None]] = [
        (label, errors, judged.get(label)) for label in labels
    ]
    if verdict.corrected:
        told += [(label, " as read", verdict.changes.get(label)) for label in labels]
    if verdict.as_read:
        told.append((verdict.leaning, " as read", verdict.as_read))
    if verdict.readable:
        until = f" up to Generation {verdict.readable.end}, the last that can be read"
        told.append((verdict.leaning, until, verdict.readable))
    rows = []
    for label, of, change in told:
        # The real articles' shares are corrected where the judged ones are.
        real = verdict.real.get(label) if of == errors else None
        share = f"Share of “{words.name(label)}”{of}, %"
        cells = (
            ABSENT if rows else answer,
            *_levels(change, 100, 1),
            ABSENT if real is None else Cell(words.number(100 * real, 1)),
            Cell("" if rows else _why(verdict)),
        )
        question = "" if rows else "Did it lean further away from the real articles? "
        rows.append((f"{question}{share}", cells))
    return rows


#: Where a movement led.
_WAYS = {
    "reduced": "towards the real articles",
    "moved": "moved, but whether away from the real articles is not shown",
    "held": "held: no leaning moved by more than is negligible",
    "not shown": "neither a change nor its absence is shown",
}


def _why(verdict: Verdict) -> str:
    """Say in few words what the answer on bias rests on."""
    if verdict.bias in ("withheld", "not measured"):
        return DETAIL.sub("", words.visible(verdict.reason))
    way = "away from the real articles" + ", not all chains the same way" * (
        not verdict.same_direction
    )
    way = _WAYS.get(verdict.bias, way)
    if verdict.holm is None:
        return way
    worst = ", the unreadable articles taken at their worst" * (verdict.unread >= _UNREAD)
    return (
        f"{way}; no movement: {words.pvalue(verdict.pvalue)}{worst}; "
        f"{words.pvalue(verdict.holm)} corrected for the number of regimes (Holm)"
    )


def _text_rows(verdict: Verdict) -> list[_Row]:
    rows = []
    negligible = negligible_changes()
    for sign in verdict.signs:
        record, shown = quantities.tested()[sign.quantity], quantities.signs()[sign.quantity]
        change = in_percent(sign.change) if record.log else sign.change
        cells = _levels(change, 1, shown.digits, 0 if record.log else shown.digits)
        rests = Cell(f"up to {negligible[sign.quantity]} is negligible")
        rows.append((shown.asks, (Cell(sign.answer), *cells, ABSENT, rests)))
    if verdict.quality and not any(sign.quantity == "quality" for sign in verdict.signs):
        title = "Built-in quality index, 0 to 3; no sign of collapse"
        rows.append((title, (ABSENT, *_levels(verdict.quality, 1, 2), ABSENT, Cell(""))))
    return rows


def _levels(
    change: Change | None, scale: float, digits: int, of_change: int | None = None
) -> tuple[Cell, ...]:
    """Write a change, and the levels before and after it."""
    if change is None:
        return (ABSENT,) * 3
    ends = (Cell(words.number(scale * end, digits)) for end in (change.before, change.after))
    of_change = digits if of_change is None else of_change
    return (figure_cell(asdict(change), "value", scale, of_change), *ends)


def _test_rows(verdict: Verdict, evidence: Evidence) -> list[_Row]:
    rows = []
    none = (ABSENT,) * 3
    held = verdict.held.get(verdict.leaning)
    if held and not verdict.withheld:
        margin = words.short(100 * held.margin)
        half = (held.high - held.low) / 2
        open_ = held.answer == "not shown" and half >= held.margin
        note = (
            f"the interval alone is ±{words.number(100 * half, 1)}; 'biasloop power --margin "
            f"{margin}' says how many articles and seeds would show it"
        )
        change = figure_cell(asdict(held), "value", 100, 1)
        question = f"Did it stay within ±{margin} points? 90\u202f% interval"
        rows.append((question, (Cell(held.answer), change, *none, Cell(note * open_))))
    trend = first_row(evidence.trends, quantity=f"share:{verdict.leaning}", regime=verdict.regime)
    if trend:
        slope = figure_cell(trend, "slope", 100, 2)
        question = "How far does it move per generation? Points, on a straight line through all"
        question += ", nothing subtracted" * verdict.beyond_fine_tuning
        rests = Cell(f"no slope: {words.pvalue(trend['holm'])} corrected for all trends (Holm)")
        rows.append((question, (ABSENT, slope, *none, rests)))
    if verdict.unread >= _UNREAD:
        stands = verdict.bias in ("amplified", "reduced", "moved")
        note = "the answer holds whatever they lean to" * stands
        question = f"How many articles of Generation {verdict.last} are too damaged to read?"
        unread = Cell(words.percent(verdict.unread, 0))
        rows.append((question, (unread, ABSENT, *none, Cell(note))))
    return rows


def tables_of_tests(
    evidence: Evidence, regimes: Sequence[str], labels: Sequence[str], leaning: str
) -> tuple[Table, ...]:
    """Lay out every test.

    Parameters
    ----------
    evidence
        What was tested.
    regimes, labels
        In the order to show.
    leaning
        The leaning that is followed; empty for none.

    Returns
    -------
    tuple
        Trends, distances from base and real, regimes compared, shares read and corrected, the
        classifier's confidence, bias against quality: each where there is something to show.
    """
    found = [
        _trend_table(evidence.trends, regimes, labels),
        _contrast_table(evidence.contrasts, regimes, leaning),
        _comparison_table(evidence.comparisons, regimes),
        _adjusted_table(evidence, regimes, leaning),
        _shift_table(evidence.shifts, regimes),
        _correlation_table(evidence.correlations, regimes),
    ]
    return tuple(table for table in found if table)


def evidence_cautions(evidence: Evidence) -> list[Caution]:
    """Warn where the corrections, or the classifier itself, should not be trusted."""
    found = []
    if evidence.confusion and evidence.confusion.problem:
        found.append(
            Caution(
                "Not corrected",
                "Shares are not corrected for the classifier's errors: "
                f"{words.visible(evidence.confusion.problem)}.",
            )
        )
    found += _unread(evidence.adjusted)
    found += _shifted(evidence.shifts)
    own = evidence.adjusted.filter(
        (pl.col("generation") >= 0) & ((pl.col("adjusted") - pl.col("likelihood")).abs() > _APART)
    )
    if own.height:
        sets = own.select("regime", "generation").unique().height
        found.append(
            Caution(
                "Two corrections disagree",
                f"In {words.counted(sets, 'generation')} the share corrected by the classifier's "
                "measured errors and that corrected by its probabilities (EM) lie more than "
                f"{words.number(100 * _APART, 0)} points apart: one of the two is wrong here.",
            )
        )
    return found


def spoken_bounds(row: dict[str, Any]) -> str:
    """Say of a row of `analysis.ADJUSTED` what its readable articles show, and what all can."""
    leans = f"lean “{words.name(row['leaning'])}”"
    text = f"{words.percent(row['adjusted'], 0)} of the readable articles {leans}"
    if row["adjusted_low"] is not None:
        inside = words.between(100 * row["adjusted_low"], 100 * row["adjusted_high"], 0)
        text = f"{text} ({inside})"
    if row["unread"] < _UNREAD:
        return text
    text = f"{text}; {words.percent(row['unread'], 0)} could not be read"
    if row["least"] is None:  # too few sources for an interval, so for its bounds
        return text
    over = words.between(100 * row["least"], 100 * row["most"], 0)
    return f"{text}; over all articles {over} %"


def _unread(adjusted: pl.DataFrame) -> list[Caution]:
    """Say of each regime's generation with the most unread articles what is known of it."""
    found = []
    own = adjusted.filter((pl.col("unread") >= _UNREAD) & (pl.col("generation") >= 0))
    for regime in own["regime"].unique(maintain_order=True):
        rows = own.filter(pl.col("regime") == regime).sort("unread", descending=True)
        worst = rows.filter(pl.col("generation") == rows["generation"][0])
        told = worst.rows(named=True)
        told = told[-1:] if len(told) == 2 else told
        text = ". ".join(spoken_bounds(row) for row in told)
        where = f"{words.name(regime)}, Generation {rows['generation'][0]}"
        found.append(Caution("Articles that cannot be read", f"{where}: {text}."))
    return found


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


def _shifted(shifts: pl.DataFrame) -> list[Caution]:
    found = []
    for measure, (what, unit) in _SHIFTS.items():
        own = shifts.filter((pl.col("measure") == measure) & (pl.col("generation") >= 0))
        doubtful = own.filter("doubtful")
        if not doubtful.height:
            continue
        worst = doubtful.sort("shift").row(0, named=True)
        inside = f"{words.INTERVAL} {figure_cell(worst, 'shift', 100, 1).interval}"
        found.append(
            Caution(
                "Classifier on synthetic text",
                f"In {doubtful.height} of {words.counted(own.height, 'set')} of articles {what}, "
                f"at worst by {words.number(-100 * worst['shift'], 1)} {unit} ({inside}; "
                f"{words.name(worst['regime'])}, Generation {worst['generation']}): its errors "
                "there may be others than those that were measured.",
            )
        )
    return found


def _shift_table(shifts: pl.DataFrame, regimes: Sequence[str]) -> Table | None:
    names = {"base": "base model"} | {regime: words.name(regime) for regime in regimes}
    several = shifts["seed"].n_unique() > 1
    sets = shifts.select("regime", "seed", "generation").unique().sort(pl.all())
    rows = []
    for regime, shown in names.items():
        for _, seed, generation in sets.filter(pl.col("regime") == regime).iter_rows():
            cells: list[Cell] = []
            for measure in _SHIFTS:
                where = {"regime": regime, "seed": seed, "generation": generation}
                row = first_row(shifts, measure=measure, **where)
                cells.append(Cell(words.percent(row["value"])) if row else ABSENT)
                cells.append(figure_cell(row, "shift", 100, 1))
            of_seed = f", seed {seed}" if several and generation >= 0 else ""
            title = shown if generation < 0 else f"{shown}{of_seed}, {generation}"
            rows.append((title, tuple(cells)))
    if not rows:
        return None
    less = "less that on the real articles, points"
    columns = ("mean confidence", less, "read alike by a second classifier", less)
    title = "Is the classifier as sure, and as agreed with, as on the real articles?"
    return Table(title, (Part(columns, tuple(rows)),))


def _trend_table(
    trends: pl.DataFrame, regimes: Sequence[str], labels: Sequence[str]
) -> Table | None:
    parts = []
    names = [(f"share:{label}", f"share of “{words.name(label)}”", 100.0, 2) for label in labels]
    names += [(name, one.tested, 1.0, one.digits) for name, one in quantities.tested().items()]
    columns = ("per generation", "p", "p after Holm", "p, paired Kendall", "p, Mann-Kendall")
    for quantity, title, scale, digits in names:
        rows = []
        for regime in regimes:
            row = first_row(trends, quantity=quantity, regime=regime)
            if row:
                slope = figure_cell(row, "slope", scale, digits)
                cells = [_p(row[n]) for n in ("pvalue", "holm", "paired_pvalue", "kendall_pvalue")]
                rows.append((words.name(regime), (slope, *cells)))
        if rows:
            unit = " (points)" if scale == 100 else ""
            parts.append(Part((f"{title}{unit} {columns[0]}", *columns[1:]), tuple(rows)))
    return Table("Trend over generations", tuple(parts)) if parts else None


def _contrast_table(contrasts: pl.DataFrame, regimes: Sequence[str], leaning: str) -> Table | None:
    quantity = f"share:{leaning}"
    parts = []
    for regime in regimes:
        own = contrasts.filter((pl.col("quantity") == quantity) & (pl.col("regime") == regime))
        rows = []
        for generation in own["generation"].unique().sort().to_list():
            cells: list[Cell] = []
            for against in ("generation 0", "base", "real"):
                row = first_row(own, generation=generation, against=against)
                cells.append(figure_cell(row, "value", 100, 1))
                cells.append(_p(row["holm"]) if row else ABSENT)
            rows.append((f"{words.name(regime)}, {generation}", tuple(cells)))
        if rows:
            columns = []
            for name in ("Generation 0", "the base model", "the real articles"):
                columns += [f"less {name}, points", "p after Holm"]
            parts.append(Part(tuple(columns), tuple(rows)))
    title = f"Share of “{words.name(leaning)}” against each reference"
    return Table(title, tuple(parts)) if parts else None


def _comparison_table(comparisons: pl.DataFrame, regimes: Sequence[str]) -> Table | None:
    if not comparisons.height:
        return None
    rows = []
    for regime in regimes:
        own = comparisons.filter(pl.col("regime") == regime)
        for row in own.iter_rows(named=True):
            share = row["quantity"].startswith("share:")
            scale, digits = (100, 1) if share else (1, 2)
            what = f"share of “{words.name(row['quantity'][6:])}”, points" if share else "quality"
            cells = (
                Cell(what),
                figure_cell(row, "value", scale, digits),
                _p(row["pvalue"]),
                _p(row["holm"]),
            )
            rows.append((f"{words.name(regime)}, Generation {row['generation']}", cells))
    against = words.name(comparisons["against"][0])
    columns = ("of", "change less", "p", "p after Holm")
    title = f"Change since Generation 0, less that of {against}"
    return Table(title, (Part(columns, tuple(rows)),))


def _adjusted_table(evidence: Evidence, regimes: Sequence[str], leaning: str) -> Table | None:
    adjusted = evidence.adjusted.filter(pl.col("leaning") == leaning)
    if not adjusted.height or evidence.confusion is None:
        return None
    rows = []
    names = {"real": "real articles", "base": "base model"}
    for regime in ("real", "base", *regimes):
        own = adjusted.filter(pl.col("regime") == regime).sort("generation")
        for row in own.iter_rows(named=True):
            shown = names.get(regime) or f"{words.name(regime)}, {row['generation']}"
            cells = tuple(
                figure_cell(row, n, 100, 1, signed=n == "change")
                for n in ("read", "adjusted", "change", "likelihood")
            )
            bounds = {"unread": row["unread"], "low": row["least"], "high": row["most"]}
            over_all = figure_cell(bounds, "unread", 100, 1, signed=False)
            cells = (*cells[:2], over_all, *cells[2:])
            rows.append((shown, cells))
    counts = int(evidence.confusion.counts.sum())
    columns = (
        "as read, %",
        f"corrected by errors on {counts:,} {_PARTS[evidence.confusion.part]}, damaged alike, %",
        "cannot be read, % (over all articles the share is)",
        "corrected change since Generation 0, points",
        "corrected by EM, %",
    )
    title = f"Share of “{words.name(leaning)}”, as read and corrected for the classifier's errors"
    return Table(title, (Part(columns, tuple(rows)),))


def _correlation_table(correlations: pl.DataFrame, regimes: Sequence[str]) -> Table | None:
    rows = []
    for regime in regimes:
        row = first_row(correlations, regime=regime)
        if row:
            cells = (figure_cell(row, "levels"), figure_cell(row, "steps"))
            rows.append((words.name(regime), (*cells, Cell(str(row["generations"])))))
    if not rows:
        return None
    columns = ("of levels", "of steps from generation to generation", "generations")
    title = "Correlation of bias with quality over generations"
    return Table(title, (Part(columns, tuple(rows)),))


def _p(value: float | None) -> Cell:
    return Cell(words.pvalue(value).removeprefix("p "))


# Updates ------------------------------------------------------------------------------------------

_UNITS = {
    "gradient": "log-odds",
    "contrast": "1 = as far as the two fine-tunings lie apart",
}


def update_tables(table: pl.DataFrame, leaning: str) -> tuple[Table, ...]:
    """Lay out each chain's updates against the change of leaning that followed.

    The last table counts over all chains how often the signs agreed.

    Parameters
    ----------
    table
        `analysis.projected_update.PROJECTED_UPDATES`.
    leaning
        The leaning that is followed.
    """
    tables = []
    several = table["seed"].n_unique() > 1
    for (regime, seed), rows in table.group_by("regime", "seed", maintain_order=True):
        title = f"Update on the bias direction, “{words.name(leaning)}”: {words.name(str(regime))}"
        columns = (
            f"projection of the update ({_UNITS[rows['direction'][0]]})",
            "change that followed (mean log-odds)",
            "same sign",
        )
        body = tuple(
            (
                f"Generation {row['generation']}",
                (
                    figure_cell(row, "projection"),
                    figure_cell(row, "change"),
                    Cell({True: "yes", False: "no", None: "–"}[row["agree"]]),
                ),
            )
            for row in rows.sort("generation").iter_rows(named=True)
        )
        tables.append(Table(f"{title}, seed {seed}" if several else title, (Part(columns, body),)))
    return (*tables, *([_agreement(table, leaning)] if tables else []))


def _agreement(table: pl.DataFrame, leaning: str) -> Table:
    found = sign_agreement(table)
    shown = "not shown" if found.pvalue is None or found.pvalue >= 0.05 else "shown"
    # Five seeds are `analysis.projected_update.FEWEST_SEEDS`.
    pvalue = "fewer than five seeds" if found.pvalue is None else f"p {found.pvalue:.2g}"
    columns = (
        "same sign",
        "seeds where more than half had it",
        "that it foretells the sign (sign test over seeds)",
    )
    cells = (
        Cell(f"{found.agreed} of {found.compared}"),
        Cell(f"{found.towards} of {found.towards + found.against}"),
        Cell(shown, pvalue),
    )
    title = f"Update on the bias direction, “{words.name(leaning)}”: does it foretell the change?"
    return Table(title, (Part(columns, (("Generation 1 on", cells),)),))
