"""The tests behind the verdicts, in tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import polars as pl

from biasloop import quantities
from biasloop.analysis import SHIFT_MEASURES, Change, Evidence, Verdict, sign_agreement
from biasloop.report import formatting as fmt
from biasloop.report.cautions import UNREAD
from biasloop.report.cells import ABSENT, Cell, Part, Table, figure_cell, first_row, one_table
from biasloop.report.verdicts import DETAIL, in_percent, negligible_changes
from biasloop.tables import BASE, REAL


def verdict_table(verdict: Verdict, evidence: Evidence | None, over: str = "regimes") -> Table:
    """Lay out what a regime's verdict says and rests on, a question by row.

    ``evidence`` has its trends; ``over`` says what its p-value is corrected for.

    Returns
    -------
    Table
        Of each question the answer, the change with its interval, the levels between which it
        lies, and what the answer rests on.
    """
    rests = f"{fmt.counted(verdict.chains, 'chain')} of {fmt.counted(verdict.articles, 'article')}"
    title = f"{fmt.name(verdict.regime)}: {rests}, Generation 0 to {verdict.last}"
    title += "; changes less those under real articles only" * verdict.beyond_fine_tuning
    last = f"Generation {verdict.last}"
    columns = ("answer", "change", "Generation 0", last, "real articles", "rests on")
    rows = [*_share_rows(verdict, over), *_test_rows(verdict, evidence), *_text_rows(verdict)]
    return Table(title, (Part(columns, tuple(rows)),) if rows else ())


def verdict_tables(
    verdicts: Sequence[Verdict],
    evidence: Evidence | None,
    colours: Mapping[str, str],
    over: str = "regimes",
) -> list[tuple[Table, str, str, str]]:
    """Give what a page shows of each verdict in full: its table, colour, and both answers."""
    return [
        (
            verdict_table(verdict, evidence, over),
            colours[verdict.regime],
            "cannot be told" if verdict.withheld else verdict.amplified * bool(verdict.leaning),
            verdict.collapsed,
        )
        for verdict in verdicts
    ]


_Row = tuple[str, tuple[Cell, ...]]


def _share_rows(verdict: Verdict, over: str) -> list[_Row]:
    """Of two leanings one mirrors the other, so only the one that is told has a row."""
    if not verdict.leaning:
        return []
    judged = verdict.judged
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
        share = f"Share of “{fmt.name(label)}”{of}, %"
        cells = (
            ABSENT if rows else answer,
            *_levels(change, 100, 1),
            ABSENT if real is None else Cell(fmt.number(100 * real, 1)),
            Cell("" if rows else _why(verdict, over)),
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


def _why(verdict: Verdict, over: str) -> str:
    """Say in few words what the answer on bias rests on."""
    if verdict.bias in ("withheld", "not measured"):
        return DETAIL.sub("", fmt.visible(verdict.reason))
    way = "away from the real articles" + ", not all chains the same way" * (
        not verdict.same_direction
    )
    way = _WAYS.get(verdict.bias, way)
    if verdict.holm is None:
        return way
    worst = ", the unreadable articles taken at their worst" * (verdict.unread >= UNREAD)
    return (
        f"{way}; no movement: {fmt.pvalue(verdict.pvalue)}{worst}; "
        f"{fmt.pvalue(verdict.holm)} corrected for the number of {over} (Holm)"
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
    ends = (Cell(fmt.number(scale * end, digits)) for end in (change.before, change.after))
    of_change = digits if of_change is None else of_change
    return (figure_cell(asdict(change), "value", scale, of_change), *ends)


def _test_rows(verdict: Verdict, evidence: Evidence | None) -> list[_Row]:
    rows = []
    none = (ABSENT,) * 3
    held = verdict.held.get(verdict.leaning)
    if held and not verdict.withheld:
        margin = fmt.short(100 * held.margin)
        half = (held.high - held.low) / 2
        open_ = held.answer == "not shown" and half >= held.margin
        note = (
            f"the interval alone is ±{fmt.number(100 * half, 1)}; 'biasloop power --margin "
            f"{margin}' says how many articles and seeds would show it"
        )
        change = figure_cell(asdict(held), "value", 100, 1)
        question = f"Did it stay within ±{margin} points? 90\u202f% interval"
        rows.append((question, (Cell(held.answer), change, *none, Cell(note * open_))))
    share = f"share:{verdict.leaning}"
    trend = first_row(evidence.trends, quantity=share, regime=verdict.regime) if evidence else None
    if trend:
        slope = figure_cell(trend, "slope", 100, 2)
        question = "How far does it move per generation? Points, on a straight line through all"
        question += ", nothing subtracted" * verdict.beyond_fine_tuning
        rests = Cell(f"no slope: {fmt.pvalue(trend['holm'])} corrected for all trends (Holm)")
        rows.append((question, (ABSENT, slope, *none, rests)))
    if verdict.unread >= UNREAD:
        stands = verdict.bias in ("amplified", "reduced", "moved")
        note = "the answer holds whatever they lean to" * stands
        question = f"How many articles of Generation {verdict.last} are too damaged to read?"
        unread = Cell(fmt.percent(verdict.unread, 0))
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
        comparison_table(evidence.comparisons, regimes),
        _adjusted_table(evidence, regimes, leaning),
        _shift_table(evidence.shifts, regimes),
        _correlation_table(evidence.correlations, regimes),
    ]
    return tuple(table for table in found if any(part.rows for part in table.parts))


def _by_regime(rows: pl.DataFrame, regimes: Iterable[str]) -> Iterator[dict[str, Any]]:
    for regime in regimes:
        yield from rows.filter(regime=regime).iter_rows(named=True)


def _shift_table(shifts: pl.DataFrame, regimes: Sequence[str]) -> Table:
    several = shifts["seed"].n_unique() > 1
    sets = shifts.select("regime", "seed", "generation").unique().sort(pl.all())
    rows = []
    for where in _by_regime(sets, (BASE, *regimes)):
        cells: list[Cell] = []
        for measure in SHIFT_MEASURES:
            row = first_row(shifts, measure=measure, **where)
            cells.append(Cell(fmt.percent(row["value"])) if row else ABSENT)
            cells.append(figure_cell(row, "shift", 100, 1))
        of_seed = f", seed {where['seed']}" * several
        title = fmt.SETS.get(where["regime"])
        title = title or f"{fmt.name(where['regime'])}{of_seed}, {where['generation']}"
        rows.append((title, cells))
    less = "less that on the real articles, points"
    columns = ("mean confidence", less, "read alike by a second classifier", less)
    title = "Is the classifier as sure, and as agreed with, as on the real articles?"
    return one_table(title, columns, rows)


def _trend_table(trends: pl.DataFrame, regimes: Sequence[str], labels: Sequence[str]) -> Table:
    parts = []
    names = [(f"share:{label}", f"share of “{fmt.name(label)}”", 100.0, 2) for label in labels]
    names += [(name, one.tested, 1.0, one.digits) for name, one in quantities.tested().items()]
    tests = ("pvalue", "holm", "paired_pvalue", "kendall_pvalue")
    for quantity, title, scale, digits in names:
        rows = [
            (
                fmt.name(row["regime"]),
                (figure_cell(row, "slope", scale, digits), *(_p(row[name]) for name in tests)),
            )
            for row in _by_regime(trends.filter(quantity=quantity), regimes)
        ]
        unit = " (points)" if scale == 100 else ""
        columns = ("p", "p after Holm", "p, paired Kendall", "p, Mann-Kendall")
        if rows:
            parts.append(Part((f"{title}{unit} per generation", *columns), tuple(rows)))
    return Table("Trend over generations", tuple(parts))


def _contrast_table(contrasts: pl.DataFrame, regimes: Sequence[str], leaning: str) -> Table:
    references = {
        "generation 0": "Generation 0",
        BASE: "the base model",
        REAL: "the real articles",
    }
    columns = [
        column
        for name in references.values()
        for column in (f"less {name}, points", "p after Holm")
    ]
    parts = []
    for regime in regimes:
        own = contrasts.filter(quantity=f"share:{leaning}", regime=regime)
        rows = []
        for generation in own["generation"].unique().sort().to_list():
            cells: list[Cell] = []
            for against in references:
                row = first_row(own, generation=generation, against=against)
                cells += [figure_cell(row, "value", 100, 1), _p(row["holm"]) if row else ABSENT]
            rows.append((f"{fmt.name(regime)}, {generation}", tuple(cells)))
        if rows:
            parts.append(Part(tuple(columns), tuple(rows)))
    return Table(f"Share of “{fmt.name(leaning)}” against each reference", tuple(parts))


def comparison_table(comparisons: pl.DataFrame, regimes: Sequence[str]) -> Table:
    """Say how each regime's change differs from that of the first; it may have no rows."""
    rows = []
    for row in _by_regime(comparisons, regimes):
        name, _, label = row["quantity"].partition(":")
        scale, digits = (100, 1) if label else (1, 2)
        what = Cell(f"share of “{fmt.name(label)}”, points" if label else name)
        cells = (what, figure_cell(row, "value", scale, digits), _p(row["pvalue"]), _p(row["holm"]))
        rows.append((f"{fmt.name(row['regime'])}, Generation {row['generation']}", cells))
    against = "".join(fmt.name(name) for name in comparisons["against"].head(1))
    title = f"Change since Generation 0, less that of {against}"
    return one_table(title, ("of", "change less", "p", "p after Holm"), rows)


def _adjusted_table(evidence: Evidence, regimes: Sequence[str], leaning: str) -> Table:
    confusion = evidence.confusion
    if confusion is None:
        return Table("", ())
    rows = []
    adjusted = evidence.adjusted.filter(leaning=leaning).sort("generation")
    for row in _by_regime(adjusted, (*fmt.SETS, *regimes)):
        bounds = {"unread": row["unread"], "low": row["least"], "high": row["most"]}
        cells = (
            *(figure_cell(row, name, 100, 1, signed=False) for name in ("read", "adjusted")),
            figure_cell(bounds, "unread", 100, 1, signed=False),
            figure_cell(row, "change", 100, 1),
            figure_cell(row, "likelihood", 100, 1, signed=False),
        )
        regime = row["regime"]
        rows.append((fmt.SETS.get(regime) or f"{fmt.name(regime)}, {row['generation']}", cells))
    tested = f"{int(confusion.counts.sum()):,} {fmt.HELD_OUT[confusion.part]}"
    columns = (
        "as read, %",
        f"corrected by errors on {tested}, damaged alike, %",
        "cannot be read, % (over all articles the share is)",
        "corrected change since Generation 0, points",
        "corrected by EM, %",
    )
    title = f"Share of “{fmt.name(leaning)}”, as read and corrected for the classifier's errors"
    return one_table(title, columns, rows)


def _correlation_table(correlations: pl.DataFrame, regimes: Sequence[str]) -> Table:
    rows = [
        (
            fmt.name(row["regime"]),
            (*(figure_cell(row, of) for of in ("levels", "steps")), Cell(str(row["generations"]))),
        )
        for row in _by_regime(correlations, regimes)
    ]
    columns = ("of levels", "of steps from generation to generation", "generations")
    return one_table("Correlation of bias with quality over generations", columns, rows)


def _p(value: float | None) -> Cell:
    return Cell(fmt.pvalue(value).removeprefix("p "))


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
        title = f"Update on the bias direction, “{fmt.name(leaning)}”: {fmt.name(str(regime))}"
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
        tables.append(one_table(f"{title}, seed {seed}" if several else title, columns, body))
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
    title = f"Update on the bias direction, “{fmt.name(leaning)}”: does it foretell the change?"
    return one_table(title, columns, [("Generation 1 on", cells)])
