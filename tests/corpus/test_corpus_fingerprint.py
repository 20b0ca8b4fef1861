import json
import re

import pytest

from biasloop.assets import ASSETS, Asset
from biasloop.config import CorpusConfig
from biasloop.corpus import conventions
from biasloop.corpus.load import fingerprint
from biasloop.corpus.load import fingerprint as public
from biasloop.errors import InputError
from biasloop.hub import Hosted


def of(source, **settings):
    found = fingerprint(CorpusConfig(source=str(source), **settings))
    assert re.fullmatch(r"[0-9a-f]{64}", found)
    return found


def test_a_file_s_bytes_count_and_its_name_does_not(tmp_path):
    (tmp_path / "a.csv").write_text("x")
    first = of(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("x")
    assert of(tmp_path / "b.csv") == first
    (tmp_path / "a.csv").write_text("y")
    assert of(tmp_path / "a.csv") != first


def test_every_json_file_of_a_folder_counts(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.json").write_text("1")
    found = [of(tmp_path)]
    (tmp_path / "in/b.json").write_text("2")
    found.append(of(tmp_path))
    (tmp_path / "in/b.json").write_text("3")
    found.append(of(tmp_path))
    (tmp_path / "in/b.json").rename(tmp_path / "in/c.json")
    found.append(of(tmp_path))
    (tmp_path / "other.txt").write_text("not read")
    assert len(set(found)) == 4
    assert of(tmp_path) == found[-1]


def test_hub_commit_revision_and_split_count(monkeypatch):
    commits = iter("abbbb")  # of one id, and of others
    monkeypatch.setattr(
        "biasloop.corpus.hub.check_hub",
        lambda shown, name, kind, revision: Hosted(name, kind, next(commits), True),
    )
    found = {
        of("hub:a/b"),
        of("hub:a/b"),
        of("hub:a/c"),
        of("hub:a/b", revision="1"),
        of("hub:a/b", split="test"),
    }
    assert len(found) == 5


def test_the_asset_s_hash_and_its_cleaning_count(monkeypatch):
    first = of("conventions")
    asset = ASSETS["conventions"]
    fields = {name: getattr(asset, name) for name in asset.__dataclass_fields__}
    other = type(asset.files[0])("political_data.json", 1, "1" * 64)
    with monkeypatch.context() as patch:
        patch.setitem(ASSETS, "conventions", Asset(**{**fields, "files": (other,)}))
        assert of("conventions") != first
    assert of("conventions") == first
    assert conventions.CLEANING >= 1


def test_settings_that_only_say_how_to_read_do_not_count(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"a": 1}))
    assert of(tmp_path / "a.jsonl") == of(tmp_path / "a.jsonl", on_bad_row="skip")


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        public(CorpusConfig(source=str(tmp_path / "x.csv")))
