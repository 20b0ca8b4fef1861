"""What a user would write without biasloop: plain loops around transformers, float32, no tricks.

They are what speeds are held against, and the slow twins that tests hold results against.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def generate_one_by_one(
    model: Any,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    end: int,
) -> list[list[int]]:
    """Continue each prompt greedily by itself; the end-of-sequence token stays."""
    import torch

    written = []
    for prompt in prompts:
        input_ids = torch.tensor([list(prompt)], device=model.device)
        output = model.generate(
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids),
            max_new_tokens=new_tokens,
            do_sample=False,
            pad_token_id=end,
            eos_token_id=end,
        )
        written.append(output[0, len(prompt) :].tolist())
    return written


def generate_in_batches(
    model: Any,
    prompts: Sequence[Sequence[int]],
    new_tokens: int,
    end: int,
    batch_size: int,
) -> list[list[int]]:
    """Continue prompts greedily in batches, in their order, padded on the left and masked."""
    import torch

    written = []
    for start in range(0, len(prompts), batch_size):
        batch = prompts[start : start + batch_size]
        width = max(len(prompt) for prompt in batch)
        rows = [[end] * (width - len(prompt)) + list(prompt) for prompt in batch]
        mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in batch]
        output = model.generate(
            input_ids=torch.tensor(rows, device=model.device),
            attention_mask=torch.tensor(mask, device=model.device),
            max_new_tokens=new_tokens,
            do_sample=False,
            pad_token_id=end,
            eos_token_id=end,
        )
        for row in output[:, width:].tolist():
            written.append(row[: row.index(end) + 1] if end in row else row)
    return written


def classify_one_by_one(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    max_tokens: int,
    padded: bool = False,
) -> np.ndarray:
    """Probabilities of each text by itself, shape (texts, labels); ``padded`` to `max_tokens`."""
    import torch

    rows = []
    for text in texts:
        inputs = tokenizer(
            text,
            truncation=True,
            max_length=max_tokens,
            padding="max_length" if padded else False,
            return_tensors="pt",
        ).to(model.device)
        with torch.no_grad():
            logits = model(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
            ).logits
        rows.append(torch.softmax(logits[0], dim=-1).cpu().numpy())
    return np.array(rows)


def perplexity_one_by_one(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    max_tokens: int,
) -> np.ndarray:
    """Perplexity of each text by itself, from the model's own loss, shape (texts,)."""
    import torch

    values = []
    for text in texts:
        inputs = tokenizer(text, truncation=True, max_length=max_tokens, return_tensors="pt")
        input_ids = inputs["input_ids"].to(model.device)
        with torch.no_grad():
            loss = model(input_ids=input_ids, labels=input_ids).loss
        values.append(float(torch.exp(loss)))
    return np.array(values)
