"""``biasloop audit``: parse, call `biasloop.audit`, print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from biasloop.audit import Audit


def audit(
    real: Annotated[
        str, typer.Argument(metavar="REAL", help="real labelled articles: a file, or conventions")
    ],
    synthetic: Annotated[
        Path, typer.Argument(metavar="SYNTHETIC", help="synthetic articles: Parquet, CSV or JSONL")
    ],
    tolerance: Annotated[
        float, typer.Option(help="points that a share may be off in the next generation")
    ] = 5.0,
    body: Annotated[str, typer.Option(help="the column of the synthetic text")] = "body",
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="how to read REAL and classify: corpus.columns.label=bias, ...",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say how far a synthetic set already leans, before anything is trained on it."""
    import json

    from biasloop import api
    from biasloop.report.summary_json import strict

    found = api.audit_set(real, synthetic, tolerance / 100, body, overrides or ())
    if as_json:
        print(json.dumps(strict(_as_json(found))))
    else:
        _print(found)


def _as_json(found: Audit) -> dict[str, Any]:
    return {
        "real": found.real,
        "synthetic": found.synthetic,
        "copies": found.copies,
        "copies_of_training_articles": found.of_seen,
        "withheld": found.withheld or None,
        "leans": found.leans.to_dicts(),
        "distance": found.distance
        and dict(zip(("total_variation", "jensen_shannon"), found.distance, strict=True)),
        "text": {name: value._asdict() for name, value in found.text.items()},
        "tolerance": found.tolerance,
        "needed": found.needed.to_dicts(),
        "refused": found.refused or None,
        "detectable": found.detectable,
        "warnings": list(found.warnings),
    }


def _print(found: Audit) -> None:
    from biasloop.report import formatting as fmt

    if found.copies:
        given = found.copies + found.synthetic
        print(
            f"copied: {found.copies:,} of {given:,} synthetic articles "
            f"({100 * found.copies / given:.1f} %) are real ones again, {found.of_seen:,} of them "
            "of those that the classifier was trained on; they are left out of all that follows"
        )
    print(
        f"{found.synthetic:,} synthetic articles against {found.real:,} real ones that the "
        "classifier has not seen, as independent samples"
    )
    for warning in found.warnings:
        print(f"warning: {fmt.visible(warning)}")
    if found.withheld:
        print(f"leaning is withheld: {fmt.visible(found.withheld)}")
        print("so nothing is said of its lean, nor of the real data that would hold it")
    for row in found.leans.iter_rows(named=True):
        shown = "shown" if row["holm"] < 0.05 else "not shown"
        corrected = ""
        if row["corrected"] is not None:
            corrected = (
                f"; corrected for the classifier's errors {100 * row['real_corrected']:.1f} % and "
                f"{100 * row['corrected']:.1f} % ({100 * row['corrected_low']:.1f} to "
                f"{100 * row['corrected_high']:.1f})"
            )
        print(
            f"{fmt.visible(row['leaning'])}: {100 * row['real']:.1f} % of the real, "
            f"{100 * row['synthetic']:.1f} % of the synthetic: {100 * row['difference']:+.1f} "
            f"points (95 % {100 * row['low']:+.1f} to {100 * row['high']:+.1f}), p "
            f"{row['holm']:.2g} after Holm: {shown}{corrected}"
        )
    if found.distance:
        print(
            f"distance of the shares: total variation {found.distance[0]:.3f}, Jensen-Shannon "
            f"{found.distance[1]:.3f}"
        )
    for name, text in found.text.items():
        print(
            f"{name}: {text.value:+.3f} (95 % {text.low:+.3f} to {text.high:+.3f}), p "
            f"{text.pvalue:.2g}"
        )
    if found.detectable is not None:
        print(
            f"a difference of {100 * found.detectable:.1f} points would be shown with 80 % power "
            "by as many articles"
        )
    if found.refused:
        print(f"the real data needed cannot be told: {fmt.visible(found.refused)}")
    if found.needed.height:
        print(
            "real data in the training set that keep every share, corrected for the classifier's "
            f"errors, within {100 * found.tolerance:g} points in the next generation "
            "(docs/audit.md):"
        )
    for row in found.needed.iter_rows(named=True):
        if row["share"] is None:
            print(f"  {row['assumption']}: no share suffices")
            continue
        high = "none suffices" if row["high"] is None else f"{100 * row['high']:.0f} %"
        low = "none" if row["low"] is None else f"{100 * row['low']:.0f} %"
        print(f"  {row['assumption']}: {100 * row['share']:.0f} % (95 % {low} to {high})")
