import datasets
import pytest

from biasloop.config import Columns, CorpusConfig
from biasloop.corpus.load import load_corpus
from biasloop.errors import InputError
from biasloop.hub import Hosted

COLUMNS = Columns(article_id=None, title=None, body="text", label="label", source=None)
CONFIG = CorpusConfig(source="hub:someone/news", split="test", revision="abc", columns=COLUMNS)


@pytest.fixture(autouse=True)
def nothing_is_asked(monkeypatch):
    """`datasets` is replaced below; what is asked before it is in ``tests/test_hub.py``."""
    found = Hosted("someone/news", "dataset", "abc", True, "abc")
    monkeypatch.setattr("biasloop.corpus.hub.check_hub", lambda *a, **k: found)
    monkeypatch.setattr("biasloop.corpus.hub.remember", lambda found: None)


def made_up():
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["left", "right"]),
            "other": datasets.Value("int64"),
        }
    )
    rows = {"text": ["a", "b", "c", "d"], "label": [0, 1, 0, 1], "other": [1, 2, 3, 4]}
    info = datasets.DatasetInfo(features=features, license="cc0", citation="Someone (2020)")
    return datasets.Dataset.from_dict(rows, features=features, info=info)


def test_a_hub_data_set_with_class_names(monkeypatch):
    calls = []

    def load_dataset(*arguments, **options):
        calls.append((arguments, options))
        return made_up()

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    corpus = load_corpus(CONFIG, 0)
    # Nothing but these: above all no trust_remote_code.
    assert calls == [(("someone/news", None), {"split": "test", "revision": "abc"})]
    assert corpus.labels == ("left", "right")
    assert corpus.articles["label"].to_list() == ["left", "right"] * 2
    assert corpus.articles["body"].to_list() == ["a", "b", "c", "d"]
    assert (corpus.name, corpus.citation, corpus.licence) == (
        "someone/news",
        "Someone (2020)",
        "cc0",
    )


def test_rows_without_a_class_are_bad_rows(monkeypatch):
    data = made_up().to_dict()
    data["label"] = [0, 1, 0, None]
    features = made_up().features
    dataset = datasets.Dataset.from_dict(data, features=features)
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: dataset)
    with pytest.raises(InputError, match=r"someone/news:4 \(no label\)"):
        load_corpus(CONFIG, 0)


def test_a_missing_column_names_those_found(monkeypatch):
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: made_up())
    config = CONFIG.model_copy(update={"columns": Columns()})
    with pytest.raises(InputError, match=r"no column 'body'.*columns are: text, label, other"):
        load_corpus(config, 0)


@pytest.mark.parametrize(
    "error", [ConnectionError("no route"), ValueError("Unknown split"), OSError()]
)
def test_an_unreachable_hub_says_so(monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    for function in ("load_dataset", "get_dataset_config_names"):
        monkeypatch.setattr(datasets, function, fail)
    with pytest.raises(InputError, match=r"hub:someone/news.*Is the hub within reach.*'test'"):
        load_corpus(CONFIG, 0)


@pytest.mark.parametrize("name", ["", "../x", "/etc", "a/b/c", "a/../b", "https://x/y", ".."])
def test_only_ids_are_taken(monkeypatch, name):
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: pytest.fail("was called"))
    with pytest.raises(InputError, match="hub:OWNER/NAME"):
        load_corpus(CorpusConfig(source=f"hub:{name}"), 0)


def test_a_local_folder_of_that_name_is_not_read_instead(monkeypatch, tmp_path):
    (tmp_path / "someone/news").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: pytest.fail("was called"))
    with pytest.raises(InputError, match="there is a local 'someone/news' here"):
        load_corpus(CONFIG, 0)


def test_a_subset_is_for_the_hub():
    with pytest.raises(InputError, match=r"corpus\.subset: 'x' is for data sets of the hub"):
        load_corpus(CorpusConfig(subset="x"), 0)
