"""The tiny experiment of `made_up`, and a cache of its own."""

import pytest
from made_up import experiment, write_corpus


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "articles.jsonl")


@pytest.fixture(scope="session")
def tiny(corpus_file):
    return experiment(corpus_file)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
