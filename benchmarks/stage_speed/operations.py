"""Floating-point operations that a stage must do: two per weight and token, and attention."""

from __future__ import annotations

from typing import Any


def linear_weights(model: Any) -> tuple[int, int]:
    """Weights of a model's linear layers, and of its layer over the vocabulary (0 if it has none).

    The second is not counted in the first.
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    body = sum(
        module.weight.numel()
        for module in model.modules()
        if isinstance(module, (torch.nn.Linear, Conv1D)) and module is not head
    )
    return body, 0 if head is None else head.weight.numel()


def reading(model: Any, lengths: list[int], judged: bool, causal: bool = True) -> float:
    """Operations of reading texts of these lengths once.

    Parameters
    ----------
    judged
        Whether probabilities are wanted after every token, or after a text's last one only.
    causal
        Whether a token attends to those before it only.
    """
    body, head = linear_weights(model)
    total = 0.0
    for length in lengths:
        total += 2 * body * length + 2 * head * (length if judged else 1)
        # Queries by keys and weights by values: 2 multiply-adds per width, pair and layer.
        pairs = length * (length + 1) / 2 if causal else length * length
        total += 4 * _width(model) * pairs
    return total


def writing(model: Any, prompt: int, tokens: int) -> float:
    """Operations of writing further tokens one after the other, after a prompt was read."""
    body, head = linear_weights(model)
    attended = sum(range(prompt + 1, prompt + tokens + 1))
    return 2.0 * (body + head) * tokens + 4 * _width(model) * attended


def _width(model: Any) -> int:
    """Width times layers."""
    return model.config.hidden_size * model.config.num_hidden_layers
