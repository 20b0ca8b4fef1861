"""Train every weight; what other methods do differently, they override. Knows no articles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasloop.config import TrainingConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Full:
    """Train every weight."""

    config: TrainingConfig

    @property
    def identity(self) -> dict[str, Any]:
        """Settings of its own that decide the result."""
        return {}

    def require(self) -> None:
        """Refuse what is not installed.

        Raises
        ------
        InputError
            If something is not.
        """

    def begin(self, model: PreTrainedModel, seed: int) -> Any:  # noqa: ANN401
        """Return what to train, of a model that is changed in place; ``seed`` is of new weights."""
        return model

    def end(self, trained: Any, kept: Path | None = None) -> None:  # noqa: ANN401
        """Leave the model whole, in place; put what belongs beside it into the folder ``kept``."""

    def gather(self, start: Path, out: Path, kept: Path | None = None) -> None:
        """Make what several processes saved in the folder ``out`` a whole model, in its place.

        ``start`` is the folder of the model that they started from; ``kept`` as for `end`.
        """

    def trainable(self, model: PreTrainedModel) -> int:
        """Count the numbers that are trained."""
        return sum(parameter.numel() for parameter in model.parameters())
