"""The instruments' cards, made ready to show: errors, confusion, range, candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biasloop.errors import InputError
from biasloop.loop.results import Results
from biasloop.report import formatting as fmt

#: By what an article is held too damaged to read; confidence, of which the card has a bound, too,
#: decides nothing.
_DAMAGE = {
    "words": "words that are not said again",
    "oov": "unknown words, of all different ones, 0 to 1",
}
_ERRORS = (
    ("macro_f1", "macro-F1"),
    ("accuracy", "accuracy"),
    ("log_loss", "log-loss (nats)"),
    ("brier", "Brier score"),
    ("expected_calibration_error", "expected calibration error"),
)


@dataclass(frozen=True)
class ConfusionTable:
    """Counts by true label (rows) and predicted label; ``shade`` is each row's share, 0 to 1."""

    title: str
    labels: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, float], ...]], ...]


@dataclass(frozen=True)
class Instrument:
    """One card for a reader."""

    metric: str
    name: str
    trained_on: str
    parts: tuple[str, ...]
    errors: tuple[tuple[str, tuple[str, ...]], ...]
    confusions: tuple[ConfusionTable, ...]
    candidates: tuple[tuple[str, str, bool], ...]
    domain: tuple[tuple[str, ...], ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def require_leaning_card(results: Results) -> None:
    """Refuse to report a bias without its instrument's error.

    Raises
    ------
    InputError
        If leaning was scored but no card says how well its instrument reads held-out articles.
    """
    if not results.leaning_scores.height:
        return
    cards = [card for card in results.cards if card.get("metric") == "leaning"]
    if not cards or not (cards[0].get("held_out") or {}).get("articles"):
        raise InputError(
            f"{results.folder}: leaning was scored, but the run has no card that gives its "
            "classifier's error on held-out articles; a bias figure without it is not reported. "
            "Run 'biasloop run' again on this folder, so that the instrument's card is written"
        )


def instrument(card: Mapping[str, Any]) -> Instrument:
    """Make one card ready to show."""
    held_out = card.get("held_out") or {}
    bounds = card.get("domain") or {}
    parts = {part: held_out[part] for part in fmt.HELD_OUT if held_out.get(part)}
    trained = card.get("trained_on") or 0
    return Instrument(
        metric=fmt.name(card["metric"]),
        name=fmt.visible(card.get("instrument", "")),
        trained_on=f"trained on {trained:,} texts" if trained else "came trained",
        parts=tuple(f"{fmt.HELD_OUT[part]} (n = {found['n']:,})" for part, found in parts.items()),
        errors=tuple(
            (title, tuple(fmt.number(found.get(key), 3) for found in parts.values()))
            for key, title in _ERRORS
            if any(found.get(key) is not None for found in parts.values())
        ),
        confusions=tuple(_confusion(part, found) for part, found in parts.items()),
        candidates=tuple(
            (fmt.name(one["name"]), fmt.number(one["macro_f1"], 3), bool(one["chosen"]))
            for one in card.get("candidates", ())
        ),
        domain=tuple(
            (title, *(fmt.number(bounds[measure].get(end)) for end in ("low", "high")))
            for measure, title in _DAMAGE.items()
            if measure in bounds
        ),
        warnings=tuple(fmt.visible(text) for text in card.get("warnings", ())),
        notes=tuple(fmt.visible(text) for text in card.get("notes", ())),
    )


def _confusion(part: str, found: Mapping[str, Any]) -> ConfusionTable:
    labels = tuple(fmt.name(label) for label in found["labels"])
    rows: list[tuple[str, tuple[tuple[str, float], ...]]] = []
    counts: Sequence[Sequence[int]] = found["confusion"]
    for label, row in zip(labels, counts, strict=True):
        total = sum(row) or 1
        rows.append((label, tuple((f"{count:,}", count / total) for count in row)))
    return ConfusionTable(fmt.HELD_OUT[part], labels, tuple(rows))
