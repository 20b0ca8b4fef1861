"""Write a report into a folder. The only part of the package with effects."""

from __future__ import annotations

from pathlib import Path

from biasloop.errors import StoreError
from biasloop.files import write_bytes, write_json, write_text
from biasloop.loop.results import Results
from biasloop.report.drawing import png
from biasloop.report.findings import findings
from biasloop.report.page import page
from biasloop.report.summary_json import summary_json


def write_report(results: Results, folder: Path) -> Path:
    """Analyse a run and write ``report.html``, ``figures/*.png`` and ``summary.json``.

    Each file appears whole or not at all; equal results give equal bytes. A part-finished run has a
    report too, which says what is missing. PNG files of figures that the run no longer has are
    removed from ``folder/figures``.

    Parameters
    ----------
    results
        The run.
    folder
        Where to; made if it is not there.

    Returns
    -------
    Path
        ``folder/report.html``: one file that opens offline.

    Raises
    ------
    InputError
        If there is nothing that can be reported; see `findings.findings`.
    StoreError
        If the folder cannot be written to.
    """
    found = findings(results)
    pictures = {chart.stem: png(chart) for chart in found.figures.all()}
    text = page(found, pictures)
    summary = summary_json(found)
    target = folder / "report.html"
    try:
        for stem, content in pictures.items():
            write_bytes(folder / "figures" / f"{stem}.png", content)
        for path in sorted((folder / "figures").glob("*.png")):
            if path.stem not in pictures:
                path.unlink()
        write_json(folder / "summary.json", summary)
        write_text(target, text)
    except OSError as error:
        raise StoreError(
            f"{error.filename or folder}: the report cannot be written: {error.strerror}; the run "
            "itself is kept, and 'biasloop report' writes it again"
        ) from error
    return target
