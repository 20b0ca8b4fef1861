"""Whole files or none, named random streams, tables that hold to their schema."""

import os

import numpy as np
import polars as pl
import pytest

from biasloop import files, seeds, tables
from biasloop.errors import StoreError, nearest


def test_a_folder_appears_whole_or_not_at_all(tmp_path):

    def fail_halfway():
        with files.new_folder(tmp_path / "out") as folder:
            (folder / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert list(tmp_path.iterdir()) == []
    with files.new_folder(tmp_path / "out") as folder:
        (folder / "whole").write_text("x")
        assert not (tmp_path / "out").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    with files.new_folder(tmp_path / "out") as folder:
        (folder / "whole").write_text("another")
    assert (tmp_path / "out" / "whole").read_text() == "x"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_canonical_json_does_not_depend_on_order():
    assert files.canonical_json({"b": 1, "a": [2]}) == files.canonical_json({"a": [2], "b": 1})


def test_streams_are_named():
    def draw(*purpose):
        return seeds.generator(*purpose).integers(1 << 60)

    assert draw(0, "a", 1) == draw(0, "a", 1)
    assert len({draw(0, "a", 1), draw(1, "a", 1), draw(0, "b", 1), draw(0, "a", 2)}) == 4
    assert 0 <= seeds.integer(0, "x") < 2**31


def test_equal_tables_give_equal_bytes_and_wrong_ones_are_refused(tmp_path):
    frame = pl.DataFrame(
        {
            "article_id": ["a"],
            "metric": ["m"],
            "value": [np.pi],
            "regime": ["r"],
            "seed": [0],
            "generation": [0],
        }
    )
    for name in ("one", "two"):
        tables.write_table(tmp_path / name, tables.conform(frame, tables.SCORES))
    assert files.sha256_file(tmp_path / "one") == files.sha256_file(tmp_path / "two")
    assert tables.read_table(tmp_path / "one", tables.SCORES).columns == list(tables.SCORES)
    with pytest.raises(StoreError, match="columns"):
        tables.conform(frame.drop("value"), tables.SCORES)
    (tmp_path / "one").write_bytes(b"not parquet")
    with pytest.raises(StoreError, match="cannot be read"):
        tables.read_table(tmp_path / "one")


def test_nearest_names_what_is_near_or_all_there_is():
    assert nearest("quailty", ["quality", "leaning"]) == "did you mean 'quality'?"
    assert nearest("zzz", ["quality", "leaning"]) == "known: leaning, quality"


@pytest.mark.parametrize(("mask", "file", "folder"), [(0o077, 0o600, 0o700), (0o002, 0o664, 0o775)])
def test_what_is_written_has_the_rights_that_the_umask_gives(tmp_path, mask, file, folder):
    before = os.umask(mask)
    try:
        files.write_text(tmp_path / "file", "x")
        with files.new_folder(tmp_path / "out") as out:
            files.write_text(out / "inner", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == file
    assert (tmp_path / "out").stat().st_mode & 0o777 == folder
    assert (tmp_path / "out" / "inner").stat().st_mode & 0o777 == file
