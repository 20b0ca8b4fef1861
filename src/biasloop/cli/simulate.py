"""``biasloop simulate``: parse, call `biasloop.theory`, print. Holds no logic of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from biasloop.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from biasloop.theory import Chain

_QUANTITIES = ("mean", "mode", "variance", "bias", "entropy", "tail")
_WIDTH = 120


def simulate(
    estimator: Annotated[
        str, typer.Argument(help="wmle: weighted by the previous fit; mle: unweighted")
    ],
    family: Annotated[
        str, typer.Option(help="beta, normal, normal-known-variance or categorical")
    ] = "beta",
    pretrained: Annotated[
        str | None, typer.Option(help="parameters of the base, such as 3,2; mle does not use it")
    ] = None,
    real: Annotated[
        str | None, typer.Option(help="parameters of the real data, such as 2,2")
    ] = None,
    generations: Annotated[int, typer.Option(help="how many, Generation 0 included")] = 11,
    samples: Annotated[
        str, typer.Option(help="training points per generation, or inf for the exact path")
    ] = "10000",
    replicates: Annotated[int, typer.Option(help="independent chains, for intervals")] = 1,
    regime: Annotated[
        str, typer.Option(help="synthetic, preservation or accumulation")
    ] = "synthetic",
    real_fraction: Annotated[
        float | None,
        typer.Option(
            help="share of real points in what a generation adds; "
            "default: 0.1 in preservation, 0 in accumulation"
        ),
    ] = None,
    real_weight: Annotated[
        str,
        typer.Option(
            help="wmle, from Generation 1 on: density weighs real points like the others, "
            "one leaves them unweighted"
        ),
    ] = "density",
    pretrained_samples: Annotated[
        int | None,
        typer.Option(help="fit the base to so many draws, as the paper does [default: exact]"),
    ] = None,
    seed: Annotated[int, typer.Option(help="of the sampling")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="folder for figures, paths.parquet and summary.json")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Simulate bias amplification on distributions, without a language model.

    The defaults are the paper's simulation: pre-trained Beta(3,2), real data Beta(2,2).
    """
    from biasloop import theory

    chain = theory.run(
        theory.settings(
            estimator,
            family=family,
            pretrained=_numbers("--pretrained", pretrained),
            real=_numbers("--real", real),
            generations=generations,
            samples=_samples(samples),
            replicates=replicates,
            regime=regime,
            real_fraction=real_fraction,
            real_weight=real_weight,
            seed=seed,
            pretrained_samples=pretrained_samples,
        )
    )
    written = theory.save(chain, out) if out is not None else []
    if as_json:
        typer.echo(json.dumps(theory.report(chain), allow_nan=False))
        return
    _print(chain, written)


def _numbers(option: str, text: str | None) -> list[float] | None:
    try:
        return None if text is None else [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{option} '{text}': give numbers with commas, such as 3,2") from error


def _samples(text: str) -> int | None:
    if text.strip().lower() in ("inf", "infinity"):
        return None
    try:
        return int(text.replace("_", ""))
    except ValueError as error:
        raise InputError(f"--samples '{text}': give a whole number, or inf") from error


def _print(chain: Chain, written: list[Path]) -> None:
    from rich.console import Console

    from biasloop import theory

    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    console.print(_table(theory.summarise(chain), list(chain.settings.parameter_names)))
    outcome = theory.verdict(chain)
    console.print(
        f"Last generation: {outcome.case}"
        + ("; the bias grew after Generation 0." if outcome.amplified else ".")
    )
    for path in written:
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def _table(rows: list[dict[str, Any]], parameters: list[str]) -> Table:
    from rich.table import Table

    names = list(dict.fromkeys([*parameters, *_QUANTITIES]))
    replicated = "bias_low" in rows[0]
    table = Table(caption="medians over replicates" if replicated else None)
    for name in ["g", *names]:
        table.add_column(name, justify="right", no_wrap=True)
        if name == "bias" and replicated:
            table.add_column("95 % of replicates", justify="right", no_wrap=True)
    for row in rows:
        cells = [str(row["generation"])]
        for name in names:
            cells.append(_number(row[name]))
            if name == "bias" and replicated:
                cells.append(f"{_number(row['bias_low'])} to {_number(row['bias_high'])}")
        table.add_row(*cells)
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
