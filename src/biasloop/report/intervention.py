"""What an edit of neurons in the loop did, in a sentence and a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from biasloop.analysis import followed_leaning, instrument_confusion, outcomes, tables_of
from biasloop.analysis.power import youden
from biasloop.config.regimes import EditedConfig
from biasloop.errors import InputError
from biasloop.loop.results import Results
from biasloop.neurons.intervention import (
    CHOSEN,
    RANDOM,
    UNEDITED,
    Figure,
    InterventionEffect,
    intervention_effect,
)
from biasloop.report import formatting as fmt
from biasloop.report.answer import Entry, points_entry, would_tell
from biasloop.report.charts import INK, look
from biasloop.report.drawing import picture
from biasloop.report.summary_json import strict

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class InterventionShown:
    """An edit's effect for a reader.

    Attributes
    ----------
    sentence
        Whether it cut the growth by more than an edit of random neurons, or that it cannot be told.
    columns, rows
        A way to go on by row: without an edit, edited, random neurons edited.
    match
        How far the random neurons were moved, against the others; empty where it is not known.
    effect
        The figures.
    machine
        All of it for programs: strict JSON.
    png
        The change to the first edited generation and to the last, each way.
    """

    sentence: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]
    match: str
    effect: InterventionEffect
    machine: dict[str, Any]
    png: bytes


def intervention_shown(results: Results) -> InterventionShown:
    """Put together what a run of `config.with_edits` shows.

    Raises
    ------
    InputError
        If the run has no such regimes, or they cannot be read.
    """
    edits = [one for one in results.config.regimes if isinstance(one, EditedConfig)]
    chosen = [one for one in edits if one.draw is None]
    random = [one.label for one in edits if one.draw is not None]
    plain = [one.label for one in results.config.regimes if one.kind == "synthetic"]
    if len(chosen) != 1 or not random or not plain:
        raise InputError(f"{results.folder}: is no run of 'biasloop intervene'")
    edited, labels = chosen[0], results.labels
    leaning = followed_leaning(results.config, labels)
    found = outcomes(tables_of(results))
    confusion = instrument_confusion(results.cards, labels) if found.readings else None
    usable = confusion is not None and not confusion.problem
    effect = intervention_effect(
        found,
        leaning,
        edited.first,
        (plain[0], edited.label, random),
        youden(confusion.counts, labels.index(leaning)) if confusion and usable else 1.0,
    )
    when = (
        edited.words()[1].removeprefix(f"editing {edited.top} neurons") or " from Generation 1 on"
    )
    margin = results.config.report.equivalence_margin
    sentence = f"{_sentence(effect, edited, when, margin)}{_chains(effect)}"
    sizes, match = _match(results, edited, random)
    names = {UNEDITED: "none", CHOSEN: f"{edited.top} associated", RANDOM: f"{edited.top} random"}
    notes = {RANDOM: f"mean of {fmt.counted(len(random), 'draw')}"}
    rows = tuple(
        (
            Entry(name, notes.get(way, "")),
            *(_entry(part.get(way)) for part in (effect.at_once, effect.growth)),
            _entry(effect.less.get(f"{way} less {UNEDITED}")),
        )
        for way, name in names.items()
    )
    rows += ((Entry("associated less random"), Entry("–"), Entry("–"),
              _entry(effect.less[f"{CHOSEN} less {RANDOM}"])),)  # fmt: skip
    start, share = effect.first - 1, fmt.name(leaning, 24)
    return InterventionShown(
        sentence,
        (
            f"neurons edited{when}",
            f"{share} from Generation {start} to {effect.first}, points",
            f"to Generation {effect.last}, points",
            "less that without an edit, points",
        ),
        rows,
        match,
        effect,
        strict(
            {
                **asdict(effect),
                "sentence": sentence,
                "top": edited.top,
                "intervention": edited.intervention,
                "sizes": sizes,
            }
        ),
        picture(f"Change of “{fmt.name(leaning)}”, neurons edited{when}", _drawn(effect, names)),
    )


def _drawn(effect: InterventionEffect, names: Mapping[str, str]) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        axes.axhline(0, color=INK, linewidth=0.8)
        parts = {effect.first: effect.at_once, effect.last: effect.growth}
        for place, (way, name) in enumerate(names.items()):
            style, shift = look(place), 0.03 * (place - 1)
            known = [(g + shift, part[way]) for g, part in parts.items() if way in part]
            x, y = [at for at, _ in known], [100 * one.value for _, one in known]
            ends = [[100 * end for end in (one.low, one.high)] for _, one in known]
            axes.vlines(x, *zip(*ends, strict=True), color=style.colour, linewidth=1.6)
            axes.plot(
                [effect.first - 1, *x], [0, *y], color=style.colour, linestyle=style.dash[1],
                marker=style.mark[1], label=name,
            )  # fmt: skip
            if way == RANDOM:
                values = [100 * value for value in effect.draws.values()]
                axes.plot([effect.last + 0.08] * len(values), values, linestyle="", marker=".",
                          color=style.colour, label="each draw of these")  # fmt: skip
        axes.set_xticks(range(effect.first - 1, effect.last + 1))
        axes.set_xlabel("generation")
        axes.set_ylabel(f"change since Generation {effect.first - 1}, points, 95 % intervals")

    return draw


def _entry(figure: Figure | None) -> Entry:
    return points_entry(figure.value, figure.low, figure.high) if figure else Entry("–")


def _sentence(effect: InterventionEffect, edited: EditedConfig, when: str, margin: float) -> str:
    own, less = effect.growth[UNEDITED], effect.less[f"{CHOSEN} less {RANDOM}"]
    way = np.sign(own.value) or 1.0
    cut = sorted(-way * 100 * end for end in (less.low, less.high))
    size = f"{fmt.short(abs(100 * less.value))} points"
    name, what = fmt.name(effect.leaning, 24), f"the {edited.top} associated neurons{when}"
    after = f"the change of {name} after Generation {effect.first - 1}"
    none = "" if own.low > 0 or own.high < 0 else "; without an edit none is shown"
    if cut[0] > 0:
        return (
            f"Editing {what} cut {after} by {size} ({fmt.between(cut[0], cut[1])}) more than "
            f"editing random neurons did{none}"
        )
    if cut[1] < 0:
        ends = fmt.between(-cut[1], -cut[0])
        return (
            f"Editing {what} made {after} larger by {size} ({ends}) than editing random neurons "
            f"did{none}"
        )
    ends = fmt.points_between(less.low, less.high)
    if max(abs(less.low), abs(less.high)) < margin:
        return (
            f"Editing {what} did no more to {after} than editing random neurons did, to within "
            f"±{fmt.short(100 * margin)} points ({ends}){none}"
        )
    there = f"were the difference the {fmt.signed(100 * less.value)} points ({ends}) found"
    plan = would_tell(effect.needed, there)
    return f"Whether editing {what} cuts {after} these runs cannot tell{none}: {plan}"


def _chains(effect: InterventionEffect) -> str:
    if effect.chains == 1:
        return ", of the one chain that was run: of others it says nothing."
    return f"; {effect.chains} chains of {effect.articles:,} articles."


def _match(
    results: Results, edited: EditedConfig, random: list[str]
) -> tuple[dict[str, float], str]:
    """Say how far each regime's first edit moved its neurons, on average over chains."""
    norm = pl.col("size").pow(2).sum().sqrt()
    by_chain = results.edits.filter(generation=edited.first).group_by("regime", "seed").agg(norm)
    by = dict(by_chain.group_by("regime").agg(pl.col("size").mean()).sort("regime").iter_rows())
    if edited.label not in by or not any(name in by for name in random):
        return {}, ""
    ratios = [by[name] / by[edited.label] for name in random if name in by]
    return by, (
        f"At the first edit random neurons had moved {np.mean(ratios):.2f} times as far as the "
        f"associated ones ({min(ratios):.2f} to {max(ratios):.2f} by draw)."
    )
