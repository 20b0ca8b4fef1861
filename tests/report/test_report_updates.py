"""The tables of updates: one a chain, and whether signs agreed over seeds."""

import polars as pl

from biasloop.analysis.projected_update import PROJECTED_UPDATES
from biasloop.report.statistics import update_tables


def _foretold(seeds):
    rows = [
        ("synthetic", seed, generation, "gradient", 0.5, 0.1, 0.9, 0.2, 0.1, 0.3, agree)
        for seed in range(seeds)
        for generation, agree in enumerate((False, True, True))
    ]
    return pl.DataFrame(rows, schema=PROJECTED_UPDATES, orient="row")


def test_agreement_is_said_to_be_shown_of_five_seeds_only():
    few, many = update_tables(_foretold(4), "right"), update_tables(_foretold(5), "right")
    assert (len(few), len(many)) == (5, 6)
    (_, cells) = few[-1].parts[0].rows[0]
    assert [cell.value for cell in cells] == ["8 of 8", "4 of 4", "not shown"]
    assert cells[2].interval == "fewer than five seeds"
    (_, cells) = many[-1].parts[0].rows[0]
    assert [cell.value for cell in cells] == ["10 of 10", "5 of 5", "shown"]
    assert cells[2].interval == "p 0.031"
    assert update_tables(_foretold(0), "right") == ()
