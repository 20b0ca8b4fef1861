"""Pictures of associations by layer, as PNG bytes. Computes nothing but counts."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from biasloop.neurons.associate import LEVEL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from biasloop.neurons.ablation import Ablation

#: Okabe and Ito's colours, which the report uses too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MUTED = "#5b6775"


def layer_counts(associations: pl.DataFrame, level: float = LEVEL) -> pl.DataFrame:
    """Count significant neurons by metric and layer.

    Returns
    -------
    polars.DataFrame
        ``metric, layer, tests, raw, corrected`` (Benjamini-Hochberg over all layers), sorted.
    """
    return (
        associations.with_columns(pl.col("pvalue", "qvalue").fill_nan(None))
        .group_by("metric", "layer")
        .agg(
            pl.col("pvalue").count().alias("tests"),
            (pl.col("pvalue") < level).sum().alias("raw"),
            (pl.col("qvalue") < level).sum().alias("corrected"),
        )
        .sort("metric", "layer")
    )


def counts_png(associations: pl.DataFrame, level: float = LEVEL) -> bytes:
    """Bars: the share of each layer's neurons with p below ``level``, raw (light) and corrected.

    The dotted line is what chance alone would give. ``associations`` is of one site and quantity,
    and of any number of metrics.
    """
    from matplotlib.figure import Figure

    counts = layer_counts(associations, level)
    metrics = counts["metric"].unique().sort().to_list()
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(metrics)
    for i, metric in enumerate(metrics):
        rows = counts.filter(pl.col("metric") == metric)
        at = rows["layer"].to_numpy() + (i - (len(metrics) - 1) / 2) * width
        tests = np.maximum(rows["tests"].to_numpy(), 1)
        colour = _COLOURS[i % len(_COLOURS)]
        raw, left = 100 * rows["raw"].to_numpy() / tests, 100 * rows["corrected"].to_numpy() / tests
        axes.bar(at, raw, width, color=colour, alpha=0.35, label=f"{metric}, p < {level:g}")
        axes.bar(at, left, width, color=colour, label=f"{metric}, q < {level:g}")
    axes.axhline(100 * level, color=_MUTED, linestyle=":", linewidth=1.2, label="by chance alone")
    axes.set_xlabel("layer")
    axes.set_xticks(counts["layer"].unique().sort().to_list())
    axes.set_ylabel("neurons, %")
    axes.set_title(_what(associations), fontsize=10)
    figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=3)
    return _png(figure)


def correlations_png(associations: pl.DataFrame) -> bytes:
    """Violins: how the correlations of each layer's neurons are spread, one row per metric."""
    from matplotlib.figure import Figure

    metrics = associations["metric"].unique().sort().to_list()
    figure = Figure(figsize=(7.2, 2.4 * len(metrics) + 0.6), layout="constrained")
    rows = np.atleast_1d(figure.subplots(len(metrics), 1, sharex=True))
    layers = associations["layer"].unique().sort().to_list()
    for i, (metric, axes) in enumerate(zip(metrics, rows, strict=True)):
        of_metric = associations.filter(pl.col("metric") == metric)
        values = [_numbers(of_metric.filter(pl.col("layer") == layer)) for layer in layers]
        shown = [(layer, v) for layer, v in zip(layers, values, strict=True) if len(v) > 1]
        if shown:
            drawn = axes.violinplot(
                [v for _, v in shown], [layer for layer, _ in shown], widths=0.8, showmedians=True
            )
            for body in drawn["bodies"]:
                body.set_facecolor(_COLOURS[i % len(_COLOURS)])
        axes.axhline(0, color=_MUTED, linewidth=0.8)
        axes.set_ylim(-1.05, 1.05)
        axes.set_ylabel("Pearson")
        axes.set_title(metric if i else f"{_what(associations)}: {metric}", fontsize=10)
        axes.set_xticks(layers)
    rows[-1].set_xlabel("layer")
    return _png(figure)


def ablation_png(ablation: Ablation) -> bytes:
    """Dots: the effect of each random set of neurons and, with its interval, of the chosen ones."""
    from matplotlib.figure import Figure

    shown = ablation.effects.filter(pl.col("effect").is_not_null())
    figure = Figure(figsize=(7.2, 1.2 + 1.3 * max(shown.height, 1)), layout="constrained")
    rows = np.atleast_1d(figure.subplots(max(shown.height, 1), 1))
    for axes, row in zip(rows, shown.iter_rows(named=True), strict=False):
        share = row["outcome"].startswith("share:")
        scale, unit = (100, "points") if share else (1, "0 to 3")
        name = f"share of {row['outcome'][6:]}" if share else row["outcome"]
        own = ablation.draws.filter(pl.col("outcome") == row["outcome"])["effect"].to_numpy()
        # Spread by their number alone, so that equal tables give equal pictures.
        height = 0.5 + 0.35 * np.sin(np.arange(len(own)) * 2.4)
        axes.scatter(scale * own, height, s=22, color=_MUTED, alpha=0.7, label="random neurons")
        ends = [[row["effect"] - row["effect_low"]], [row["effect_high"] - row["effect"]]]
        axes.errorbar(
            [scale * row["effect"]],
            [0.5],
            xerr=scale * np.array(ends),
            fmt="D",
            color=_COLOURS[1],
            capsize=4,
            label=f"top {ablation.top} neurons, 95 % interval",
        )
        axes.axvline(0, color=_MUTED, linewidth=0.8)
        axes.set_yticks([])
        axes.set_ylim(0, 1)
        axes.set_xlabel(f"change of {name} ({unit})".replace("$", r"\$"))
    if shown.height:
        handles, names = rows[0].get_legend_handles_labels()
        figure.legend(
            handles, names, fontsize=8, frameon=False, loc="outside upper center", ncols=2
        )
    else:
        rows[0].set_axis_off()
        rows[0].text(0.5, 0.5, "every figure is withheld", ha="center")
    return _png(figure)


def _numbers(rows: pl.DataFrame) -> np.ndarray:
    return rows["pearson"].fill_nan(None).drop_nulls().to_numpy()


def _what(associations: pl.DataFrame) -> str:
    site, quantity = associations.select("site", "quantity").row(0)
    return f"{quantity} at {site}"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()
