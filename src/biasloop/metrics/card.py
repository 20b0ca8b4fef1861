"""The card of an instrument: what it is, and its error on articles that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biasloop.files import write_json

#: The card's file in an instrument's folder.
FILE = "card.json"


@dataclass(frozen=True)
class Card:
    """What a reader must know of an instrument before believing its figures.

    Attributes
    ----------
    metric, instrument
        The metric, and in words what reads it.
    labels
        What the instrument tells apart.
    trained_on
        Articles (for quality: sentences) that it was trained on here; 0 when it came trained.
    by_article, by_source
        `evaluation.evaluate` with articles held out, and with whole sources held out (None with a
        note where that cannot be done).
    candidates
        ``name, macro_f1, chosen`` of every instrument that was tried.
    domain
        Measure -> ``low`` and ``high`` of what can be read, None where that side is open.
    damage
        `damage.DamageCurve` as JSON: how it errs on damaged articles; None where it was not tried.
    errors
        Which of the two held-out parts, ``sources`` or ``articles``, tells how it errs on
        generated text; where sources could not be held out, ``articles`` in any case.
    warnings, notes
        What weakens the figures, and what else to know.
    """

    metric: str
    instrument: str
    labels: Sequence[str]
    trained_on: int
    by_article: Mapping[str, Any]
    by_source: Mapping[str, Any] | None = None
    candidates: Sequence[Mapping[str, Any]] = ()
    domain: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    damage: Mapping[str, Any] | None = None
    errors: str = "sources"
    warnings: Sequence[str] = ()
    notes: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Give the card as a JSON value."""
        return {
            "metric": self.metric,
            "instrument": self.instrument,
            "labels": list(self.labels),
            "trained_on": self.trained_on,
            "held_out": {"articles": self.by_article, "sources": self.by_source},
            "candidates": list(self.candidates),
            "domain": dict(self.domain),
            "damage": self.damage,
            "errors": self.errors,
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }

    def write(self, folder: Path) -> None:
        """Write the card into the instrument's folder."""
        write_json(folder / FILE, self.to_json())
