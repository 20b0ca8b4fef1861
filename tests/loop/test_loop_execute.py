"""How much the local executor looks at the store: as often as there are stages, not squared."""

import json

import pytest

from biasloop.config import parse_config
from biasloop.loop import Store, execute, make_plan

CONTENTS = {"corpus": "x", "base": None, "instruments": {}}


class Counted(Store):
    looks = 0

    def has(self, stage):
        self.looks += 1
        return super().has(stage)


def looks_per_stage(values, root, monkeypatch, generations):
    def pretend(stage, store, progress):
        folder = store.path(stage)
        folder.mkdir(parents=True)
        (folder / "stage.json").write_text(json.dumps({}))
        return 0.01

    monkeypatch.setitem(execute.__globals__, "perform", pretend)
    config = parse_config(values, [f"loop.generations={generations}", "loop.keep_models=none"])
    plan = make_plan(config, CONTENTS)
    store = Counted(root, root / "cache")
    ran = []
    execute(plan, store, lambda event: ran.append(event.name) if event.event == "start" else None)
    assert len(ran) == len(plan.stages)
    assert all(store.is_pruned(stage) for stage in plan.finetuned.values())
    return store.looks / len(plan.stages)


def test_looks_at_the_store_per_stage_do_not_grow_with_the_stages(tiny, tmp_path, monkeypatch):
    few = looks_per_stage(tiny, tmp_path / "few", monkeypatch, 2)
    many = looks_per_stage(tiny, tmp_path / "many", monkeypatch, 16)
    assert many == pytest.approx(few, rel=0.3)
    assert many < 10
