"""The instruments' cards, made ready to show: errors, confusion, range, candidates."""

from __future__ import annotations

from collections.abc import Mapping
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
_ERRORS = {
    "macro_f1": "macro-F1",
    "accuracy": "accuracy",
    "log_loss": "log-loss (nats)",
    "brier": "Brier score",
    "expected_calibration_error": "expected calibration error",
}


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


def instrument(card: Mapping[str, Any]) -> dict[str, Any]:
    """Add to a card what a page shows of it: its errors and its range, by what to call them."""
    held_out, bounds = card.get("held_out") or {}, card.get("domain") or {}
    parts = {title: held_out[part] for part, title in fmt.HELD_OUT.items() if held_out.get(part)}
    errors = {title: [found.get(key) for found in parts.values()] for key, title in _ERRORS.items()}
    return {
        **{"instrument": "", "trained_on": 0, "candidates": (), "warnings": (), "notes": ()},
        **card,
        "parts": parts,
        "errors": {
            title: values
            for title, values in errors.items()
            if any(value is not None for value in values)
        },
        "domain": {title: bounds[name] for name, title in _DAMAGE.items() if name in bounds},
    }
