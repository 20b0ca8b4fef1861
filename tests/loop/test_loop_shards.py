"""A set of articles in parts: the same articles and scores, put together in order."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import biasloop as bl
from biasloop.config import parse_config
from biasloop.loop import Store, config_hash, generation_stages, make_plan, score_stages
from biasloop.loop.run import read_contents
from biasloop.loop.stage import Shard

CONTENTS = {"corpus": "x", "base": None, "instruments": {}}


@given(st.integers(0, 60), st.integers(1, 40), st.integers(1, 9))
def test_shards_are_the_whole_in_order_and_even(height, count, unit):
    table = pl.DataFrame({"row": range(height)}, schema={"row": pl.Int64})
    shards = [table[Shard(number, count).rows(height, unit)] for number in range(count)]
    assert_frame_equal(pl.concat(shards), table)
    units = [-(-shard.height // unit) for shard in shards]
    assert max(units) - min(units) <= 1
    assert units == sorted(units, reverse=True)
    starts = [shard["row"][0] for shard in shards if shard.height]
    assert all(start % unit == 0 for start in starts)


def test_one_shard_is_what_it_always_was(tiny):
    plain = make_plan(parse_config(tiny), CONTENTS)
    one = make_plan(parse_config(tiny, ["loop.shards=1"]), CONTENTS)
    assert list(one.stages) == list(plain.stages)
    assert {stage.kind for stage in plain.generated.values()} == {"generate"}
    cut = make_plan(parse_config(tiny, ["loop.shards=3"]), CONTENTS)
    key = ("synthetic", 0, 1)
    assert cut.generated[key].kind == cut.scored[key].kind == "join"
    # However it is cut, it is the same set of articles and scores: every key of the whole is there.
    assert plain.stages.keys() < cut.stages.keys()
    for name in ("finetuned", "generated", "scored", "updated"):
        ours, whole = getattr(cut, name), getattr(plain, name)
        assert {k: s.key for k, s in ours.items()} == {k: s.key for k, s in whole.items()}
    assert {s.folder_name for s in plain.stages.values()} < {
        s.folder_name for s in cut.stages.values()
    }


def test_how_it_is_run_is_not_part_of_what_is_computed(tiny):
    plain = parse_config(tiny)
    other = parse_config(tiny, ["executor.cpus=3", "executor.stages.generate.gpus=1"])
    assert list(make_plan(other, CONTENTS).stages) == list(make_plan(plain, CONTENTS).stages)
    assert config_hash(other) == config_hash(plain)
    assert config_hash(parse_config(tiny, ["loop.shards=2"])) == config_hash(plain)


def test_any_number_of_shards_gives_the_same_bytes(tiny, tmp_path, monkeypatch):
    for module in (generation_stages, score_stages):
        monkeypatch.setattr(module, "UNIT", 5)  # 12 articles: units of 5, 5 and 2
    values = {
        **tiny,
        "generation": {**tiny["generation"], "batch_size": 4},
        "metrics": {**tiny["metrics"], "names": ["perplexity", "diversity"]},
        "neurons": {"sites": []},
    }
    changes = ["regimes=[synthetic]", "loop.generations=0", "loop.bias_direction=none"]
    found = []
    for count in (1, 2, 3):
        monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path / f"cache-{count}"))
        ran = []
        run = bl.run(
            values,
            tmp_path / str(count),
            [*changes, f"loop.shards={count}"],
            lambda event, ran=ran: ran.append(event.name) if event.event == "start" else None,
        )
        assert sum("generate" in name for name in ran) == 2 * count
        store = Store(run.folder, tmp_path / f"cache-{count}")
        plan = make_plan(run.config, read_contents(run.folder))
        wanted = [*plan.generated.values(), *plan.scored.values()]
        wanted += [stage for joined in plan.scored.values() for stage in joined.inputs.values()]
        found.append(
            {
                stage.folder_name: (store.manifest(stage)["kind"], store.manifest(stage)["files"])
                for stage in wanted
            }
        )
    assert all(one == found[0] for one in found[1:])
