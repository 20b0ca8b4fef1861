import json
import re
from collections import defaultdict

import pytest

from biasloop.assets import ASSETS, Asset, asset_path
from biasloop.config import CorpusConfig
from biasloop.corpus.conventions import passage_records, transcripts
from biasloop.corpus.load import load_corpus
from biasloop.errors import InputError


@pytest.fixture
def made_up(monkeypatch, tmp_path):
    """A made-up asset in an own cache."""
    speech = "\n".join(f"ANN ONE: Sentence {i} has exactly six words." for i in range(40))
    parties = [
        {
            "name": "democrat",
            "speeches": [speech, f"(Cheers.)\nMS. : {speech.replace('ANN ONE: ', '')}"],
        },
        {"name": "republican", "speeches": repr([speech.replace("ANN", "BOB"), speech])},
    ]
    folder = tmp_path / "assets/conventions-0.2.2"
    folder.mkdir(parents=True)
    path = folder / "political_data.json"
    path.write_text(json.dumps(parties), encoding="utf-8")
    asset = ASSETS["conventions"]
    file = type(asset.files[0])(path.name, path.stat().st_size, "0" * 64)
    fields = {name: getattr(asset, name) for name in asset.__dataclass_fields__}
    monkeypatch.setitem(ASSETS, "conventions", Asset(**{**fields, "files": (file,)}))
    monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path))
    return path


def test_passages_with_ids_labels_and_speakers(made_up):
    corpus = load_corpus(CorpusConfig(passage_words=60), 0)
    assert corpus.labels == ("democrat", "republican")
    assert corpus.name == "conventions"
    assert "Kessler" in corpus.citation
    assert corpus.articles["article_id"].to_list()[:5] == [
        "conventions-democrat-000-00",
        "conventions-democrat-000-01",
        "conventions-democrat-000-02",
        "conventions-democrat-000-03",
        "conventions-democrat-001-00",
    ]
    speakers = corpus.articles.group_by("label", maintain_order=True).agg("source")
    assert [sorted(set(found)) for found in speakers["source"]] == [
        ["ANN ONE", "democrat speech 1"],
        ["ANN ONE", "BOB ONE"],
    ]
    assert set(corpus.articles["title"]) == {""}


def test_without_the_asset_the_command_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("BIASLOOP_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="run `biasloop download conventions`"):
        load_corpus(CorpusConfig(), 0)


@pytest.mark.parametrize(
    "content", ["{}x", "[1]", '[{"name": "a"}]', '[{"name": "a", "speeches": "__import__(1)"}]',
                '[{"name": "a", "speeches": [1]}]'],
)  # fmt: skip
def test_another_file_under_its_name_is_an_input_error(tmp_path, content):
    path = tmp_path / "political_data.json"
    path.write_text(content)
    with pytest.raises(InputError, match="not the transcripts"):
        transcripts(path)


@pytest.fixture(scope="module")
def real():
    try:
        path = asset_path("conventions")
    except InputError as error:
        pytest.skip(str(error))
    return transcripts(path / "political_data.json")


def test_the_real_speeches_are_clean(real):
    speakers = defaultdict(set)
    left_over = re.compile(
        r"[()\[\]\xa0]|  |— —|^—|—$|--|\b[A-Z]{2,}[A-Z .'-]*:|\s[,;.!?](\s|$)"
        r"|(?i:\bAUDIENCE MEMBERS?:|\binaudible\b|\bcheers, applause\b|ANNOUNCER|NARRATOR)",
        re.MULTILINE,
    )
    names = set()
    for text in (text for texts in real.values() for text in texts):
        names.update(re.findall(r"(?m)^\W*((?:[A-Z][A-Z.'-]+ ?)+):", text))
    assert len(names) > 200
    count = 0
    for record in passage_records(real, 250):
        count += 1
        fields = record.fields
        body = str(fields["body"])
        assert not left_over.search(body), left_over.search(body)
        assert not [name for name in names if f"{name}:" in body]
        assert 125 <= len(body.split()) <= 400
        speakers[fields["label"]].add(fields["source"])
    assert count > 600
    assert min(map(len, speakers.values())) > 90
    # No speaker is in both parties, so sources can be kept apart without dropping any.
    assert not set.intersection(*speakers.values())


def test_the_real_speeches_lose_no_sentence_of_a_speaker(real):
    """Words in and words out differ only by what is in brackets, names and other voices."""
    spoken = 0
    for text in (text for texts in real.values() for text in texts):
        for line in text.split("\n"):
            line = re.sub(r"\([^()]*\)?", " ", line)
            if re.match(r"\s*(AUDIENCE|ANNOUNCER|NARRATOR)", line):
                continue
            line = re.sub(r"^\W*n?[A-Z][A-Z.'-]+[A-Za-z.' -]{0,30}:", " ", line)
            spoken += sum(1 for word in line.split() if re.search(r"\w", word))
    words_only = sum(
        1
        for record in passage_records(real, 250)
        for word in str(record.fields["body"]).split()
        if re.search(r"\w", word)
    )
    assert 0.985 < words_only / spoken < 1.005
