"""The paper's figures, with intervals: charts of the report, from released results."""

from __future__ import annotations

import polars as pl

from biasloop.neurons import correlations_png, counts_png
from biasloop.published.reproduction import Reproduction
from biasloop.report import formatting as fmt
from biasloop.report.charts import Chart, Drawing, Look, line_chart, look, path_chart
from biasloop.report.drawing import png


def looks(reproduction: Reproduction) -> dict[str, Look]:
    """Give every regime its look, in order."""
    return {regime: look(i) for i, regime in enumerate(reproduction.experiment.regimes)}


def charts(reproduction: Reproduction) -> tuple[Chart | Drawing, ...]:
    """Choose every figure that has something to show, the followed leaning's share first."""
    summary, regimes = reproduction.summary, looks(reproduction)
    followed = reproduction.leaning
    labels = reproduction.experiment.tables.labels
    order = [label for label in labels if label == followed]
    order += [label for label in labels if label != followed]
    found: list[Chart | Drawing | None] = [
        line_chart(
            summary,
            f"share:{label}",
            regimes,
            "leaning_share" if label == followed else f"leaning_share_{labels.index(label) + 1}",
            f"Articles read as “{fmt.name(label)}”",
            "Share of each generation's articles whose likeliest leaning this is; bands are "
            f"{fmt.INTERVAL}s over articles.",
            "share of articles, %",
            100,
            (0.0, 100.0),
        )
        for label in order
    ]
    found.append(
        line_chart(
            summary,
            "quality",
            regimes,
            "quality",
            "Text quality",
            "Mean text quality index of the generated articles; a fall is collapse.",
            "index, 0 noise to 3 clean",
            span=(0.0, 3.0),
        )
    )
    found.append(
        line_chart(
            summary,
            "perplexity",
            regimes,
            "perplexity",
            "Perplexity of the generated articles",
            "Under the untouched base model; mean over articles. It falls while quality falls, "
            "so it cannot show collapse by itself.",
            "perplexity",
        )
    )
    if followed:
        found.append(path_chart(summary, followed, regimes))
    return tuple(chart for chart in found if chart is not None)


def pictures(reproduction: Reproduction) -> dict[str, tuple[str, bytes]]:
    """Draw everything as PNG: file name -> caption and bytes."""
    found = {f"{c.stem}.png": (f"{c.title}. {c.caption}", png(c)) for c in charts(reproduction)}
    experiment = reproduction.experiment
    for part in experiment.associations.partition_by("quantity", maintain_order=True):
        tested = part.filter(pl.col("pvalue").is_not_null())
        if tested.height:
            caption = "Neurons with p < 0.05 by layer: raw (light) and after Benjamini-Hochberg."
            stem = fmt.file_stem(part["quantity"][0])
            found[f"neurons_{stem}.png"] = (caption, counts_png(tested))
    for part in experiment.correlations.partition_by("quantity", maintain_order=True):
        if part.height:
            caption = "Pearson correlation of each layer's neurons with the metric."
            stem = fmt.file_stem(part["quantity"][0])
            found[f"correlations_{stem}.png"] = (caption, correlations_png(part))
    return found
