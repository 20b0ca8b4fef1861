"""How often a checkpoint is made decides no result, so it is in no key."""

from biasloop.config import parse_config
from biasloop.loop import config_hash, make_plan


def test_the_checkpoint_interval_is_in_no_key(tiny):
    wanted = {"loop.bias_direction=contrast", "training.epochs=2"}
    one, other, third = (
        parse_config(tiny, [*wanted, setting])
        for setting in (
            "training.checkpoint_minutes=10",
            "training.checkpoint_minutes=0",
            "training.batch_size=3",
        )
    )
    assert list(make_plan(one).stages) == list(make_plan(other).stages)
    assert config_hash(one) == config_hash(other)
    assert len(set(make_plan(one).stages) & set(make_plan(third).stages)) < len(
        make_plan(one).stages
    )
    assert config_hash(one) != config_hash(third)
