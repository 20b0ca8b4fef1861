"""Read text that is already there: scores, an audit of a synthetic set, labels by people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biasloop.api.runs import Run, as_config
from biasloop.assets import cache_folder
from biasloop.config import Config, parse_config

if TYPE_CHECKING:
    import polars as pl

    from biasloop.audit import Audit
    from biasloop.coding import Drawn, LabelFindings


def score(
    articles: pl.DataFrame,
    metrics: Sequence[str],
    run: Run | None = None,
    config: Config | Mapping[str, Any] | str | Path | None = None,
    axis: str | None = None,
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
    axis
        A further axis of the run or config, which the metric ``leaning`` then is of.

    Returns
    -------
    scores, leaning_scores, set_scores
        As in the run's tables, without the chain's columns.

    Raises
    ------
    InputError
        If neither or both of ``run`` and ``config`` are given, or an instrument cannot be had.
    """
    from biasloop.loop import score_articles

    return score_articles(
        articles,
        tuple(metrics),
        folder=run.folder if run else None,
        config=as_config(config, ()) if config is not None else None,
        cache=cache_folder(),
        axis=axis,
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
        ``dotted.key=value`` texts: of ``corpus`` and ``metrics``; also ``metrics.axes``.

    Raises
    ------
    InputError
        If a file cannot be read, or there are too few articles.
    """
    from biasloop.audit import audit as judge
    from biasloop.corpus.load import read_unlabelled
    from biasloop.loop import score_beside_real

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
    given, cache = read_unlabelled(Path(synthetic), body), cache_folder()
    judged = score_beside_real(config, given, cache)
    axes = {name: score_beside_real(own, given, cache) for name, own in config.axes.items()}
    return judge(judged, tolerance, config.report.outside_share, config.seed, axes)


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
) -> LabelFindings:
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
