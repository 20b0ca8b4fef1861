"""SIGKILL at random moments: the run goes on, and ends with the bytes of a run in peace."""

import pytest
from kill import SHORT, kill_runs

KILLS = 16


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(tiny, tmp_path):
    # Fitting one classifier is as good a moment as fitting two; tools/kill.py has all metrics.
    metrics = {**tiny["metrics"], "names": ["leaning", "diversity"]}
    found = kill_runs({**tiny, **SHORT, "metrics": metrics}, KILLS, seed=1, place=tmp_path)
    assert found.faults == []
    assert found.total >= KILLS
    assert found.runs >= 1
    kinds = {"corpus", "base", "instrument", "finetune", "generate", "score", "update", "neurons"}
    assert kinds <= found.kills.keys()
