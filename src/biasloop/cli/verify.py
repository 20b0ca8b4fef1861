"""`biasloop verify` and `biasloop clean`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from biasloop.errors import StoreError


def verify(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="a run folder or its URL, finished or not")
    ],
    repair: Annotated[
        bool,
        typer.Option("--repair", help="remove what is damaged; 'biasloop run' then makes it again"),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Hold every file of a run against the SHA-256 that was recorded when it was written."""
    from biasloop import api

    found = api.verify(run, repair)
    if as_json:
        import json

        print(
            json.dumps(
                {
                    "stages": found.stages,
                    "files": found.files,
                    "bytes": found.bytes,
                    "missing": found.missing,
                    "damages": [{"path": str(d.path), "reason": d.reason} for d in found.damages],
                    "repaired": found.repaired,
                }
            )
        )
    else:
        print(
            f"{run}: {found.stages} finished stages, {found.files} files, "
            f"{found.bytes / 1e6:,.1f} MB; {found.missing} stages not computed yet"
        )
        for damage in found.damages:
            print(damage)
        if found.sound:
            print("every file is as it was written")
    if found.repaired:
        if not as_json:
            print("what was damaged is removed: the run's own command makes it again")
    elif not found.sound:
        raise StoreError(
            f"{run}: {len(found.damages)} files are damaged; --repair removes their stages, and "
            "the run's own command makes them again"
        )


def clean(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="a run folder")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be deleted, and delete nothing")
    ] = False,
) -> None:
    """Delete what the run's config no longer needs, such as the stages of a removed regime."""
    from biasloop import api

    found = api.clean(run, dry_run)
    size = sum(bytes for _, bytes in found)
    for name, _ in found:
        print(name)
    would = "would be deleted" if dry_run else "deleted"
    print(f"{run}: {len(found)} stages, {size / 1e6:,.1f} MB {would}")
