"""Run both controls as a user would, side by side, and hold them against the truth.

Knows the two controls and the ordinary API; the rules are in `judge`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import tempfile
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biasloop import api
from biasloop.analysis import Verdict, evidence, followed_leaning
from biasloop.config import Config, load_config
from biasloop.controls.judge import Check, Judged, judge
from biasloop.controls.paths import forecast_path, measured_path
from biasloop.errors import BiasloopError, InputError
from biasloop.loop import Event, check_folder

#: The example config of each control.
CONTROLS = {"positive": "control-positive", "negative": "control-negative"}
#: With fewer chains no interval holds the chance of training again.
MIN_SEEDS = 3

#: Told of the stages done and of how many, of both controls together.
Count = Callable[[int, int], None]


@dataclass(frozen=True)
class Row:
    """One regime of one control.

    Attributes
    ----------
    control, regime
        Which.
    planted
        The leaning that is made to grow; None in the negative control.
    forecast, measured
        The planted leaning's share in each generation, 0 to 1; of the negative control that of
        the same leaning.
    verdict
        What the instrument says.
    """

    control: str
    regime: str
    planted: str | None
    forecast: np.ndarray
    measured: np.ndarray
    verdict: Verdict

    @property
    def apart(self) -> float:
        """The largest difference between forecast and measured share."""
        return float(np.abs(self.forecast - self.measured).max())


@dataclass(frozen=True)
class Validation:
    """What `validate` found.

    Attributes
    ----------
    rows
        Every regime of both controls.
    checks
        The rules.
    folders
        Control -> its run folder; empty where nothing was kept.
    """

    rows: tuple[Row, ...]
    checks: tuple[Check, ...]
    folders: dict[str, Path]

    @property
    def passed(self) -> bool:
        """Whether every rule holds."""
        return all(check.passed for check in self.checks)


def validate(
    out: str | Path | None = None,
    seeds: int = MIN_SEEDS,
    overrides: Sequence[str] = (),
    count: Count | None = None,
) -> Validation:
    """Run a positive and a negative control, and say whether the instrument tells them apart.

    Parameters
    ----------
    out
        Keeps both runs and their reports, and goes on where it was stopped. None runs them in a
        temporary folder that is then removed.
    seeds
        Chains of each regime, `MIN_SEEDS` or more.
    overrides
        ``dotted.key=value`` texts for both controls.
    count
        Told of progress.

    Raises
    ------
    InputError
        If the folder cannot be written, holds something else, or there are too few seeds.
    """
    if seeds < MIN_SEEDS:
        raise InputError(f"--seeds {seeds}: a control needs {MIN_SEEDS} chains or more")
    assignments = [f"loop.seeds={list(range(seeds))}", *overrides]
    configs = {name: load_config(example, assignments) for name, example in CONTROLS.items()}
    with _folder(out) as root:
        folders = {name: root / example for name, example in CONTROLS.items()}
        for name, folder in folders.items():
            check_folder(configs[name], folder)
        found = _run_all(configs, folders, out is not None, count or (lambda done, total: None))
        judged = {name: one.judged for name, one in found.items()}
        rows = [row for name in configs for row in found[name].rows]
        leaning = _planted(configs["positive"])
        checks = judge(judged["positive"], judged["negative"], leaning)
    return Validation(tuple(rows), checks, folders if out is not None else {})


def _planted(config: Config) -> str:
    """Name the leaning with the fewest word types: sampling below temperature 1 favours it."""
    types = config.corpus.control.word_types
    return min(types, key=lambda leaning: types[leaning])


@dataclass(frozen=True)
class _Found:
    """What one control's process found."""

    rows: tuple[Row, ...]
    judged: Judged


def _found(control: str, run: api.Run) -> _Found:
    leaning, summary, judged = _planted(run.config), run.summary(), _judged(run)
    rows = tuple(
        Row(
            control,
            regime,
            leaning if run.config.generation.temperature < 1 else None,
            forecast_path(run.config, regime, leaning),
            measured_path(summary, regime, leaning),
            verdict,
        )
        for regime, verdict in judged.verdicts.items()
    )
    return _Found(rows, judged)


def _judged(run: api.Run) -> Judged:
    leaning = followed_leaning(run.config, run.results.labels)
    return Judged(
        {verdict.regime: verdict for verdict in run.verdicts()},
        evidence(run.results, leaning).comparisons,
    )


@contextlib.contextmanager
def _folder(out: str | Path | None) -> Generator[Path]:
    """Yield a folder that can be written to, before anything is computed."""
    if out is None:
        try:
            made = tempfile.TemporaryDirectory(prefix="biasloop-validate-")
        except OSError as error:
            raise InputError(
                f"no temporary folder can be made ({error.strerror or error}): give one with --out"
            ) from error
        with made as name:
            yield Path(name)
        return
    root = Path(out).expanduser()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        raise InputError(
            f"--out {root}: cannot be written ({error.strerror or error}); give another folder"
        ) from error
    yield root


def _run_all(
    configs: dict[str, Config], folders: dict[str, Path], keep: bool, count: Count
) -> dict[str, _Found]:
    """Run and judge every control in a process of its own; they share the cached base."""
    context = multiprocessing.get_context("spawn")
    told: Any = context.Queue()
    workers = {
        name: context.Process(
            target=_run_one,
            args=(name, config.model_dump(mode="json"), str(folders[name]), keep, told),
            daemon=True,
        )
        for name, config in configs.items()
    }
    done = dict.fromkeys(workers, (0, 0))
    waiting = set(workers)
    found: dict[str, _Found] = {}
    try:
        for worker in workers.values():
            worker.start()
        while waiting:
            try:
                name, news = told.get(timeout=1)
            except queue.Empty:
                _check_alive({name: workers[name] for name in waiting})
                continue
            if isinstance(news, Exception):
                raise news
            if isinstance(news, _Found):
                waiting.remove(name)
                found[name] = news
                continue
            done[name] = news
            if all(total for _, total in done.values()):
                count(sum(made for made, _ in done.values()), sum(t for _, t in done.values()))
    finally:
        for worker in workers.values():
            if worker.is_alive() and waiting:
                worker.terminate()
            worker.join()
    return found


def _check_alive(workers: dict[str, Any]) -> None:
    for name, worker in workers.items():
        if worker.exitcode:
            raise BiasloopError(
                f"{name} control: its process ended with code {worker.exitcode} and said nothing; "
                "was it killed for memory?"
            )


def _run_one(name: str, values: dict[str, Any], folder: str, keep: bool, told: Any) -> None:  # noqa: ANN401
    def listen(event: Event) -> None:
        if event.event in ("run", "finish"):
            told.put((name, (event.done, event.total)))

    try:
        run = api.run(values, folder, listen=listen)
        if keep:
            run.report()
        told.put((name, _found(name, run)))
    except BiasloopError as error:
        told.put((name, error))
    except KeyboardInterrupt:
        pass
