"""`biasloop reproduce published`: what it prints, what it writes, how it fails."""

import json

import pytest

from biasloop.published import read_published, reproduce, series


def test_json_is_all_that_is_printed(whole, tmp_path, biasloop):
    shown = biasloop("reproduce", "published", whole.path, "--json", cwd=tmp_path)
    found = json.loads(shown, parse_constant=lambda name: pytest.fail(name))
    expected = series(reproduce(read_published(whole.path)))
    assert list(found) == ["shares", "quality", "perplexity"]
    assert found["shares"]["stale_mix"]["blue"] == pytest.approx(
        expected["shares"]["stale_mix"]["blue"]
    )
    assert found["perplexity"]["fresh"] == pytest.approx(expected["perplexity"]["fresh"])
    assert [path.name for path in tmp_path.iterdir()] == ["released"]


def test_a_table_is_printed_and_a_folder_written(folder, random, tmp_path, biasloop):
    folder.bias("Fresh", random)
    folder.metric("Fresh", random)
    shown = biasloop("reproduce", "published", folder.path, "--leaning", "red", cwd=tmp_path)
    for part in (
        "Fresh_Perplexity.csv",
        "what the statistics add",
        "share “red”, %: fresh 3",
        "quality: fresh 3",
        "since Generation 0",
        "No Article_ID",
        str(tmp_path / "reproduced/reproduction.html"),
    ):
        assert part in shown
    assert (tmp_path / "reproduced/figures/leaning_share.png").is_file()
    biasloop("reproduce", "published", folder.path, "--json", "--out", "x", cwd=tmp_path)
    assert (tmp_path / "x/table.csv").is_file()


def test_what_is_wrong_is_one_message(folder, random, tmp_path, biasloop):
    folder.bias("Fresh", random)
    path = folder.path / "Fresh_Bias_Performance.csv"
    cells = path.read_text().splitlines()
    path.write_text("\n".join([*cells[:6], cells[6].replace("0.", "O.", 1), *cells[7:]]))
    said = biasloop("reproduce", "published", folder.path, "--json", cwd=tmp_path, code=2)
    assert "Fresh_Bias_Performance.csv: row 7, column 'Red_Score'" in said
    assert "is a file" in biasloop(
        "reproduce", "published", folder.path, "--out", path, cwd=tmp_path, code=2
    )
    biasloop("reproduce", "published", tmp_path / "nowhere", cwd=tmp_path, code=2)
