"""How often is planted amplification found, and called where there is none?

    python benchmarks/controls.py controls.jsonl [--repetitions 20]

Repeats both controls with other root seeds: other words, articles, base models, instruments and
chains; the synthetic regime alone, 3 chains. Each verdict is one line of the file. Run again with
the same file, it goes on where it was stopped, and prints the counts so far. Wanted: the planted
amplification found in 19 of 20, and at most 1 of 20 called where there is none. A repetition of
both takes about 1.5 minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from biasloop import api
from biasloop.config import load_config
from biasloop.controls import CONTROLS, forecast_path, measured_path

LEANING = "red"
SEEDS = (0, 1, 2)


def repetition(control: str, seed: int, folder: Path) -> dict:
    """Run one control and give its verdict on the synthetic regime as one JSON object."""
    begun = time.process_time()
    overrides = [f"seed={seed}", "regimes=[synthetic]", f"loop.seeds={list(SEEDS)}"]
    config = load_config(CONTROLS[control], overrides)
    run = api.run(config, folder / control)
    (verdict,) = run.verdicts()
    change, summary = verdict.leaning_change, run.summary()
    return {
        "control": control,
        "seed": seed,
        "amplified": verdict.amplified,
        "bias": verdict.bias,
        "same_direction": verdict.same_direction,
        "change": change.value if change else None,
        "low": change.low if change else None,
        "high": change.high if change else None,
        "forecast": forecast_path(config, verdict.regime, LEANING).round(4).tolist(),
        "measured": measured_path(summary, verdict.regime, LEANING).round(4).tolist(),
        "chains": {
            str(chain): measured_path(summary, verdict.regime, LEANING, chain).round(4).tolist()
            for chain in SEEDS
        },
        "cpu_seconds": round(time.process_time() - begun, 1),
    }


def show(rows: list[dict]) -> None:
    """Print how often each control was called amplified, and what moved."""
    for control in CONTROLS:
        own = [row for row in rows if row["control"] == control]
        called = [row for row in own if row["amplified"] == "yes"]
        up = sum((row["change"] or 0) > 0 for row in called)
        answers = dict.fromkeys(sorted({row["amplified"] for row in own}), 0)
        for row in own:
            answers[row["amplified"]] += 1
        changes = sorted(100 * row["change"] for row in own if row["change"] is not None)
        spread = f"; change {changes[0]:+.1f} to {changes[-1]:+.1f} points" if changes else ""
        print(
            f"{control}: called amplified in {len(called)} of {len(own)}"
            f" ({up} of them with {LEANING} growing){spread}; {answers}"
        )


def main() -> None:
    """Parse, run what is missing, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="JSON lines; gone on with where it exists")
    parser.add_argument("--repetitions", type=int, default=20)
    given = parser.parse_args()
    given.file.touch()
    rows = [json.loads(line) for line in given.file.read_text().splitlines()]
    done = {(row["control"], row["seed"]) for row in rows}
    for seed in range(1, given.repetitions + 1):  # 0 is what the controls were developed on
        missing = [control for control in CONTROLS if (control, seed) not in done]
        if not missing:
            continue
        with tempfile.TemporaryDirectory(prefix="biasloop-controls-") as folder:
            os.environ["BIASLOOP_CACHE"] = str(Path(folder) / "cache")
            for control in missing:
                rows.append(repetition(control, seed, Path(folder)))
                with given.file.open("a") as handle:
                    handle.write(json.dumps(rows[-1]) + "\n")
    show(rows)


if __name__ == "__main__":
    main()
