"""Fixtures of the report tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_made_up import build_results

from biasloop.loop.results import Results


@pytest.fixture
def make_results(tmp_path: Path) -> Callable[..., Results]:
    """Make up a run in a fresh folder; see `report_made_up.build_results`."""

    def make(**settings: Any) -> Results:
        return build_results(tmp_path / "run", **settings)

    return make
