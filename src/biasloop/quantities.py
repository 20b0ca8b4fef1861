"""What is measured: one record per quantity, read by every summary, test, table and figure.

A metric without a record has its mean and interval in the summary. With one it is shown, tested
and looked at for collapse as the record says; `declare` adds records, from a metric's own module
too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Collapse:
    """How a quantity that gets worse is a sign of collapse.

    Attributes
    ----------
    worse
        The sign of a change for the worse.
    negligible
        A change within this counts as none; of a logarithm where the quantity is tested as one.
    name, short
        What a sentence, and the first table, call it.
    says
        What its worsening says of the model.
    asks
        The question in a verdict's table, and the measure that answers it.
    digits
        Of its levels.
    """

    worse: Literal[-1, 1]
    negligible: float
    name: str
    short: str
    says: str
    asks: str
    digits: int = 2


@dataclass(frozen=True)
class Quantity:
    """A column of figures, by what a reader must know of it.

    Attributes
    ----------
    name
        In the score tables; ``share`` stands for ``share:LABEL`` of every label.
    label
        Heading of its column in the report's tables; empty for no column.
    metric
        The metric of the config that gives it. A set without the first quantity of a metric lacks
        that metric.
    section
        Of the report: ``leaning`` or a key of `SECTIONS`.
    bounds
        Lowest and highest value, None where there is none: intervals of levels end there.
    percent
        Is it a share of 1, written in percent?
    binary
        Is it 0 or 1 of each article, so that a mean of 0 or 1 has a score interval?
    geometric
        Is its geometric mean shown, too?
    title, caption, unit
        Of its figure, and of that figure's vertical axis; no title, no figure.
    tested
        Its name in the table of trends; empty for no tests.
    digits
        Of its changes there.
    log
        Is its logarithm tested?
    collapse
        Set where its worsening is a sign of collapse; it must be tested.
    family
        Does it stand for every ``NAME:MEMBER``? See `shown`.
    """

    name: str
    label: str = ""
    metric: str = ""
    section: str = ""
    bounds: tuple[float | None, float | None] = (None, None)
    percent: bool = False
    binary: bool = False
    geometric: bool = False
    title: str = ""
    caption: str = ""
    unit: str = ""
    tested: str = ""
    digits: int = 3
    log: bool = False
    collapse: Collapse | None = None
    family: bool = False

    @property
    def outcome(self) -> str:
        """Its name among what is tested."""
        return f"log_{self.name}" if self.log else self.name


#: Anchor -> title, line and text of each section of figures of the text itself, and its columns.
SECTIONS: dict[str, tuple[str, str, str, int]] = {
    "perplexity": (
        "Quality and perplexity",
        "of what the models write, and of real text under each model",
        "Perplexity of generated text falls while quality falls, since a collapsed model writes "
        "what the base model finds easy; so it cannot show collapse alone. What each model makes "
        "of real text that it never saw can.",
        2,
    ),
    "diversity": (
        "Diversity",
        "distinct words, repetition, likeness of the articles to each other",
        "",
        3,
    ),
    "pairs": (
        "Pairs of texts",
        "which of two texts that differ in one name a model finds likelier: no classifier reads it",
        "What comes after the name counts, so that no name counts by being frequent (unless "
        "metrics.pairs.likelihood is whole). Intervals are over pairs.",
        2,
    ),
    "benchmarks": (
        "Benchmarks",
        "tasks of the LM Evaluation Harness",
        "Of the models, not of what they write; of each task, the metrics that the harness gives.",
        3,
    ),
}

_UNIT = (0.0, 1.0)
_NAMED = ("label", "title")

#: Name -> record, in the order of columns and figures within a section, and of signs of collapse.
QUANTITIES: dict[str, Quantity] = {}


def declare(*records: Quantity) -> None:
    """Add quantities.

    Raises
    ------
    ValueError
        If a name is taken, a section is unknown, or what asks for one or for a test has none.
    """
    for record in records:
        if record.name in QUANTITIES:
            raise ValueError(f"the quantity '{record.name}' is declared twice")
        own, known = f"the quantity '{record.name}'", ("leaning", *SECTIONS)
        if record.section not in ("", *known):
            raise ValueError(f"{own} has the section '{record.section}'; known: {', '.join(known)}")
        if (record.label or record.title) and not record.section:
            raise ValueError(f"{own} has a label or title, and no section to be shown in")
        if record.collapse and not record.tested:
            raise ValueError(f"{own} is a sign of collapse, and its change is not tested")
        QUANTITIES[record.name] = record


def quantity(name: str) -> Quantity:
    """Give the record of a quantity, or of its family (``share:left`` is of ``share``)."""
    return QUANTITIES.get(name) or QUANTITIES.get(name.partition(":")[0]) or Quantity(name)


def shown(names: Iterable[str]) -> list[Quantity]:
    """List the records of columns and figures; of a family, one for each member among ``names``.

    A member's label and title have it in the place of ``{member}``.
    """
    there = sorted(set(names))
    found = []
    for record in QUANTITIES.values():
        if not record.family:
            found.append(record)
            continue
        for name in there:
            family, _, member = name.partition(":")
            if family == record.name:
                texts = {key: getattr(record, key).replace("{member}", member) for key in _NAMED}
                found.append(replace(record, name=name, **texts))
    return found


def tested() -> dict[str, Quantity]:
    """Give every quantity whose change is tested, by its name among the outcomes."""
    return {record.outcome: record for record in QUANTITIES.values() if record.tested}


def signs() -> dict[str, Collapse]:
    """Give the signs of collapse, by outcome, in the order in which they are reported."""
    return {name: record.collapse for name, record in tested().items() if record.collapse}


declare(
    Quantity("share", section="leaning", bounds=_UNIT, percent=True, binary=True),
    Quantity("probability", section="leaning", bounds=_UNIT, percent=True),
    Quantity(
        "distance:tv",
        "distance, total variation",
        section="leaning",
        bounds=_UNIT,
        title="Distance from the real articles",
        caption="Total variation between the shares of all leanings: the largest difference in the "
        "share of any group of leanings; 0 alike, 1 nothing in common.",
        unit="distance, 0 to 1",
    ),
    Quantity(
        "outside_domain",
        "cannot be read",
        section="leaning",
        bounds=_UNIT,
        percent=True,
        binary=True,
        title="Articles that cannot be read",
        caption="Too damaged for the classifier to tell the leanings apart, as tested on real "
        "articles damaged alike. Above the limit (red) every leaning figure is withheld.",
        unit="share of articles, %",
    ),
    Quantity(
        "mentions",
        "mention a name",
        section="leaning",
        bounds=_UNIT,
        percent=True,
        binary=True,
    ),
    Quantity("leaning_agreement", bounds=_UNIT, binary=True),
    Quantity("leaning_confidence", bounds=_UNIT),
    Quantity(
        "quality",
        "quality",
        "quality",
        "perplexity",
        bounds=(0.0, 3.0),
        title="Text quality",
        caption="Mean text quality index of the generated articles; ",
        unit="index, 0 noise to 3 clean",
        tested="text quality",
        collapse=Collapse(
            -1,
            0.05,
            "text quality",
            "quality index",
            "its sentences are less well formed",
            "Are its sentences less well formed? Quality index, 0 to 3",
        ),
    ),
    Quantity(
        "perplexity",
        "perplexity",
        "perplexity",
        "perplexity",
        geometric=True,
        title="Perplexity of the generated articles",
        caption="Under the untouched base model; mean over articles.",
        unit="perplexity",
    ),
    Quantity("perplexity:geometric", "perplexity, geometric mean", section="perplexity"),
    Quantity(
        "distinct_1",
        "distinct-1",
        "diversity",
        "diversity",
        bounds=_UNIT,
        title="Distinct words",
        caption="Different words per word of an article.",
        unit="share",
    ),
    Quantity(
        "distinct_2",
        "distinct-2",
        "diversity",
        "diversity",
        bounds=_UNIT,
        title="Distinct word pairs",
        caption="Different pairs of words per pair of an article. A fall is collapse: articles "
        "repeat themselves.",
        unit="share",
        tested="distinct word pairs",
        digits=4,
        collapse=Collapse(
            -1,
            0.02,
            "distinct word pairs within an article",
            "distinct word pairs",
            "its articles repeat themselves",
            "Do its articles repeat themselves more? Share of distinct word pairs, 0 to 1",
        ),
    ),
    Quantity(
        "distinct_3",
        "distinct-3",
        "diversity",
        "diversity",
        bounds=_UNIT,
        title="Distinct trigrams",
        caption="Different trigrams per trigram.",
        unit="share",
    ),
    Quantity(
        "repetition",
        "repetition",
        "diversity",
        "diversity",
        bounds=_UNIT,
        title="Repetition",
        caption="4-grams that repeat one earlier in the article.",
        unit="share",
    ),
    Quantity(
        "self_bleu",
        "self-BLEU",
        "diversity",
        "diversity",
        bounds=_UNIT,
        title="Likeness of the articles to each other",
        caption="Self-BLEU: BLEU-4 of sampled articles against each other. A rise is collapse: "
        "articles grow alike.",
        unit="0 to 1",
        tested="self-BLEU",
        collapse=Collapse(
            1,
            0.02,
            "likeness of the articles to each other (self-BLEU)",
            "self-BLEU",
            "its articles grow alike",
            "Do its articles grow alike? Self-BLEU, 0 to 1",
        ),
    ),
    Quantity(
        "vocabulary",
        "vocabulary",
        "diversity",
        "diversity",
        title="Vocabulary",
        caption="Different words of the whole generation.",
        unit="words",
    ),
    Quantity(
        "holdout_perplexity",
        "held-out perplexity",
        "perplexity",
        "perplexity",
        geometric=True,
        title="How badly each model predicts real text",
        caption="Perplexity on real articles that no model was trained on; mean over articles. A "
        "rise is collapse: the model forgets.",
        unit="perplexity",
        tested="log perplexity on held-out real text",
        log=True,
        collapse=Collapse(
            1,
            0.05,
            "perplexity on held-out real text",
            "perplexity",
            "it forgets real text",
            "Does it forget real text? Perplexity of held-out real articles (change in %)",
            digits=1,
        ),
    ),
    Quantity(
        "pair_first",
        "first text likelier",
        "pairs",
        "pairs",
        bounds=_UNIT,
        percent=True,
        binary=True,
        title="Pairs whose first text is likelier",
        caption="Share of pairs; of a stereotype, the first text agrees with it. 50\u202f% is no "
        "preference.",
        unit="share of pairs, %",
    ),
    Quantity(
        "pair_log_odds",
        "log-odds of the first text",
        "pairs",
        "pairs",
        title="Log-odds of the first text against the second",
        caption="Mean over pairs; 0 is no preference.",
        unit="nats",
        tested="log-odds of the first text of a pair",
    ),
    Quantity(
        "pair_name_log_odds",
        "log-odds of the first pair's group",
        "pairs",
        "pairs",
        title="Log-odds of one group's name",
        caption="Of the text that names the group of the file's first pair (built in: Republicans) "
        "against the other, whatever is said of it; 0 is no preference.",
        unit="nats",
        tested="log-odds of one group's name in a pair",
    ),
)
