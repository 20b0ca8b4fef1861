"""The Python API: the same calls that the command line makes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from biasloop.assets import AssetInfo, cache_folder, download
from biasloop.config import Config, load_config, parse_config
from biasloop.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from biasloop.analysis import Verdict
    from biasloop.audit import Audit
    from biasloop.coding import Drawn, Findings
    from biasloop.loop import Listener, Results


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

    def scores(self) -> pl.DataFrame:
        """One row per article per metric (`tables.SCORES`)."""
        return self.results.scores

    def leaning_scores(self) -> pl.DataFrame:
        """One row per article per leaning, with its probability."""
        return self.results.leaning_scores

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

    def report(self) -> Path:
        """Write the report into the run folder and return the path of its HTML file."""
        from biasloop.loop import Remote
        from biasloop.report import write_report

        path = write_report(self.results, self.folder)
        if self.url:
            Remote(self.url).push_records(self.folder)
        return path


def _as_config(config: Config | Mapping[str, Any] | str | Path, overrides: Sequence[str]) -> Config:
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
    from biasloop.loop import (
        Store,
        check_folder,
        contents_of,
        execute,
        execute_on_ray,
        locked,
        make_plan,
        open_remote,
        open_run,
        silent,
    )

    if executor not in ("local", "ray"):
        raise InputError(f"--executor: '{executor}' is not one; known: local, ray")
    if address and executor != "ray":
        raise InputError("--address is that of a Ray cluster: it needs --executor ray")
    checked = _as_config(config, overrides)
    others = [load_run(place).folder for place in reuse]
    contents = contents_of(checked)
    plan = make_plan(checked, contents)
    folder, remote = open_remote(out or Path("runs") / checked.name, cache_folder())
    check_folder(checked, folder, begun=remote is not None and remote.is_begun)
    with locked(folder):
        open_run(checked, folder, contents)
        store = Store(folder, cache_folder(), remote, others, share=True)
        if remote:
            remote.push_records(folder)
            store.publish(plan.stages.values())
        if executor == "ray":
            execute_on_ray(plan, store, listen or silent, address=address)
        else:
            execute(plan, store, listen or silent)
    return Run(folder, remote.url if remote else None)


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


def score(
    articles: pl.DataFrame,
    metrics: Sequence[str],
    run: Run | None = None,
    config: Config | Mapping[str, Any] | str | Path | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Score articles without training a language model.

    Parameters
    ----------
    articles
        `tables.ARTICLES`.
    metrics
        Names of metrics.
    run
        Take the instruments of this run.
    config
        Fit the instruments on this config's corpus; one of ``run`` and ``config`` is needed,
        because an instrument is validated on the text that it was made from.

    Returns
    -------
    scores, leaning_scores, set_scores
        As in the run's tables, without the chain's columns.

    Raises
    ------
    InputError
        If neither or both of ``run`` and ``config`` are given, or an instrument cannot be had.
    """
    from biasloop.loop.score import score_articles

    return score_articles(
        articles,
        tuple(metrics),
        folder=run.folder if run else None,
        config=_as_config(config, ()) if config is not None else None,
        cache=cache_folder(),
    )


def audit_set(
    real: str | Path,
    synthetic: str | Path,
    tolerance: float = 0.05,
    body: str = "body",
    overrides: Sequence[str] = (),
) -> Audit:
    """Say how far a synthetic set already leans, without training a language model.

    Parameters
    ----------
    real
        Labelled real articles: a file that a config's ``corpus.source`` may name. Half of each
        label, or what ``corpus.instrument_fraction`` says, trains the classifier; the rest is
        what the synthetic set is held against.
    synthetic
        A Parquet, CSV or JSONL file.
    tolerance
        How far any leaning's share may be from its real one in the next generation, 0 to 1.
    body
        The column of the synthetic text.
    overrides
        ``dotted.key=value`` texts: of ``corpus`` and ``metrics``.

    Raises
    ------
    InputError
        If a file cannot be read, or there are too few articles.
    """
    from biasloop.audit import audit as judge
    from biasloop.corpus import read_unlabelled
    from biasloop.loop import judge_articles

    path = Path(real).expanduser()
    values = {
        "corpus": {
            "source": str(path.resolve()) if path.exists() else str(real),
            "articles_per_label": None,
            "holdout_per_label": 0,
        },
        "metrics": {"names": ["leaning", "quality", "diversity"]},
    }
    config = parse_config(values, overrides)
    judged = judge_articles(config, read_unlabelled(Path(synthetic), body), cache_folder())
    return judge(judged, tolerance, config.report.outside_share, config.seed)


def write_label_sheets(
    run: Run,
    out: str | Path,
    articles: int = 100,
    coders: int = 2,
    overlap: float = 0.25,
    regimes: Sequence[str] = (),
    generations: Sequence[int] = (),
    seed: int = 0,
) -> Drawn:
    """Write blind sheets of real and generated articles for people to code.

    Parameters
    ----------
    run
        The run.
    out
        A new folder: ``sheets`` in it is for the coders, ``key.json`` is not.
    articles, coders, overlap, regimes, generations, seed
        See `coding.draw`.

    Returns
    -------
    Drawn
        What was written.

    Raises
    ------
    InputError
        If the folder is there, or a setting does not fit the run.
    """
    from biasloop.coding import draw, write_sheets

    drawn = draw(run.results, articles, coders, overlap, regimes, generations, seed)
    write_sheets(drawn, Path(out))
    return drawn


def read_labels(
    run: Run, paths: Sequence[str | Path], key: str | Path | None = None, seed: int = 0
) -> Findings:
    """Read coded sheets: agreement, and shares and changes corrected by the labels.

    Parameters
    ----------
    run
        The run that the sheets were written from.
    paths
        CSV files, or folders of them.
    key
        The key; None looks for ``key.json`` in the folders and one folder up.
    seed
        Of the bootstraps.

    Raises
    ------
    InputError
        If a sheet or the key does not fit; the message names file and row.
    """
    from biasloop.coding import find_sheets, findings, read_codes, read_key

    sheets, found = find_sheets([Path(path) for path in paths], Path(key) if key else None)
    own = read_key(found, run.results)
    return findings(run.results, own, read_codes(sheets, own), seed=seed)


def config_schema() -> dict[str, Any]:
    """Return the JSON schema of a config."""
    return json.loads(json.dumps(Config.model_json_schema()))


__all__ = [
    "AssetInfo",
    "Run",
    "audit_set",
    "config_schema",
    "download",
    "load_run",
    "read_labels",
    "run",
    "score",
    "write_label_sheets",
]
