"""One call of the transformers Trainer: token samples in, trained weights out. Knows no articles.

The Trainer brings accelerate (several GPUs, FSDP), bfloat16 and the trackers with it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biasloop.device import make_deterministic
from biasloop.errors import InputError
from biasloop.models import LoadedModel

if TYPE_CHECKING:
    import torch

#: Called with the tokens trained on since the last call.
Progress = Callable[[int], None]

#: The label of a position that has no loss.
NO_LOSS = -100


@dataclass(frozen=True)
class TrainingLog:
    """What a training did.

    Attributes
    ----------
    steps
        Optimiser steps.
    tokens
        Tokens trained on over all epochs, padding left out.
    losses
        Mean training loss per token, in nats, of each optimiser step.
    """

    steps: int
    tokens: int
    losses: tuple[float, ...]


def collate(
    samples: Sequence[Sequence[int]], pad_token_id: int, pad_to: int | None = None
) -> dict[str, torch.Tensor]:
    """Pad a batch on the right, to its own longest sample, with the padding's loss masked.

    Because padded positions are neither attended to nor counted in the loss, loss and gradients
    are those of padding to any longer length.

    Parameters
    ----------
    samples
        Token ids of each sample.
    pad_token_id
        The token to pad with (the paper pads with end-of-sequence).
    pad_to
        A longer length to pad to; None pads to the longest sample.

    Returns
    -------
    dict
        ``input_ids``, ``attention_mask`` and ``labels``, each of shape (samples, length).
    """
    import torch

    length = max(len(sample) for sample in samples)
    length = max(length, pad_to or 0)
    input_ids = torch.full((len(samples), length), pad_token_id, dtype=torch.long)
    attention_mask = torch.zeros((len(samples), length), dtype=torch.long)
    labels = torch.full((len(samples), length), NO_LOSS, dtype=torch.long)
    for row, sample in enumerate(samples):
        tokens = torch.as_tensor(sample, dtype=torch.long)
        input_ids[row, : len(sample)] = tokens
        attention_mask[row, : len(sample)] = 1
        labels[row, : len(sample)] = tokens
    return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}


def train(
    loaded: LoadedModel,
    samples: Sequence[Sequence[int]],
    *,
    seed: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    epochs: float = 1.0,
    steps: int = -1,
    warmup_steps: int = 0,
    schedule: str = "linear",
    report_to: Sequence[str] = (),
    run_name: str = "biasloop",
    on_progress: Progress | None = None,
) -> TrainingLog:
    """Train a model in place on token samples.

    Parameters
    ----------
    loaded
        The model, in float32 (bfloat16 is used through autocast where ``loaded.device`` says so).
    samples
        Token ids of each sample, each of two tokens at least.
    seed
        Of the order of samples and of dropout.
    epochs, steps
        How long: ``steps`` optimiser steps where positive, else ``epochs`` passes.
    report_to
        Trackers of the Trainer, for example ``("tensorboard",)``.

    Raises
    ------
    InputError
        If there is nothing to train on, or a tracker is not installed.
    """
    from transformers import Trainer, TrainerCallback, TrainingArguments

    if not samples:
        raise InputError("there is nothing to train on: every sample has fewer than two tokens")
    make_deterministic(seed)
    losses: list[float] = []
    seen = 0

    class Watch(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ANN401
            if logs and "loss" in logs:
                losses.append(float(logs["loss"]))

    pad_token_id = loaded.tokenizer.pad_token_id

    def collate_and_count(batch: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        nonlocal seen
        tokens = sum(len(sample) for sample in batch)
        seen += tokens
        if on_progress:
            on_progress(tokens)
        return collate(batch, pad_token_id)

    with tempfile.TemporaryDirectory(prefix="biasloop-train-") as folder:
        try:
            arguments = TrainingArguments(
                output_dir=folder,
                run_name=run_name,
                per_device_train_batch_size=batch_size,
                num_train_epochs=epochs,
                max_steps=steps,
                learning_rate=learning_rate,
                weight_decay=weight_decay,
                warmup_steps=warmup_steps,
                lr_scheduler_type=schedule,
                seed=seed,
                data_seed=seed,
                bf16=loaded.device.precision == "bfloat16",
                use_cpu=loaded.device.name == "cpu",
                report_to=list(report_to) or "none",
                save_strategy="no",
                logging_strategy="steps",
                logging_steps=1,
                disable_tqdm=True,
                remove_unused_columns=False,
                dataloader_pin_memory=loaded.device.name == "cuda",
            )
            trainer = Trainer(
                model=loaded.model,
                args=arguments,
                train_dataset=list(samples),  # ty: ignore[invalid-argument-type]
                data_collator=collate_and_count,
                callbacks=[Watch()],
            )
        except (ImportError, RuntimeError, ValueError) as error:
            if report_to:
                raise InputError(f"training.report_to {list(report_to)}: {error}") from error
            raise
        from transformers.trainer_callback import PrinterCallback

        trainer.remove_callback(PrinterCallback)
        loaded.model.train()
        result = trainer.train()
    loaded.model.eval()
    return TrainingLog(steps=int(result.global_step), tokens=seen, losses=tuple(losses))
