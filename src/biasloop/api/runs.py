"""Run an experiment, open it, check it, put it beside others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from biasloop.assets import cache_folder
from biasloop.config import Config, load_config, parse_config, with_chains, with_doses
from biasloop.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from biasloop.analysis import Verdict
    from biasloop.loop import Listener, Results, Verification
    from biasloop.loop.plan import Plan
    from biasloop.report.compare import Comparison
    from biasloop.report.dose_results import DoseShown
    from biasloop.report.intervention import InterventionShown


@dataclass(frozen=True)
class Run:
    """A run folder, finished or not.

    Attributes
    ----------
    folder
        Where it is.
    url
        Where it is kept, if not in ``folder``, which is then a copy of its tables.
    """

    folder: Path
    url: str | None = None

    @cached_property
    def results(self) -> Results:
        """Every table of the run, read once."""
        from biasloop.loop import read_results

        return read_results(self.folder, cache_folder())

    @property
    def config(self) -> Config:
        """The config of the run."""
        return self.results.config

    @property
    def scores(self) -> pl.DataFrame:
        """One row per article per metric (`tables.SCORES`)."""
        return self.results.scores

    @property
    def leaning_scores(self) -> pl.DataFrame:
        """One row per article per leaning, with its probability."""
        return self.results.leaning_scores

    @property
    def articles(self) -> pl.DataFrame:
        """Every article that a generation wrote; the bodies are untrusted model output."""
        return self.results.articles

    def summary(self) -> pl.DataFrame:
        """Every figure of every generation with its 95 % interval; see `analysis.summarise`."""
        from biasloop.analysis import summarise

        return summarise(self.results, self.config.report.bootstrap, self.config.seed)

    def verdicts(self) -> tuple[Verdict, ...]:
        """Say per regime whether bias amplified, and whether it collapsed."""
        from biasloop.analysis import judge_run

        return judge_run(self.results)

    def current_report(self) -> Path | None:
        """Return the report's path where it is newer than all that it is made from."""
        path = self.folder / "report.html"
        sources = [
            self.folder / "config.yaml",
            *self.folder.glob("stages/*/stage.json"),
            *self.folder.glob("neurons/*.json"),
        ]
        if not path.is_file():
            return None
        written = path.stat().st_mtime_ns
        return path if all(source.stat().st_mtime_ns <= written for source in sources) else None

    def dose(self, regime: str, looks: int | None = None) -> DoseShown:
        """Find the least dose of a regime that holds bias; write ``dose.json`` and ``dose.png``.

        Parameters
        ----------
        regime
            Of a run of `config.with_doses`.
        looks
            How often it was to be looked at; None takes what ``dose.json`` says, 1 without one.

        Raises
        ------
        InputError
            If fewer than two doses have a figure, or ``dose.json`` is damaged.
        """
        from biasloop.files import write_bytes, write_json
        from biasloop.report.dose_results import dose_shown

        path = self.folder / "dose.json"
        if looks is None:
            try:
                looks = int(json.loads(path.read_bytes())["looks"]) if path.exists() else 1
            except (ValueError, TypeError, KeyError) as error:
                raise InputError(
                    f"{path}: does not say how often the doses are looked at: give looks, or run "
                    "'biasloop dose' again"
                ) from error
        found = dose_shown(self.results, regime, looks)
        write_json(path, found.machine)
        write_bytes(self.folder / "dose.png", found.png)
        self._copy_records()
        return found

    def intervention(self) -> InterventionShown:
        """Say what an edit of neurons did to the growth after it.

        Writes ``intervention.json`` and ``intervention.png``. Of a run of `config.with_edits`.
        """
        from biasloop.files import write_bytes, write_json
        from biasloop.report.intervention import intervention_shown

        found = intervention_shown(self.results)
        write_json(self.folder / "intervention.json", found.machine)
        write_bytes(self.folder / "intervention.png", found.png)
        self._copy_records()
        return found

    def report(self) -> Path:
        """Write the report into the run folder and return the path of its HTML file."""
        from biasloop.report import write_report

        path = write_report(self.results, self.folder)
        self._copy_records()
        return path

    def _copy_records(self) -> None:
        """Copy what stands beside the stages to the run's URL, if it has one."""
        from biasloop.loop import Remote

        if self.url:
            Remote(self.url).push_records(self.folder)


def as_config(config: Config | Mapping[str, Any] | str | Path, overrides: Sequence[str]) -> Config:
    """Check a config in whatever form it is given."""
    if isinstance(config, Config):
        return parse_config(config.model_dump(mode="json"), overrides) if overrides else config
    if isinstance(config, Mapping):
        return parse_config(config, overrides)
    return load_config(config, overrides)


def run(
    config: Config | Mapping[str, Any] | str | Path,
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    listen: Listener | None = None,
    executor: Literal["local", "ray"] = "local",
    address: str | None = None,
    reuse: Sequence[str | Path] = (),
) -> Run:
    """Run an experiment, or go on with it where it stopped.

    Parameters
    ----------
    config
        A `Config`, a mapping, the path of a YAML file, or the name of a built-in example.
    out
        The run folder, or a URL such as ``s3://BUCKET/RUN``; None takes ``runs/NAME``.
    overrides
        ``dotted.key=value`` texts, as with ``--set``.
    listen
        Told of every stage's start, progress and finish.
    executor
        ``local`` runs one stage after the other on this machine, ``ray`` side by side on a
        cluster.
    address
        Of the Ray cluster; None takes ``RAY_ADDRESS``, one on this machine, or starts one on it.
    reuse
        Other runs, whose finished stages are taken where they are the same; see docs/faults.md.

    Returns
    -------
    Run
        The finished run; ``run.report()`` writes its report.

    Raises
    ------
    InputError
        If the config, the corpus, the model or the folder cannot be used.
    """
    from biasloop.loop import make_plan

    return run_plan(make_plan(as_config(config, overrides)), out, listen, executor, address, reuse)


def run_plan(
    plan: Plan,
    out: str | Path | None = None,
    listen: Listener | None = None,
    executor: Literal["local", "ray"] = "local",
    address: str | None = None,
    reuse: Sequence[str | Path] = (),
) -> Run:
    """Run what is laid out, as `run` does: its inputs are not read once more for it."""
    from biasloop.loop import (
        Store,
        check_folder,
        execute,
        execute_on_ray,
        locked,
        open_remote,
        open_run,
        silent,
    )

    if executor not in ("local", "ray"):
        raise InputError(f"--executor: '{executor}' is not one; known: local, ray")
    if address and executor != "ray":
        raise InputError("--address is that of a Ray cluster: it needs --executor ray")
    others, checked = [load_run(place).folder for place in reuse], plan.config
    folder, remote = open_remote(out or Path("runs") / checked.name, cache_folder())
    check_folder(checked, folder, begun=remote is not None and remote.is_begun)
    with locked(folder):
        open_run(checked, folder, plan.contents)
        store = Store(folder, cache_folder(), remote, others, share=True)
        if remote:
            remote.push_records(folder)
        store.publish(plan.stages.values())
        if executor == "ray":
            execute_on_ray(plan, store, listen or silent, address=address)
        else:
            execute(plan, store, listen or silent)
    return Run(folder, remote.url if remote else None)


def find_dose(
    config: Config | Mapping[str, Any] | str | Path,
    regime: str,
    values: Sequence[float],
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    listen: Listener | None = None,
    executor: Literal["local", "ray"] = "local",
    reuse: Sequence[str | Path] = (),
    looks: int = 1,
) -> tuple[Run, DoseShown]:
    """Run a regime once per value of its dose, and find the least that holds bias.

    Parameters
    ----------
    config, out, overrides, listen, executor, reuse
        As in `run`; by default the folder is ``runs/NAME-REGIME-dose``.
    regime, values
        As in `config.with_doses`: 0 is the regime ``synthetic``.
    looks
        Compute the chains in so many batches, and look after each: a dose that is shown to hold,
        or not to, gets no more.

    Raises
    ------
    InputError
        If a value cannot be a dose, or see `run`.
    """
    from biasloop.analysis import looks_at

    chosen = with_doses(as_config(config, overrides), regime, values)
    clear: dict[str, tuple[int, ...]] = {}
    for seeds in looks_at(chosen.loop.seeds, looks):
        here = with_chains(chosen, seeds, clear)
        finished = run(here, out, (), listen, executor, reuse=reuse)
        found = finished.dose(regime, looks)
        for name in found.clear:
            clear.setdefault(name, seeds)
        if len(clear) == len(found.rows):
            break
    return finished, found


def load_run(folder: str | Path) -> Run:
    """Open a run folder, or a run at a URL: its tables and report are then copied here.

    Raises
    ------
    InputError
        If it is not one.
    """
    from biasloop.loop import fetch, is_url, read_config

    if is_url(folder):
        return Run(fetch(str(folder), cache_folder()), str(folder))
    read_config(Path(folder))
    return Run(Path(folder))


def compare(runs: Mapping[str, Run]) -> Comparison:
    """Put runs into one table, by what to call them; see `report.compare`."""
    from biasloop.report.compare import compare as put_together

    return put_together({name: run.results for name, run in runs.items()})


def verify(run: str | Path, repair: bool = False) -> Verification:
    """Hold every file of a run, or of a run at a URL, against the SHA-256 recorded with it.

    Parameters
    ----------
    run
        The run's folder or URL; a damaged run cannot be opened by `load_run`.
    repair
        Remove the stages that are damaged; `run` makes them again.
    """
    from biasloop.loop import Remote, fetch, is_url
    from biasloop.loop import verify as check

    remote = Remote(str(run)) if is_url(run) else None
    folder = fetch(str(run), cache_folder(), whole=True) if remote else Path(run)
    return check(folder, cache_folder(), repair, remote=remote)


def clean(run: str | Path, dry_run: bool = False) -> list[tuple[str, int]]:
    """Delete what a run's config no longer needs; return each stage's folder and its bytes."""
    from biasloop.loop import clean as delete

    return delete(Path(run), cache_folder(), dry_run)


def config_schema() -> dict[str, Any]:
    """Return the JSON schema of a config."""
    return json.loads(json.dumps(Config.model_json_schema()))
