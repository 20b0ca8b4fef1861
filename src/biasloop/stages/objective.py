"""What a training minimises where that is not the mean loss per token alone. Knows tensors.

Samples may weigh more or less, and the model may be held to another one, the anchor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biasloop.models.fast.joined import NO_LOSS

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Objective:
    """An objective.

    Attributes
    ----------
    weights
        Of each sample's loss; None weighs them alike.
    anchor
        A model of the same vocabulary, which is not trained.
    kl
        What the divergence from it weighs.
    """

    weights: Sequence[float] | None = None
    anchor: Any = None
    kl: float = 0.0

    @property
    def identity(self) -> dict[str, Any]:
        """What of it decides a training, as JSON; which anchor, the training's stage knows."""
        return {"weights": None if self.weights is None else [*self.weights], "kl": self.kl}

    def install(self, trainer: Any) -> None:  # noqa: ANN401 - a Trainer
        """Have a Trainer of padded samples minimise this."""
        rows, collate = trainer.train_dataset, trainer.data_collator
        weights = self.weights or [1.0] * len(rows)

        def collate_weighted(batch: Sequence[tuple[Any, float]]) -> dict[str, torch.Tensor]:
            import torch

            found = collate([row for row, _ in batch])
            own = [weight for _, weight in batch]
            return {**found, "weight": torch.tensor(own, dtype=torch.float32)}

        trainer.train_dataset = [*zip(rows, weights, strict=True)]
        trainer.data_collator = collate_weighted
        trainer.compute_loss = self._compute
        if self.anchor is not None:
            self.anchor.to(trainer.args.device).eval()

    def _compute(
        self,
        model: Any,  # noqa: ANN401
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:  # noqa: ANN401 - as `Trainer.compute_loss`
        import torch

        read = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        outputs = model(**read, use_cache=False)
        other = None
        if self.anchor is not None and self.kl:
            with torch.no_grad():
                other = self.anchor(**read, use_cache=False).logits
        loss = step_loss(
            outputs.logits, inputs["labels"], inputs["weight"], num_items_in_batch, other, self.kl
        )
        return (loss, outputs) if return_outputs else loss


def step_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    items: torch.Tensor | int | None = None,
    anchor: torch.Tensor | None = None,
    kl: float = 0.0,
) -> torch.Tensor:
    """Compute the loss of a step: weighted cross-entropy, and the divergence from an anchor.

    Parameters
    ----------
    logits
        Shape (samples, length, vocabulary).
    labels
        Shape (samples, length): each position's own token, `NO_LOSS` where it is not predicted.
    weights
        Shape (samples,).
    items
        Predicted tokens of the step, which the sums are divided by; None counts these.
    anchor
        Logits of the anchor; None has no penalty.
    kl
        What KL(anchor || model), summed over the vocabulary, weighs against the loss of a token.

    Returns
    -------
    torch.Tensor
        A number in nats, float32.
    """
    import torch

    targets, counted = labels[:, 1:], labels[:, 1:] != NO_LOSS
    logs = logits[:, :-1].float().log_softmax(-1)
    chosen = logs.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    loss = -(chosen * weights[:, None].to(chosen.dtype) * counted).sum()
    if anchor is not None:
        others = anchor[:, :-1].float().log_softmax(-1)
        divergence = torch.nn.functional.kl_div(logs, others, reduction="none", log_target=True)
        loss = loss + kl * (divergence.sum(-1) * counted).sum()
    return loss / (counted.sum() if items is None else items)
