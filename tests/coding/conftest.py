"""A run with known drifts (`report_made_up`), and sheets of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_made_up import build_results

from biasloop.coding import Drawn, draw, write_sheets
from biasloop.loop import Results


@pytest.fixture(scope="session")
def results(tmp_path_factory) -> Results:
    return build_results(
        tmp_path_factory.mktemp("labelling") / "run",
        articles=90,
        generations=2,
        seeds=(0, 1),
        regimes=("synthetic", "preservation"),
        collapsing=(),
        metrics=("leaning",),
    )


@pytest.fixture(scope="session")
def drawn(results: Results) -> Drawn:
    return draw(results, articles=40, coders=2, overlap=0.5, seed=3)


@pytest.fixture
def folder(drawn: Drawn, tmp_path: Path) -> Path:
    write_sheets(drawn, tmp_path / "labelling")
    return tmp_path / "labelling"
