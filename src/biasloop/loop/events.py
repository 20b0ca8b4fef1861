"""What a run tells while it goes on. Knows nothing of how it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Event:
    """One thing that happened in a run.

    Attributes
    ----------
    event
        What happened.
    stage, name
        The stage's kind and name; empty for the run's own events.
    done, total
        Stages finished and stages of the run.
    tokens
        Tokens trained on, or written, in this stage so far.
    seconds
        Since the stage, or the run, began.
    left
        Estimated seconds to the end of the run; None while there is nothing to go by.
    message
        For warnings and the end.
    """

    event: Literal["run", "start", "progress", "finish", "warning", "end"]
    stage: str = ""
    name: str = ""
    done: int = 0
    total: int = 0
    tokens: int = 0
    seconds: float = 0.0
    left: float | None = None
    message: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the event as plain JSON values, empty ones left out."""
        return {key: value for key, value in asdict(self).items() if value not in ("", None)}


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """Show nothing."""
