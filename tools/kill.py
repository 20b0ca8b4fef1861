"""Kill a run again and again, at random moments, and hold what it ends with against a run in peace.

    python tools/kill.py --kills 200 --seed 0

Every kill is a SIGKILL of the whole process. Each attempt goes on in the same folders; when a run
has finished it is compared, file by file, and another one begins. Exits with 1 on any difference,
any stage that was computed twice after it had finished, or anything left half-made.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Before anything loads a numerical library, which reads this once.
os.environ.setdefault("OMP_NUM_THREADS", "1")

#: Training long enough to be killed in, with a checkpoint after every step.
SHORT = {
    "training": {"epochs": 3, "samples": "article", "checkpoint_minutes": 0.0},
    "loop": {"generations": 1, "seeds": [0], "bias_direction": "auto"},
}

#: What differs from run to run although the results are the same.
_TIMES = {"seconds", "finished", "record_sha256"}
_PRELOADED = [
    "biasloop.api",
    "biasloop.loop.generation_stages",
    "transformers.trainer",
    "sklearn.linear_model",
]


def _run(config: Mapping[str, Any], folder: str, cache: str, log: str) -> None:
    """Run in a process of its own; write a line per event that a kill cannot take back."""
    os.environ["BIASLOOP_CACHE"] = cache
    import biasloop as bl

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def listen(event: Any) -> None:
        if event.event in ("start", "finish"):
            os.write(
                descriptor, json.dumps([event.event, event.stage, event.name]).encode() + b"\n"
            )

    bl.run(config, folder, listen=listen)


@dataclass
class Attempts:
    """What came of killing.

    Attributes
    ----------
    kills
        By the kind of stage that was at work, "" for none.
    runs
        How many runs finished and were compared.
    files
        How many files were compared.
    faults
        Everything that was not as it should be.
    """

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    files: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many kills there were."""
        return sum(self.kills.values())


def outputs(folder: Path, cache: Path) -> dict[str, Any]:
    """Return what a run made: by file, its SHA-256; of a manifest, all but its times."""
    from biasloop.files import sha256_file

    found: dict[str, Any] = {}
    for root in (folder, cache):
        for path in sorted((root / "stages").rglob("*")):
            name = str(path.relative_to(root))
            if path.name == "stage.json":
                record = json.loads(path.read_text(encoding="utf-8"))
                found[name] = {k: v for k, v in record.items() if k not in _TIMES}
            elif path.is_file() and path.suffix != ".lock":
                found[name] = sha256_file(path)
    return found


def _events(log: Path) -> list[list[str]]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def _process(config: Mapping[str, Any], folder: Path, cache: Path, log: Path) -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    process = context.Process(target=_run, args=(config, str(folder), str(cache), str(log)))
    process.start()
    return process


def _wait(process: Any, log: Path, seconds: float, kind: str) -> None:
    """Wait for so long, or, where a kind is given, only once a stage of that kind has begun."""
    before = len(_events(log))
    while kind and process.exitcode is None:
        if any(event[:2] == ["start", kind] for event in _events(log)[before:]):
            break
        process.join(0.005)
    process.join(seconds)


def kill_runs(
    config: Mapping[str, Any],
    kills: int,
    seed: int,
    place: Path,
    say: Callable[[str], None] = lambda text: None,
) -> Attempts:
    """Kill runs of a config until there were so many kills.

    Every other kill waits for a stage of a kind that was not yet killed at work, while there is
    one; the rest come at any moment, start-up and report of progress included.

    Parameters
    ----------
    config
        Of a run that takes seconds.
    kills
        How many at least; more, to three times as many, until every kind of stage was hit. The
        last run is let finish.
    seed
        Of the moments.
    place
        A folder to work in.
    say
        Told of every finished run.
    """
    moments = random.Random(seed)
    whole = place / "whole"
    log = whole.with_suffix(".log")
    process = _process(config, whole / "run", whole / "cache", log)
    begun = time.monotonic()
    process.join()
    seconds = time.monotonic() - begun
    if process.exitcode:
        raise SystemExit("the run in peace did not finish")
    kinds = {kind for event, kind, _ in _events(log) if event == "start"}
    expected, found = outputs(whole / "run", whole / "cache"), Attempts()

    def enough() -> bool:
        # A kind that takes milliseconds is easily missed: on for a while, until each was hit.
        return found.total >= kills and (kinds <= found.kills.keys() or found.total >= 3 * kills)

    tried: set[str] = set()
    while not enough():
        mine = place / f"killed-{found.runs}"
        log = mine.with_suffix(".log")
        while True:
            process = _process(config, mine / "run", mine / "cache", log)
            if enough():
                process.join()
                break
            unhit = sorted(kinds - found.kills.keys()) if found.total % 2 else []
            if unhit:
                kind = moments.choice(unhit)
                # At once where it was over by the time of the kill before.
                _wait(process, log, 0 if kind in tried else moments.uniform(0, 0.1), kind)
                tried.add(kind)
            else:
                # On average a tenth of the time that the whole run takes.
                _wait(process, log, moments.expovariate(10 / seconds), "")
            if process.exitcode is None:
                os.kill(process.pid, signal.SIGKILL)
                process.join()
            if process.exitcode != -signal.SIGKILL:
                break
            last = (_events(log) or [["", "", ""]])[-1]
            found.kills[last[1] if last[0] == "start" else ""] += 1
        found.faults += _compare(process, mine, log, expected)
        found.runs += 1
        found.files += len(expected)
        say(f"{found.total} kills, {found.runs} runs finished, {len(found.faults)} faults")
        if found.faults:
            break
        shutil.rmtree(mine)
    return found


def _compare(
    process: Any,
    mine: Path,
    log: Path,
    expected: Mapping[str, Any],
) -> list[str]:
    """List what is not as it should be after a run that was killed and went on to its end."""
    faults = [f"{mine}: ended with {process.exitcode}"] if process.exitcode else []
    got = outputs(mine / "run", mine / "cache")
    faults += [
        f"{mine}: {name} differs"
        for name in sorted(expected.keys() | got.keys())
        if expected.get(name) != got.get(name)
    ]
    finished = Counter(name for event, _, name in _events(log) if event == "finish")
    faults += [f"{mine}: '{name}' ran {n} times" for name, n in finished.items() if n > 1]
    faults += [
        f"{path} is left over"
        for part in ("run", "cache")
        for path in (mine / part).rglob("*")
        if path.name == "partial" or (path.name.startswith(".") and path.name != ".lock")
    ]
    return faults


def main() -> None:
    """Kill runs of the tests' tiny experiment."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "loop"))
    from made_up import experiment, write_corpus

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = write_corpus(Path(folder) / "articles.jsonl")
        config = experiment(corpus) | SHORT
        found = kill_runs(config, given.kills, given.seed, Path(folder), print)
    for kind, count in sorted(found.kills.items()):
        print(f"{count:5d} kills in {kind or 'no stage'}")
    print(f"{found.files} files compared in {found.runs} runs; faults: {len(found.faults)}")
    print("\n".join(found.faults))
    sys.exit(bool(found.faults))


if __name__ == "__main__":
    main()
