"""Every name that a config may have has its line in the registry that looks it up."""

from typing import get_args

import pytest

from biasloop.config import GenerationConfig, LeaningConfig, TrainingConfig
from biasloop.errors import registered
from biasloop.metrics.classifier import CANDIDATES, DESCRIPTIONS
from biasloop.metrics.leaning import _LOADERS, _NAMED_IN
from biasloop.report.page import _training
from biasloop.stages.generate import ENGINES, writer_of
from biasloop.stages.methods import METHODS, method_of


def names(section, field):
    return set(get_args(section.model_fields[field].annotation))


def test_every_training_method_of_the_config_is_there_and_no_other():
    assert names(TrainingConfig, "method") == set(METHODS)


def test_the_report_names_a_training_method_that_it_has_no_words_for():
    assert _training(TrainingConfig()) == ""
    assert _training(TrainingConfig().model_copy(update={"method": "biases"})) == "method biases"


def test_every_engine_of_the_config_is_there_beside_transformers(tmp_path, monkeypatch):
    assert names(GenerationConfig, "engine") == {"transformers", *ENGINES}
    assert writer_of(GenerationConfig(), tmp_path) is None
    monkeypatch.setitem(ENGINES, "vllm", lambda folder: [folder])
    assert writer_of(GenerationConfig(engine="vllm"), tmp_path) == [tmp_path]


def test_every_kind_of_classifier_is_loaded_but_the_one_that_is_trained_here():
    kinds = names(LeaningConfig, "kind") - {"embedding"}
    assert kinds == set(_LOADERS) == set(_NAMED_IN)


def test_a_card_has_words_for_all_features_of_the_built_in_classifier():
    assert set(DESCRIPTIONS) == set(CANDIDATES)


def test_a_forgotten_line_is_named(monkeypatch):
    monkeypatch.delitem(METHODS, "full")
    with pytest.raises(NotImplementedError, match=r"'full' has no line in METHODS of stages/meth"):
        method_of(TrainingConfig())
    assert registered({"a": 1}, "a", "nowhere") == 1
