"""The leaning section: its kinds, what each reads, and what is written of it."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biasloop.config import LeaningConfig, filled, parse_config, read_yaml
from biasloop.errors import InputError

DOCS = Path(__file__).parents[2] / "docs" / "instruments.md"
KINDS = ("sequence", "judge", "entailment", "embedding")


def test_every_example_of_the_docs_is_a_config_and_every_kind_has_one():
    examples = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    read = [parse_config(read_yaml(text, "docs")).metrics for text in examples]
    assert sorted(one.leaning.kind for one in read if not one.axes) == sorted(KINDS)
    assert any(one.axes for one in read)


def test_runs_of_before_have_the_settings_that_they_had():
    """What a stage is known by has no setting that came later, where none is read."""
    before = {
        "classifier", "candidates", "label_map", "max_tokens", "errors", "damage_articles",
        "batch_size", "precision",
    }  # fmt: skip
    assert set(LeaningConfig().model_dump()) == before
    assert set(LeaningConfig(classifier="x", label_map={"a": "b"}).model_dump()) == before


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_kind_reads_is_written_and_read_back(kind):
    own = {
        "sequence": {"label_map": {"a": "b"}},
        "judge": {"prompt": "{text}?", "label_names": {"a": "b"}},
        "entailment": {"hypothesis": "{label}!", "label_names": {"a": "b"}},
        "embedding": {"strength": 3.0},
    }[kind]
    values = {"classifier": "x/y", "kind": kind, "input": "t {title} b {body}", **own}
    config = parse_config({"metrics": {"leaning": values}})
    written = config.model_dump(mode="json")
    assert all(written["metrics"]["leaning"][name] == value for name, value in own.items())
    assert written["metrics"]["leaning"]["input"] == values["input"]
    assert parse_config(written) == config


@given(st.text(), st.text())
def test_a_value_is_text_whatever_braces_it_has(title, body):
    assert filled("{title}|{body}|{else}|{", {"title": title, "body": body}) == (
        f"{title}|{body}|{{else}}|{{"
    )


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([{"classifier": "builtin"}, {"name": "x"}], "further axes go into metrics.axes"),
        ("builtin", "is a section: write its settings below it"),
    ],
)
def test_what_is_no_section_says_where_it_belongs(value, says):
    with pytest.raises(InputError, match=r"metrics\.leaning") as raised:
        parse_config({"metrics": {"leaning": value}})
    assert says in str(raised.value)
