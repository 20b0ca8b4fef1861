"""Tasks of the LM Evaluation Harness (Gao et al.): capability, and bias on known benchmarks.

The harness loads a task, asks the model and scores it; what stands here chooses tasks, names what
they rest on, and takes the figures over. Its own seeds, so that they are those that it reports.
"""

from __future__ import annotations

import importlib
import io
import math
import os
from collections.abc import Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import polars as pl

from biasloop.config import MetricsConfig
from biasloop.errors import InputError, nearest
from biasloop.files import sha256_file
from biasloop.metrics.base import NORMAL_95, SCORED_SETS, Scored, scored
from biasloop.quantities import Quantity, declare

if TYPE_CHECKING:
    from biasloop.models.load import LoadedModel

_KEY = "metrics.lm_eval"
_STDERR = "_stderr"
#: Resamples of the harness's bootstrap, of metrics without a standard error in closed form, and its
#: seed for few-shot examples.
_RESAMPLES, _FEWSHOT_SEED = 1000, 1234

declare(
    Quantity(
        "lm_eval",
        "{member}",
        section="benchmarks",
        title="{member}",
        caption="As the LM Evaluation Harness scores each model on this task.",
        unit="score",
        family=True,
    )
)


def _manager(config: MetricsConfig) -> Any:  # noqa: ANN401 - a TaskManager
    """Index the tasks that there are."""
    try:
        tasks = importlib.import_module("lm_eval.tasks")
    except ImportError as error:
        raise InputError(
            f"{_KEY} needs the LM Evaluation Harness, which is not installed: pip install "
            "'biasloop[eval]', or leave it out"
        ) from error
    folder = config.lm_eval.folder
    if folder and not Path(folder).is_dir():
        raise InputError(f"{_KEY}.folder: no such folder: {folder}")
    found = tasks.TaskManager(include_path=folder, include_defaults=folder is None)
    if not config.lm_eval.tasks:
        raise InputError(f"{_KEY}.tasks: names no task: name one, or leave 'lm_eval' out")
    for task in config.lm_eval.tasks:
        if task not in found.all_tasks:
            where = f"{folder} has" if folder else "the harness has"
            raise InputError(
                f"{_KEY}.tasks: {where} no task '{task}'; {nearest(task, found.all_tasks)}"
            )
    return found


def benchmarks_content(config: MetricsConfig) -> dict[str, Any]:
    """Name what the tasks rest on: the harness's version, and the hashes of the folder's files.

    Raises
    ------
    InputError
        If the harness is not installed, or a task is not known.
    """
    _manager(config)
    found: dict[str, Any] = {"version": version("lm-eval")}
    if config.lm_eval.folder:
        folder = Path(config.lm_eval.folder)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        kept = [path for path in files if "__pycache__" not in path.parts]
        found["files"] = {path.relative_to(folder).as_posix(): sha256_file(path) for path in kept}
    return found


def lm_eval(
    loaded: LoadedModel, articles: pl.DataFrame, config: MetricsConfig, seed: int
) -> Scored:
    """Score a model on the config's tasks: set-level ``lm_eval:TASK:METRIC``.

    The interval is that of the harness's standard error, by the normal approximation; none where it
    gives none. A task's filter that is not ``none`` follows its metric, after a comma.

    Raises
    ------
    InputError
        If a task cannot be loaded or scored.
    """
    del articles, seed
    manager, own = _manager(config), config.lm_eval
    # Not of many processes, which the harness would start beside the run's.
    os.environ["DISABLE_MULTIPROC"] = "1"
    try:
        # Its progress bars and notices go nowhere; its exceptions come through.
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            results = _evaluate(loaded, manager, config)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{_KEY}: {', '.join(own.tasks)}: cannot be scored: {reason}") from error
    rows = [
        (f"lm_eval:{task}:{name}", *figures)
        for task, values in results.items()
        for name, figures in _figures(values).items()
    ]
    return scored([], {}, set_scores=pl.DataFrame(rows, schema=SCORED_SETS, orient="row"))


def _evaluate(
    loaded: LoadedModel,
    manager: Any,  # noqa: ANN401 - a TaskManager
    config: MetricsConfig,
) -> Mapping[str, Mapping[str, Any]]:
    """Let the harness load and score the tasks: task -> what it says."""
    evaluator = importlib.import_module("lm_eval.evaluator")
    huggingface = importlib.import_module("lm_eval.models.huggingface")
    own = config.lm_eval
    # A data file that a task names lies beside the task.
    with chdir(own.folder or "."):
        found = manager.load(list(own.tasks))
        for task in found["tasks"].values():
            if task.get_config("num_fewshot") is None:
                task.set_config(key="num_fewshot", value=0)
            task.set_fewshot_seed(seed=_FEWSHOT_SEED)
    model = huggingface.HFLM(
        pretrained=loaded.model,
        tokenizer=loaded.tokenizer,
        batch_size=config.perplexity_batch_size,
        trust_remote_code=False,
    )
    said = evaluator.evaluate(
        lm=model, task_dict=found, limit=own.limit, bootstrap_iters=_RESAMPLES, log_samples=False
    )
    return said["results"] if said else {}


def _figures(values: Mapping[str, Any]) -> dict[str, tuple[float, float | None, float | None]]:
    """Take a task's figures over: metric -> value and interval."""
    found = {}
    for key, value in values.items():
        metric, comma, filtered = key.partition(",")
        if not comma or metric.endswith(_STDERR) or not _is_number(value):
            continue
        name = metric if filtered == "none" else key
        error = values.get(f"{metric}{_STDERR},{filtered}")
        half = NORMAL_95 * error if _is_number(error) else None
        ends = (None, None) if half is None else (value - half, value + half)
        found[name] = (float(value), *ends)
    return found


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and math.isfinite(value)
