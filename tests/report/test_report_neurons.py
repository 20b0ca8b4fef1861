"""The report's section on neurons: there when something was found, and every name escaped."""

import json

import polars as pl

from biasloop.neurons import (
    ASSOCIATIONS,
    Ablation,
    AssociationFindings,
    write_ablation,
    write_findings,
)
from biasloop.neurons.ablation import DRAWS, EFFECTS
from biasloop.report import write_report

HOSTILE = "leaning:<script>alert(1)</script>"


def findings(metric):
    rows = [
        (layer, n, "mlp_out", "weight_mean", metric, 0.1, 1.0, 0.1, 0.01 if n < 3 else 0.9, 0.5)
        for layer in range(2)
        for n in range(10)
    ]
    table = pl.DataFrame(rows, schema=ASSOCIATIONS, orient="row")
    quality = table.with_columns(pl.lit("quality").alias("metric"))
    return AssociationFindings(
        pl.concat([table, quality]),
        (metric, "quality"),
        "differences",
        66,
        {metric: 4},
        {"quality": 5},
    )


def ablation(metric):
    row = (
        "share:right",
        0.6,
        0.5,
        -0.1,
        -0.15,
        -0.05,
        0.01,
        -0.11,
        -0.2,
        -0.02,
        1 / 21,
        20,
        50,
        0.2,
    )
    effects = pl.DataFrame([row], schema=EFFECTS, orient="row")
    draws = pl.DataFrame(
        [("share:right", n, 0.001 * n) for n in range(20)], schema=DRAWS, orient="row"
    )
    return Ablation(
        metric,
        "mlp_out",
        2,
        "restore",
        "synthetic",
        0,
        5,
        ((0, 1), (1, 2)),
        effects,
        draws,
        (1, 22),
    )


def test_no_section_where_nothing_was_looked_for(make_results, blank):
    results = make_results()
    page = write_report(results, results.folder).read_text()
    assert 'id="neurons"' not in page


def test_what_was_found_is_shown_and_escaped(make_results, blank):
    results = make_results()
    write_findings(results.folder / "neurons", findings(HOSTILE))
    write_ablation(results.folder / "neurons", ablation(HOSTILE))
    page = write_report(results, results.folder).read_text()
    section = page[page.index('<div id="neurons">') :]
    section = section[: section.index("</div></details>")]
    assert "<script" not in section
    assert "&lt;script&gt;" in section
    assert "4 of 66 versions are left out" in section
    assert "5 of 66 versions count although their leaning figures are withheld" in section
    # The strongest neurons, five of each metric, by their layer and place.
    assert "quality: layer 0, neuron 2" in section
    assert section.count("quality: layer ") == 5
    assert "−10.0" in section or "-10.0" in section
    assert "0.048" in section
    assert "are few" not in section
    assert "changes on changes" in section
    assert section.count("data:image/png;base64,") == 3
    assert "run “biasloop neurons” again" in section
    machine = json.loads((results.folder / "summary.json").read_text())["neurons"]
    assert machine["associations"]["counts"]["quality"]["raw"] == 6
    assert machine["ablation"]["effects"][0]["effect"] == -0.1
