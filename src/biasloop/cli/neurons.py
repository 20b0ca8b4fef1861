"""`biasloop neurons`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from biasloop.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from biasloop.loop import Results


def neurons(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="run folders, of one base model")
    ],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="leaning:LABEL, quality, holdout_perplexity, ...; twice for an overlap "
            "[default: the followed leaning and quality]"
        ),
    ] = None,
    quantity: Annotated[
        str, typer.Option(help="weight or activation (their means), or any other recorded")
    ] = "weight",
    site: Annotated[str, typer.Option(help="mlp_out or mlp_hidden")] = "mlp_out",
    method: Annotated[
        str, typer.Option(help="'published' is the paper's; see biasloop.neurons.METHODS")
    ] = "differences",
    out: Annotated[
        Path | None, typer.Option(help="a folder for the results [default: RUN/neurons]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the counts as JSON")] = False,
) -> None:
    """Say which neurons go with bias, which with quality, and how far the two sets meet."""
    import json
    from dataclasses import asdict

    import polars as pl

    from biasloop import api
    from biasloop.analysis import followed_leaning
    from biasloop.files import write_bytes
    from biasloop.neurons import (
        LEVEL,
        associate,
        correlations_png,
        count_significant,
        counts_png,
        full_quantity,
        model_scores,
        overlap,
    )
    from biasloop.tables import write_table

    results = [api.load_run(run).results for run in runs]
    if out is None and len(runs) > 1:
        raise InputError("several runs have no folder of their own for the results: give --out DIR")
    folder = out or runs[0] / "neurons"
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; --out takes a folder")
    names = metric or [
        f"leaning:{followed_leaning(results[0].config, results[0].labels)}",
        "quality",
    ]
    table = _together(results, "neurons")
    sources = [_together(results, name) for name in ("scores", "leaning_scores", "set_scores")]
    parts = [
        associate(table, model_scores(*sources, name), name, full_quantity(quantity), site, method)
        for name in dict.fromkeys(names)
    ]
    associations = pl.concat(parts)
    counts = {part["metric"][0]: count_significant(part["pvalue"].to_numpy()) for part in parts}
    sets = [(part["pvalue"].fill_nan(None) < LEVEL).fill_null(False).to_numpy() for part in parts]
    meet = overlap(sets[0], sets[1]) if len(sets) > 1 else None
    write_table(folder / "associations.parquet", associations)
    write_bytes(folder / "counts.png", counts_png(associations))
    write_bytes(folder / "correlations.png", correlations_png(associations))
    if as_json:
        shown = {name: asdict(count) for name, count in counts.items()}
        print(json.dumps({"counts": shown, "overlap": asdict(meet) if meet else None}))
        return
    for name, count in counts.items():
        print(
            f"{name}: {count.raw} of {count.tests} neurons at p < {LEVEL:g} ({count.by_chance:.0f} "
            f"by chance alone), {count.benjamini_hochberg} after Benjamini-Hochberg, "
            f"{count.bonferroni} after Bonferroni"
        )
    if meet:
        print(
            f"both {parts[0]['metric'][0]} and {parts[1]['metric'][0]}: {meet.both}, "
            f"{meet.expected:.1f} expected if independent (hypergeometric p of at least so many "
            f"{meet.more:.2g}, of at most {meet.fewer:.2g})"
        )
    print(f"associations: {folder.resolve()}")


def _together(results: list[Results], table: str) -> pl.DataFrame:
    """Put a table of several runs together; their regimes are told apart by the run's place."""
    import polars as pl

    if len(results) == 1:
        return getattr(results[0], table)
    return pl.concat(
        getattr(result, table).with_columns(
            pl.concat_str(pl.lit(f"{place}: "), pl.col("regime")).alias("regime")
        )
        for place, result in enumerate(results, start=1)
    )
