"""Run both controls as a user would, side by side, and hold them against the truth."""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from biasloop import api
from biasloop.analysis import Verdict, evidence, followed_leaning
from biasloop.config import Config, load_config
from biasloop.errors import BiasloopError, InputError
from biasloop.loop import Event, check_folder
from biasloop.theory import sharpening_path

#: The example config of each control.
CONTROLS = {"positive": "control-positive", "negative": "control-negative"}
#: With fewer chains no interval holds the chance of training again.
MIN_SEEDS = 3

#: The regime in which amplification is planted.
PLANTED = "synthetic"
#: Those of which at least one has to hold it back.
MITIGATIONS = ("preservation", "accumulation")

#: Told of the stages done and of how many, of both controls together.
Count = Callable[[int, int], None]


# The rules, fixed beforehand ----------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """What a control's run says of itself.

    Attributes
    ----------
    verdicts
        By regime, of the planted leaning.
    comparisons
        `analysis.COMPARISONS`, against `PLANTED`.
    """

    verdicts: Mapping[str, Verdict]
    comparisons: pl.DataFrame


@dataclass(frozen=True)
class Check:
    """One rule: what is asked, whether it holds, and what was found."""

    asked: str
    passed: bool
    found: str


def judge(positive: Judged, negative: Judged, leaning: str) -> tuple[Check, ...]:
    """Hold what both controls say against what was planted.

    Parameters
    ----------
    positive
        The control in which ``leaning`` is made to grow.
    negative
        The control in which nothing is.
    leaning
        The planted leaning.
    """
    verdict = positive.verdicts.get(PLANTED)
    change = verdict.leaning_change if verdict else None
    withheld = [
        f"{name} {regime}"
        for name, judged in (("positive", positive), ("negative", negative))
        for regime, one in judged.verdicts.items()
        if one.amplified == "withheld" or one.leaning_change is None
    ]
    called = [regime for regime, one in negative.verdicts.items() if one.amplified == "yes"]
    rows = positive.comparisons.filter(
        (pl.col("quantity") == f"share:{leaning}")
        & (pl.col("against") == PLANTED)
        & pl.col("regime").is_in(MITIGATIONS)
    )
    moved = []
    for regime, *figures in rows.select("regime", "value", "low", "high").iter_rows():
        value, low, high = (None if figure is None else 100 * figure for figure in figures)
        interval = "" if low is None or high is None else f" ({low:.1f} to {high:.1f})"
        moved.append(f"{regime} {value:+.1f} points{interval}")
    return (
        Check(
            f"positive control: {PLANTED} is called amplified, with {leaning} growing",
            bool(verdict and change and verdict.amplified == "yes" and change.value > 0),
            f"amplified: {verdict.amplified if verdict else 'no verdict'}"
            + (f", {leaning} {100 * change.value:+.1f} points" if change else ""),
        ),
        Check("no leaning figure is withheld", not withheld, ", ".join(withheld) or "none"),
        Check(
            "negative control: no regime is called amplified",
            not called and bool(negative.verdicts),
            ", ".join(called) or "none",
        ),
        Check(
            f"positive control: {' or '.join(MITIGATIONS)} moves less than {PLANTED}",
            bool((rows["high"] < 0).any()),
            "; ".join(moved) or "not compared",
        ),
    )


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
        rows = [row for name in configs for row in found[name].rows]
        leaning = _planted(configs["positive"])
        checks = judge(found["positive"].judged, found["negative"].judged, leaning)
    return Validation(tuple(rows), checks, folders if out is not None else {})


def _planted(config: Config) -> str:
    """Name the leaning with the fewest word types: sampling below temperature 1 favours it."""
    types = config.corpus.control.word_types
    return min(types, key=lambda leaning: types[leaning])


class _Found(NamedTuple):
    """What one control's process found."""

    rows: list[Row]
    judged: Judged


def _found(control: str, run: api.Run) -> _Found:
    leaning, summary = _planted(run.config), run.summary()
    verdicts = {verdict.regime: verdict for verdict in run.verdicts()}
    followed = followed_leaning(run.config, run.results.labels)
    rows = [
        Row(
            control,
            regime,
            leaning if run.config.generation.temperature < 1 else None,
            forecast_path(run.config, regime, leaning),
            measured_path(summary, regime, leaning),
            verdict,
        )
        for regime, verdict in verdicts.items()
    ]
    return _Found(rows, Judged(verdicts, evidence(run.results, followed).comparisons))


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
                for name in waiting:
                    if code := workers[name].exitcode:
                        raise BiasloopError(
                            f"{name} control: its process ended with code {code} and said "
                            "nothing; was it killed for memory?"
                        ) from None
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


# Its paths ----------------------------------------------------------------------------------------


def forecast_path(config: Config, regime: str, leaning: str) -> np.ndarray:
    """Forecast a leaning's share, shape (generations + 1,); see `theory.sharpening_path`.

    Parameters
    ----------
    config
        Of a run on the control corpus: real articles are as many of each leaning.
    regime
        Its label.
    leaning
        Whose share.
    """
    types = config.corpus.control.word_types
    settings = next(one for one in config.regimes if one.label == regime)
    path = sharpening_path(
        np.full(len(types), 1 / len(types)),
        tuple(types.values()),
        settings.generation(config.generation).temperature,
        config.loop.generations,
        settings.kind,
        getattr(settings, "fraction", 0.0),
    )
    return path[:, list(types).index(leaning)]


def measured_path(
    summary: pl.DataFrame, regime: str, leaning: str, seed: int | None = None
) -> np.ndarray:
    """Measure the share of articles read as a leaning, shape (generations + 1,).

    Parameters
    ----------
    summary
        `analysis.SUMMARY` of a run.
    regime, leaning
        Whose share, in which regime.
    seed
        Of which chain; None takes the mean over chains.
    """
    rows = summary.filter(pl.col("seed").eq_missing(seed), regime=regime)
    rows = rows.filter(quantity=f"share:{leaning}").sort("generation")
    return rows["value"].cast(pl.Float64).to_numpy()
