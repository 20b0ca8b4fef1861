"""The baseline of fine-tuning: a transformers Trainer as first written. Knows no speed."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

from biasloop.models.load import LoadedModel, quiet
from biasloop.stages.train import Progress, TrainingLog

#: What the published protocol pads every sample to.
PADDED_TOKENS = 512


def train_padded(
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
    on_progress: Progress | None = None,
    **_: Any,
) -> TrainingLog:
    """Train as `stages.train` does, in float32 and with every sample padded to 512 tokens.

    The order of samples, and so the batches, are the same. As in `stages.train`, a sample's first
    token, which nothing predicts, has no label.
    """
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed
    from transformers.trainer_callback import PrinterCallback

    quiet()
    width = min(PADDED_TOKENS, loaded.context)
    pad = loaded.tokenizer.pad_token_id
    rows = []
    for sample in samples:
        padding = width - len(sample)
        rows.append(
            {
                "input_ids": torch.tensor([*sample, *[pad] * padding]),
                "attention_mask": torch.tensor([1] * len(sample) + [0] * padding),
                "labels": torch.tensor([-100, *sample[1:], *[-100] * padding]),
            }
        )
    told = 0

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            nonlocal told
            if on_progress:
                on_progress(state.num_input_tokens_seen - told)
            told = state.num_input_tokens_seen

    set_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=loaded.model,
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=batch_size,
                num_train_epochs=epochs,
                max_steps=steps,
                learning_rate=learning_rate,
                weight_decay=weight_decay,
                warmup_steps=warmup_steps,
                lr_scheduler_type=schedule,
                seed=seed,
                data_seed=seed,
                logging_steps=1,
                include_num_input_tokens_seen="non_padding",
                use_cpu=loaded.device.name == "cpu",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=rows,  # ty: ignore[invalid-argument-type]
            callbacks=[Watch()],
        )
        trainer.remove_callback(PrinterCallback)
        result = trainer.train()
    loaded.model.eval()
    losses = tuple(float(row["loss"]) for row in trainer.state.log_history if "loss" in row)
    return TrainingLog(result.global_step, int(trainer.state.num_input_tokens_seen), losses)
