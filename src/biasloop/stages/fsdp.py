"""One fine-tuning in several processes, a GPU each: for a model that is larger than one GPU.

accelerate's FSDP shards weights, gradients and optimiser over them. The processes are started by
torch's launcher and given a folder, never code. Knows no regime and no store.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator
from dataclasses import asdict, replace
from pathlib import Path

import polars as pl

from biasloop import errors
from biasloop.config import GenerationConfig, TrainingConfig
from biasloop.device import choose_for_training
from biasloop.errors import BiasloopError, InputError
from biasloop.files import write_json
from biasloop.models.load import load_model
from biasloop.stages.finetune import finetune
from biasloop.stages.methods import method_of
from biasloop.stages.train import Progress, TrainingLog
from biasloop.tables import ARTICLES, read_table, write_table

#: Bytes of a number in float32, and of its gradient and Adam's two moments where it is trained.
_WEIGHTS, _TRAINED = 4, 12

#: The share of a GPU's memory that these may take; activations need the rest.
_SHARE = 0.8

_JOB, _ARTICLES, _LOG, _ERROR = "job.json", "articles.parquet", "log.json", "error.json"
_STDERR = "stderr"


def processes_for(folder: Path, sharding: str, config: TrainingConfig) -> int:
    """Say over how many processes to fine-tune the model in a folder; 1 is this one.

    Parameters
    ----------
    folder
        In transformers format.
    sharding
        ``none``: never more than this process; ``fsdp``: one for each GPU; ``auto``: likewise,
        where the training does not fit one GPU.
    config
        Of the training: its method decides how much memory it takes.

    Raises
    ------
    InputError
        If ``fsdp`` is asked for with fewer than two GPUs.
    """
    import torch

    gpus = torch.cuda.device_count()
    if sharding == "fsdp" and gpus < 2:
        raise InputError(
            f"executor.sharding: fsdp shards a model over GPUs, and this process has {gpus}; take "
            "auto, or reserve more with executor.stages.finetune.gpus"
        )
    if sharding == "none" or gpus < 2:
        return 1
    memory = torch.cuda.get_device_properties(0).total_memory
    return gpus if sharding == "fsdp" or _needs(folder, config) > _SHARE * memory else 1


def _needs(folder: Path, config: TrainingConfig) -> int:
    """Count the bytes of a model in training, activations left out."""
    shape = load_model(str(folder), weights=False).model
    method = method_of(config)
    numbers = sum(parameter.numel() for parameter in shape.parameters())
    return _WEIGHTS * numbers + _TRAINED * method.trainable(shape)


def finetune_sharded(
    folder: Path,
    articles: pl.DataFrame,
    config: TrainingConfig,
    seed: int,
    run_name: str,
    on_progress: Progress,
    checkpoints: Path | None,
    out: Path,
    processes: int,
    kept: Path | None = None,
    prompts: GenerationConfig | None = None,
) -> TrainingLog:
    """Fine-tune the model in a folder in several processes, into the folder ``out``.

    The batch is shared out, so that a step sees what it sees in one process. ``kept`` and
    ``prompts`` are as for `finetune`.

    Raises
    ------
    InputError
        If the batch cannot be shared out evenly, or as `finetune` does.
    BiasloopError
        If a process dies.
    """
    if config.batch_size % processes:
        raise InputError(
            f"training.batch_size: {config.batch_size} cannot be shared out over {processes} "
            "processes; take a multiple"
        )
    with tempfile.TemporaryDirectory(prefix="biasloop-fsdp-") as name:
        job = Path(name)
        write_table(job / _ARTICLES, articles)
        settings = {
            "model": str(folder.resolve()),
            "training": config.model_dump(mode="json"),
            "prompts": prompts.model_dump(mode="json") if prompts else None,
            "seed": seed,
            "run_name": run_name,
            "checkpoints": str(checkpoints.resolve()) if checkpoints else None,
            "out": str(out.resolve()),
        }
        write_json(job / _JOB, settings)
        with _started(job, processes) as process:
            for line in process.stdout or ():
                if line.startswith("tokens "):
                    on_progress(int(line.split()[1]))
            code = process.wait()
        if (job / _ERROR).is_file():
            told = json.loads((job / _ERROR).read_text(encoding="utf-8"))
            raise getattr(errors, told["error"], BiasloopError)(told["message"])
        if code or not (job / _LOG).is_file():
            lines = (job / _STDERR).read_text(encoding="utf-8").splitlines()[-40:]
            said = " ".join(" ".join(lines).split())[-400:]
            raise BiasloopError(f"{run_name}: a process of the fine-tuning died: {said}")
        log = json.loads((job / _LOG).read_text(encoding="utf-8"))
        method_of(config).gather(folder, out, kept)
        return TrainingLog(log["steps"], log["tokens"], tuple(log["losses"]))


@contextlib.contextmanager
def _started(job: Path, processes: int) -> Generator[subprocess.Popen[str]]:
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *(f"--nproc-per-node={processes}", "--module", "biasloop.stages.fsdp", str(job)),
    ]
    with (job / _STDERR).open("w", encoding="utf-8") as said:
        # Its standard input is a pipe that ends when we do, however we end.
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")},
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()
                process.wait()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def _main(job: Path) -> None:
    """Be one of the processes."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    first = os.environ["RANK"] == "0"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    settings = json.loads((job / _JOB).read_text(encoding="utf-8"))
    training = TrainingConfig(**settings["training"])
    own = settings.get("prompts")
    try:
        loaded = load_model(settings["model"], precision="float32", place=False)
        log = finetune(
            replace(loaded, device=choose_for_training(training.precision)),
            read_table(job / _ARTICLES, ARTICLES),
            training,
            settings["seed"],
            settings["run_name"],
            (lambda tokens: print(f"tokens {tokens}", flush=True)) if first else None,
            Path(settings["checkpoints"]) if settings["checkpoints"] else None,
            Path(settings["out"]),
            prompts=GenerationConfig(**own) if own else None,
        )
    except BiasloopError as error:
        # Whichever fails first: the launcher then ends the others, the first of them too.
        write_json(job / _ERROR, {"error": type(error).__name__, "message": str(error)})
        sys.exit(1)
    if first:
        loaded.tokenizer.save_pretrained(settings["out"])
        write_json(job / _LOG, asdict(log))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
