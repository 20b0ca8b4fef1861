"""One call of the transformers Trainer: token samples in, trained weights out. Knows no articles.

The Trainer brings accelerate (several GPUs, FSDP), bfloat16 and the trackers with it. What it
minimises is the mean loss per token, or an `Objective`. It writes a checkpoint file by file: here
under a name that is never resumed from; once it is done, the files get a manifest of their hashes
and the folder its real name, so that a kill at any moment leaves a whole one.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biasloop.device import Device, keep_freed_memory, make_deterministic
from biasloop.errors import InputError, StoreError
from biasloop.files import canonical_json, new_folder, sha256_file, write_json
from biasloop.models.fast.linear import trained_by_onednn
from biasloop.models.fast.packing import NO_LOSS, can_pack, pack, packed
from biasloop.models.load import LoadedModel
from biasloop.models.tokens import padded

if TYPE_CHECKING:
    import torch
    from transformers import Trainer

#: What the Trainer calls a checkpoint; its step follows.
_PREFIX = "checkpoint-"
_MANIFEST = "manifest.json"
#: Pickled by the Trainer beside the weights, read by nobody.
_NEVER_READ = "training_args.bin"
#: Called with the tokens trained on since the last call.
Progress = Callable[[int], None]


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
    samples: Sequence[Sequence[int]],
    pad_token_id: int,
    unlearned: Sequence[int] | None = None,
) -> dict[str, torch.Tensor]:
    """Pad a batch on the right, to its own longest sample, with the padding's loss masked.

    Because padded positions are neither attended to nor counted in the loss, loss and gradients
    are those of padding to any longer length. The paper pads with end-of-sequence.
    ``unlearned`` is how many of a sample's first tokens have no loss; None: one, which nothing
    predicts.

    Returns
    -------
    dict
        ``input_ids``, ``attention_mask`` and ``labels``, each of shape (samples, length).
    """
    import torch

    input_ids, mask = padded(samples, pad_token_id)
    first = torch.as_tensor(unlearned or [1] * len(samples))[:, None]
    without = (mask == 0) | (torch.arange(input_ids.shape[1]) < first)
    labels = input_ids.masked_fill(without, NO_LOSS)
    return {"input_ids": input_ids, "attention_mask": mask, "labels": labels}


class Checkpoints:
    """The folder of one training's checkpoints; the last whole one is kept.

    Parameters
    ----------
    folder
        Made if it is not there. Only names of checkpoints are touched in it.
    training
        Identifies the training: a checkpoint of another one is not resumed from.
    """

    def __init__(self, folder: Path, training: str) -> None:
        self.folder, self._training = folder, training
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def unfinished(self) -> Path:
        """Where the Trainer writes: its ``output_dir``."""
        return self.folder / "unfinished"

    def latest(self) -> Path | None:
        """Return the last whole checkpoint of this training, and remove every other."""
        steps = {
            int(step): path
            for path in self.folder.glob(f"{_PREFIX}*")
            if (step := path.name.removeprefix(_PREFIX)).isdecimal()
        }
        newest = (steps[step] for step in sorted(steps, reverse=True))
        found = next(filter(self._is_whole, newest), None)
        self._remove_others(found)
        return found

    def keep(self, step: int) -> None:
        """Let the checkpoint that the Trainer has written take the place of the one before."""
        written = self.unfinished / f"{_PREFIX}{step}"
        (written / _NEVER_READ).unlink(missing_ok=True)
        files = {
            str(path.relative_to(written)): sha256_file(path)
            for path in sorted(written.rglob("*"))
            if path.is_file()
        }
        target = self.folder / written.name
        with new_folder(target) as temporary:
            for path in list(written.iterdir()):
                path.rename(temporary / path.name)
            write_json(temporary / _MANIFEST, {"training": self._training, "files": files})
        self._remove_others(target)

    def _is_whole(self, checkpoint: Path) -> bool:
        try:
            manifest = json.loads((checkpoint / _MANIFEST).read_text(encoding="utf-8"))
            return manifest["training"] == self._training and all(
                sha256_file(checkpoint / name) == expected
                for name, expected in manifest["files"].items()
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def _remove_others(self, kept: Path | None) -> None:
        for path in list(self.folder.iterdir()):
            ours = path.name.startswith((_PREFIX, f".{_PREFIX}")) or path == self.unfinished
            if ours and path != kept:
                shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True)
class Objective:
    """What a training minimises where that is not the mean loss per token alone.

    Attributes
    ----------
    weights
        Of each sample's loss; None weighs them alike.
    anchor
        A model of the same vocabulary, which is not trained, that the trained one is held to.
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

    def loss(
        self,
        model: Any,  # noqa: ANN401
        inputs: Mapping[str, torch.Tensor],
        items: torch.Tensor | int | None,
    ) -> torch.Tensor:
        """Compute the loss of a padded batch with its ``weight``; see `step_loss`."""
        import torch

        read = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        logits = model(**read, use_cache=False).logits
        other = None
        if self.anchor is not None and self.kl:
            with torch.no_grad():
                other = self.anchor(**read, use_cache=False).logits
        return step_loss(logits, inputs["labels"], inputs["weight"], items, other, self.kl)


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


def _identify(
    loaded: LoadedModel, samples: Sequence[Sequence[int]], settings: dict[str, Any]
) -> str:
    """Hash what decides a training, so that no other one's checkpoint is resumed from.

    Of each parameter, the first thousand numbers stand for all.
    """
    import torch
    import transformers

    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    precision = [loaded.device.name, loaded.device.precision]
    found = hashlib.sha256(canonical_json([settings, versions, precision]).encode())
    for sample in samples:
        found.update(np.asarray([len(sample), *sample], dtype=np.int64).tobytes())
    for name, parameter in loaded.model.named_parameters():
        found.update(f"{name} {tuple(parameter.shape)}".encode())
        head = parameter.detach().flatten()[:1000]
        found.update(head.float().cpu().numpy().tobytes())
    return found.hexdigest()


@contextlib.contextmanager
def _short_collections() -> Generator[None]:
    """Spare the Trainer, which collects garbage at every start, what is already there."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def _output(checkpoints: Checkpoints | None) -> Generator[Path]:
    """Give the Trainer a folder to write to, and leave nothing half written in it."""
    if checkpoints is None:
        with tempfile.TemporaryDirectory(prefix="biasloop-train-") as folder:
            yield Path(folder)
        return
    try:
        yield checkpoints.unfinished
    finally:
        shutil.rmtree(checkpoints.unfinished, ignore_errors=True)


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
    checkpoints: Path | None = None,
    checkpoint_minutes: float = 10.0,
    save_to: Path | None = None,
    objective: Objective | None = None,
    unlearned: Sequence[int] | None = None,
    method: Mapping[str, Any] | None = None,
) -> TrainingLog:
    """Train a model in place on token samples.

    Parameters
    ----------
    loaded
        The model, in float32 (bfloat16 is used through autocast where ``loaded.device`` says so),
        or one with PEFT's adapters.
    samples
        Token ids of each sample, each of two tokens at least.
    seed
        Of the order of samples and of dropout.
    epochs, steps
        How long: ``steps`` optimiser steps where positive, else ``epochs`` passes.
    on_progress
        Told of the tokens that this call trains on, not of those before a checkpoint.
    checkpoints
        A folder for this training's checkpoints, which is resumed from if it holds one; the
        result is, byte for byte, that of a training which was never stopped. None keeps none.
        The folder is the caller's to delete once the result is safe.
    checkpoint_minutes
        Wall time between two checkpoints; 0 makes one after every step.
    save_to
        Where to gather the weights once trained, if they lie in several processes; of a model with
        adapters, only theirs.
    objective
        What to minimise; None is the mean loss per token.
    unlearned
        How many of each sample's first tokens have no loss; None: one, which nothing predicts.
    method
        What else decides the result, so that no other training's checkpoint is resumed from.

    Raises
    ------
    InputError
        If there is nothing to train on, or a tracker is not installed.
    StoreError
        If a checkpoint cannot be written.
    """
    from transformers import TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    if not samples:
        raise InputError("there is nothing to train on: every sample has fewer than two tokens")
    if "tensorboard" in report_to and not os.environ.get("TENSORBOARD_LOGGING_DIR"):
        # The Trainer would log into its own folder, which is gone once it has trained.
        raise InputError(
            "training.report_to: tensorboard writes into the folder that the environment variable "
            "TENSORBOARD_LOGGING_DIR names: set it"
        )
    make_deterministic(seed)
    keep_freed_memory()
    kept = None
    if checkpoints is not None:
        settings = {
            **{"seed": seed, "batch_size": batch_size, "learning_rate": learning_rate},
            **{"weight_decay": weight_decay, "epochs": epochs, "steps": steps},
            **{"warmup_steps": warmup_steps, "schedule": schedule},
            **({"objective": objective.identity} if objective else {}),
            **({"unlearned": [*unlearned]} if unlearned else {}),
            **({"method": method} if method else {}),
        }
        kept = Checkpoints(checkpoints, _identify(loaded, samples, settings))
    pad_token_id = loaded.tokenizer.pad_token_id
    adapted: Any = loaded.model
    model = adapted.get_base_model() if hasattr(adapted, "get_base_model") else adapted
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    watch = _watch(kept, checkpoint_minutes, on_progress)
    with _output(kept) as folder:
        try:
            arguments = TrainingArguments(
                output_dir=str(folder),
                run_name=run_name,
                per_device_train_batch_size=batch_size // processes,
                **_sharded(processes),
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
                logging_nan_inf_filter=False,
                include_num_input_tokens_seen="non_padding",
                optim="adamw_torch_fused",
                disable_tqdm=True,
                remove_unused_columns=False,
                dataloader_pin_memory=loaded.device.name == "cuda",
            )
            # One process is one GPU: more of them would multiply the batch.
            arguments._n_gpu = min(arguments.n_gpu, 1)
            # Over several processes the layers are wrapped, and packing's attention is not tested.
            packing = can_pack(model) and processes == 1 and objective is None
            # A GPU's time goes into starting operations: padding costs it less than joining.
            joined = packing and loaded.device.name == "cpu"

            without = unlearned or [1] * len(samples)
            weights = (objective and objective.weights) or [1.0] * len(samples)

            def batch(rows: Sequence[tuple[Sequence[int], int, float]]) -> dict[str, torch.Tensor]:
                import torch

                chosen, first, own = zip(*rows, strict=True)
                if joined:
                    return pack(chosen, first)
                found = collate(chosen, pad_token_id, unlearned=first)
                return found | ({"weight": torch.tensor(own)} if objective else {})

            trainer = _trainer(objective)(
                model=loaded.model,
                args=arguments,
                train_dataset=[*zip(samples, without, weights, strict=True)],  # ty: ignore[invalid-argument-type]
                data_collator=batch,
                callbacks=[watch],
            )
        except (ImportError, RuntimeError, ValueError) as error:
            if report_to:
                raise InputError(f"training.report_to {list(report_to)}: {error}") from error
            raise
        trainer.remove_callback(PrinterCallback)
        if objective and objective.anchor is not None:
            objective.anchor.to(trainer.args.device).eval()
        loaded.model.train()
        latest = kept.latest() if kept else None
        attention = packed(model) if packing else contextlib.nullcontext()
        # Autocast gives a layer its type, and so its own product.
        whole = loaded.device == Device("cpu", "float32")
        products = trained_by_onednn(loaded.model) if whole else contextlib.nullcontext()
        try:
            with attention, products, _short_collections():
                result = trainer.train(resume_from_checkpoint=str(latest) if latest else None)
        except Exception as error:
            if watch.saving:
                raise StoreError(
                    f"{checkpoints}: the checkpoint cannot be written ({error}); make room, or "
                    "set training.checkpoint_minutes higher, and run again: it goes on from the "
                    "checkpoint before"
                ) from error
            raise
        if save_to is not None:
            trainer.save_model(str(save_to))
            (save_to / "training_args.bin").unlink(missing_ok=True)  # a pickle
    loaded.model.eval()
    losses = tuple(float(row["loss"]) for row in trainer.state.log_history if "loss" in row)
    return TrainingLog(int(result.global_step), int(trainer.state.num_input_tokens_seen), losses)


def _trainer(objective: Objective | None) -> type[Trainer]:
    """Make the Trainer of an objective, and of batches that predict nothing, as empty lines do."""
    import torch
    from transformers import Trainer

    class Own(Trainer):
        def compute_loss(
            self,
            model: Any,  # noqa: ANN401
            inputs: dict[str, Any],
            return_outputs: bool = False,
            num_items_in_batch: torch.Tensor | int | None = None,
        ) -> Any:  # noqa: ANN401
            if objective:
                return objective.loss(model, inputs, num_items_in_batch)
            # Their loss is 0 and moves nothing; divided by no token it would be no number.
            if num_items_in_batch is not None:
                num_items_in_batch = torch.as_tensor(num_items_in_batch).clamp(min=1)
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    return Own


def _sharded(processes: int) -> dict[str, Any]:
    """Say how processes share a model: by FSDP on GPUs; on CPUs each holds it whole."""
    import torch

    # accelerate 1.15 has FSDP for accelerators only, and quietly takes DDP on a CPU.
    if processes == 1 or not torch.cuda.is_available():
        return {}
    return {"fsdp": True, "fsdp_config": {"version": 2, "state_dict_type": "FULL_STATE_DICT"}}


def _watch(kept: Checkpoints | None, minutes: float, on_progress: Progress | None) -> Any:  # noqa: ANN401
    """Make the callback that tells of progress, and has checkpoints written and kept."""
    from accelerate.utils import broadcast_object_list
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        saving = False

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
            self.saved, self.told = time.monotonic(), state.num_input_tokens_seen

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
            if on_progress:
                on_progress(state.num_input_tokens_seen - self.told)
                self.told = state.num_input_tokens_seen
            # After the last step there is nothing to resume.
            if kept and state.global_step < state.max_steps:
                # Clocks differ: the first process decides for all.
                due = [time.monotonic() - self.saved >= 60 * minutes]
                self.saving = control.should_save = broadcast_object_list(due)[0]

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
            import torch

            together = torch.distributed.is_available() and torch.distributed.is_initialized()
            if together:
                torch.distributed.barrier()
            if kept and state.is_world_process_zero:
                kept.keep(state.global_step)
            if together:
                torch.distributed.barrier()
            self.saved, self.saving = time.monotonic(), False

    return Watch()
