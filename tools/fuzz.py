"""Fuzz biasloop's readers: hostile configs and corpora by the thousand, the same for a seed.

python tools/fuzz.py --cases 20000 --seed 0

prints how many cases of each target were accepted and refused, and every finding; it exits with 1
if there is one. A finding's number makes it again: --target NAME --first NUMBER --cases 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

sys.dont_write_bytecode = True  # no cache file may look like one that a case has written

from fuzzing.oracle import Judge, Outcome  # noqa: E402
from fuzzing.targets import TARGETS  # noqa: E402

_SHOWN = 20


def run_case(judge: Judge, target: str, seed: int, number: int) -> Outcome:
    """Make and judge one case in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name) / "in"
        folder.mkdir()
        case = TARGETS[target][0](Random(f"{seed}/{target}/{number}"), folder)
        return judge(case.act, Path(name), case.names)


def main() -> int:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=20_000, help="of all targets together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case of a target")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only these")
    parser.add_argument("--seconds", type=float, default=10.0, help="bound on one case's time")
    parser.add_argument("--megabytes", type=int, default=400, help="bound on one case's memory")
    options = parser.parse_args()

    chosen = options.target or list(TARGETS)
    weight = sum(TARGETS[name][1] for name in chosen)
    judge = Judge(options.seconds, options.megabytes)
    counts: Counter[tuple[str, str]] = Counter()
    findings: list[str] = []
    seconds: dict[str, float] = {}
    slowest = (0.0, "")
    for name in chosen:
        start = time.monotonic()
        for number in range(
            options.first, options.first + -(-options.cases * TARGETS[name][1] // weight)
        ):
            begun = time.monotonic()
            outcome = run_case(judge, name, options.seed, number)
            slowest = max(slowest, (time.monotonic() - begun, f"{name} {number}"))
            counts[name, outcome.kind] += 1
            if outcome.kind == "finding":
                findings.append(f"{name} {number}: {outcome.detail}")
                if len(findings) <= _SHOWN:
                    print(f"finding: {findings[-1]}", flush=True)
        seconds[name] = time.monotonic() - start

    print(
        f"{'target':12} {'cases':>7} {'accepted':>9} {'refused':>8} {'findings':>9} {'seconds':>8}"
    )
    kinds = ("accepted", "refused", "finding")
    for name in chosen:
        row = [counts[name, kind] for kind in kinds]
        print(f"{name:12} {sum(row):7,} {row[0]:9,} {row[1]:8,} {row[2]:9,} {seconds[name]:8.1f}")
    total = [sum(counts[name, kind] for name in chosen) for kind in kinds]
    spent = sum(seconds.values())
    print(f"{'all':12} {sum(total):7,} {total[0]:9,} {total[1]:8,} {total[2]:9,} {spent:8.1f}")
    print(f"seed {options.seed}; slowest case {slowest[0]:.2f} s ({slowest[1]})")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
