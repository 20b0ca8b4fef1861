"""Does what holds on a processor hold on this machine's GPU, and how fast is it there?

Run: tools/gpu_check.sh [--help]. Every check is a process of its own with a time limit, so that one
that hangs or dies leaves the others alone. Without a GPU the same is done on the processor.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
#: Of two tokens whose logits are nearer to each other than this, either may be the likeliest.
NEAR = 1e-3
#: Seconds that are left for the other checks to be printed and written.
_LEAST = 15


@dataclass
class Found:
    """What a check found.

    Attributes
    ----------
    figures
        What was measured: name, value, unit.
    faults
        What does not hold.
    seconds
        That it took, its start included.
    skipped
        Why it was not made.
    """

    figures: list[tuple[str, Any, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    skipped: str = ""

    def figure(self, name: str, value: Any, unit: str = "") -> None:
        """Note what was measured."""
        self.figures.append((name, value, unit))

    def hold(self, holds: bool, fault: str) -> None:
        """Note a fault unless something holds."""
        if not holds:
            self.faults.append(fault)


def _settings(tiny: bool) -> Any:
    from biasloop.device import cores
    from stage_speed.machine import use_threads
    from stage_speed.settings import DEMO, GPT2_SIZE, BenchSettings

    threads = 1 if tiny else cores()
    use_threads(threads)
    return BenchSettings(DEMO if tiny else GPT2_SIZE, quick=True, threads=threads)


def _forget_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _most_memory() -> tuple[str, float, str]:
    import resource

    import torch

    if torch.cuda.is_available():
        return "peak memory of the GPU", torch.cuda.max_memory_allocated() / 2**30, "GiB"
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return "peak memory of the process", kilobytes / 2**20, "GiB"


def machine(tiny: bool, found: Found) -> None:
    """Look at the card, the versions, and the fastest matrix product; `biasloop doctor`."""
    import torch

    from biasloop.device import choose
    from stage_speed.machine import describe

    command = "from biasloop.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "doctor", "--no-hub"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "200"},
    )
    for line in done.stdout.splitlines():
        name, _, value = line.strip().partition(" ")
        found.figure(f"doctor: {name}", value.strip())
    found.hold(done.returncode == 0, f"biasloop doctor: {done.stderr.strip()[-500:]}")
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        found.figure("memory of the card", card.total_memory / 2**30, "GiB")
        found.figure("CUDA", torch.version.cuda)
        found.hold(choose().name == "cuda", f"a GPU is there, and {choose()} was chosen")
    for precision, peak in describe(_settings(tiny).threads).peak.items():
        found.figure(f"fastest matrix product, {precision}", peak / 1e12, "TFLOP/s")


def training(tiny: bool, found: Found) -> None:
    """Fine-tune in every precision: speed, memory, losses of a plain Trainer, the same bytes."""
    import numpy as np
    import torch

    from biasloop.seeds import generator
    from biasloop.stages.train import train
    from stage_speed import training as measure
    from stage_speed.machine import precisions
    from stage_speed.padded_training import PADDED_TOKENS, train_padded
    from stage_speed.peak import peak

    settings = _settings(tiny)
    start = measure.model_of(settings)
    steps, longest = (2, 32) if tiny else (30, PADDED_TOKENS)
    rng = generator(0, "gpu", "training")
    vocabulary, context = start.model.config.vocab_size, min(start.context, longest)
    count = measure.BATCH * steps
    lengths = np.clip(rng.gamma(*measure.LINES, size=count), 2, context).astype(int)
    samples = {
        "lines": [rng.integers(0, vocabulary, size=n).tolist() for n in lengths],
        f"articles of {context}": rng.integers(0, vocabulary, (count, context)).tolist(),
    }
    plain = measure.Run(measure.steps(train_padded, start, samples["lines"], 0), start, [[1]])
    found.figure("plain Trainer, float32, lines padded", plain.tokens_per_second, "tokens/s")
    for precision in precisions():
        placed = replace(start, device=replace(start.device, precision=precision))
        for what, chosen in samples.items():
            _forget_memory()
            run = measure.Run(measure.steps(train, placed, chosen, 0), start, chosen)
            name = f"{what}, {precision}"
            found.figure(name, run.tokens_per_second, "tokens/s")
            share = run.operations_per_second / peak(precision, settings.threads)
            found.figure(f"{name}: share of peak", 100 * share, "%")
            memory, most, unit = _most_memory()
            found.figure(f"{name}: {memory}", most, unit)
            found.hold(bool(np.isfinite(run.losses).all()), f"{name}: a loss is no number")
            if what == "lines":
                pairs = zip(run.losses, plain.losses, strict=True)
                apart = max(abs(one - other) for one, other in pairs)
                most_apart = 1e-3 if precision == "float32" else 0.1
                found.figure(f"{name}: losses differ from the plain Trainer's by", apart, "nats")
                found.hold(apart <= most_apart, f"{name}: losses differ by {apart:.1e} nats")
        twice = []
        for _ in range(2):
            copied = replace(placed, model=copy.deepcopy(start.model))
            options = {"batch_size": measure.BATCH, "learning_rate": 5e-5, "weight_decay": 0.01}
            train(copied, samples["lines"][: 4 * measure.BATCH], seed=0, **options)
            twice.append(torch.cat([p.detach().flatten() for p in copied.model.parameters()]))
        same = torch.equal(*twice)
        found.figure(f"trained twice, {precision}: same bytes", "yes" if same else "no")
        found.hold(same, f"{precision}: the same training twice gives other weights")


def generation(tiny: bool, found: Found) -> None:
    """Write in every precision: speed, memory, a batch against one by one, the same twice."""
    import numpy as np

    from biasloop.config import GenerationConfig
    from biasloop.seeds import generator
    from biasloop.stages.generate import continue_prompts
    from stage_speed import baselines
    from stage_speed.clock import timed
    from stage_speed.generation import shares
    from stage_speed.machine import precisions
    from stage_speed.subjects import in_precision, language_model

    settings = _settings(tiny)
    loaded = language_model(settings)
    rng = generator(0, "gpu", "prompts")
    vocabulary, end = loaded.model.config.vocab_size, loaded.tokenizer.eos_token_id
    count, few, tokens = (8, 4, 6) if tiny else (256, 24, 64)
    config = GenerationConfig(block_tokens=64, new_tokens=tokens, batch_size=count)
    prompts = rng.integers(0, vocabulary, (count, 64)).tolist()
    ragged = [prompt[: 1 + int(rng.integers(64))] for prompt in prompts]
    nucleus = config.model_copy(update={"decoding": "nucleus"})
    for precision in precisions():
        subject = in_precision(loaded, precision)
        for name, chosen in (("greedy", config), ("nucleus", nucleus)):
            _forget_memory()
            written, seconds = timed(lambda s=subject, c=chosen: continue_prompts(s, prompts, c, 0))
            again = continue_prompts(subject, prompts, chosen, 0)
            what = f"{name}, {precision}, {count} prompts"
            found.figure(what, sum(map(len, written)) / seconds, "tokens/s")
            memory, most, unit = _most_memory()
            found.figure(f"{what}: {memory}", most, unit)
            same = all(map(np.array_equal, written, again))
            found.hold(same, f"{what}: written twice, the tokens differ")
            if name == "greedy":
                share, parts = shares(subject, prompts, chosen, written, seconds, settings)
                found.figure(f"{what}: share of peak", 100 * share, f"% ({parts})")
    together = [one.tolist() for one in continue_prompts(loaded, ragged, config, 0)]
    single = config.model_copy(update={"batch_size": 1})
    for name, alone in (
        (
            "one at a time",
            [t.tolist() for t in continue_prompts(loaded, ragged[:few], single, 0)],
        ),
        ("model.generate", baselines.generate_one_by_one(loaded.model, ragged[:few], tokens, end)),
    ):
        same = sum(one == other for one, other in zip(together, alone, strict=False))
        found.figure(f"a float32 batch writes the tokens of {name}", same, f"of {few}")
        for prompt, one, other in zip(ragged, together, alone, strict=False):
            gap = _gap(loaded.model, prompt, one, other)
            found.hold(gap < NEAR, f"a batch writes another token than {name}, {gap:.1e} apart")


def _gap(model: Any, prompt: list[int], one: Sequence[int], other: Sequence[int]) -> float:
    """How far apart the logits of the first two tokens that differ are; 0 where none do."""
    import torch

    length = min(len(one), len(other))
    place = next((i for i in range(length) if one[i] != other[i]), None)
    if place is None:
        return 0.0 if len(one) == len(other) else float("inf")
    read = torch.tensor([[*prompt, *one[:place]]], device=model.device)
    with torch.inference_mode():
        logits = model(input_ids=read).logits[0, -1]
    return float((logits[one[place]] - logits[other[place]]).abs())


def _train_to(tiny: bool, checkpoints: str | None, out: str) -> None:
    """Fine-tune, in a process that may be killed, a model with dropout; write its weights."""
    import torch

    from biasloop.device import choose_for_training
    from biasloop.models.load import save_model
    from biasloop.seeds import generator
    from biasloop.stages.train import train
    from stage_speed.training import model_of

    loaded = model_of(_settings(tiny))
    for module in loaded.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.1
    rng = generator(0, "gpu", "resume")
    samples = rng.integers(0, loaded.model.config.vocab_size, (8 * 10, 16 if tiny else 64)).tolist()
    train(
        replace(loaded, device=choose_for_training()),
        samples,
        seed=0,
        batch_size=8,
        learning_rate=5e-5,
        weight_decay=0.01,
        checkpoints=Path(checkpoints) if checkpoints else None,
        checkpoint_minutes=0,
    )
    save_model(loaded, Path(out))


def resume(tiny: bool, found: Found) -> None:
    """Kill a fine-tuning with SIGKILL after a checkpoint, go on, compare every weight."""
    import torch
    from safetensors.torch import load_file

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["biasloop.stages.finetune", "transformers.trainer"])
    with tempfile.TemporaryDirectory(prefix="biasloop-gpu-") as name:
        place = Path(name)

        def start(checkpoints: Path | None, out: str) -> Any:
            kept = None if checkpoints is None else str(checkpoints)
            process = context.Process(target=_train_to, args=(tiny, kept, str(place / out)))
            process.start()
            return process

        kept = place / "checkpoints"
        process = start(kept, "killed")
        while process.exitcode is None and not any(kept.glob("checkpoint-[3-9]")):
            process.join(0.005)
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        last = max((path.name for path in kept.glob("checkpoint-*")), default="none")
        found.figure("killed after", last)
        found.hold(process.exitcode == -signal.SIGKILL, "the training ended before it was killed")
        codes = []
        for checkpoints, out in ((kept, "resumed"), (None, "whole")):
            process = start(checkpoints, out)
            process.join()
            codes.append(process.exitcode)
        found.hold(codes == [0, 0], f"going on, and never stopped: exit codes {codes}")
        if codes == [0, 0]:
            one, other = (load_file(place / w / "model.safetensors") for w in ("resumed", "whole"))
            same = one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
            apart = max(float((one[k] - other[k]).abs().max()) for k in one)
            found.figure("weights equal, byte for byte", "yes" if same else "no")
            found.figure("weights differ by at most", apart)
            found.hold(apart <= 1e-5, f"weights differ by {apart:.1e}")


def tests(tiny: bool, found: Found) -> None:
    """Run the tests that are marked for an accelerator."""
    files = [str(p) for p in (ROOT / "tests").rglob("test_*.py") if "mark.accelerator" in _text(p)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "accelerator", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = (done.stdout + done.stderr).splitlines()
    summary = next((line for line in reversed(lines) if re.search(r"\d+ passed", line)), "")
    found.figure("pytest -m accelerator", summary.strip(" ="))
    for line in lines:
        found.hold(not line.startswith(("FAILED", "ERROR")), line[:400])
    found.hold(done.returncode == 0, "pytest: " + " | ".join(lines[-12:])[-1200:])


def control(tiny: bool, found: Found) -> None:
    """Plant amplification and look for it: `biasloop validate`'s positive control, one regime."""
    import biasloop as bl

    with tempfile.TemporaryDirectory(prefix="biasloop-gpu-") as name:
        os.environ["BIASLOOP_CACHE"] = f"{name}/cache"
        run = bl.run("control-positive", f"{name}/run", ["regimes=[synthetic]"])
        (verdict,) = run.verdicts()
        change = verdict.leaning_change
        found.figure("amplified", verdict.amplified)
        if change is not None:
            found.figure("change of the planted leaning", 100 * change.value, "points")
        planted = verdict.amplified == "yes" and change is not None and change.value > 0
        found.hold(planted, f"planted amplification is not found: {verdict.amplified}")


#: Check -> what makes it, and the seconds that it may take.
CHECKS: dict[str, tuple[Callable[[bool, Found], None], int]] = {
    "machine": (machine, 75),
    "training": (training, 120),
    "generation": (generation, 100),
    "resume": (resume, 120),
    "tests": (tests, 150),
    "control": (control, 180),
}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def make(name: str, tiny: bool, out: Path) -> None:
    """Make a check in this process, and write what it found."""
    found = Found()
    try:
        CHECKS[name][0](tiny, found)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename}:{last.lineno}"
        found.faults.append(f"{type(error).__name__}: {str(error)[:600]} ({place})")
        traceback.print_exc()
    out.write_text(json.dumps(asdict(found)), encoding="utf-8")


def limited(name: str, tiny: bool, seconds: float) -> Found:
    """Make a check in a process of its own, which is killed with all that it started at the end."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="biasloop-gpu-") as place:
        out, said = Path(place) / "found.json", Path(place) / "said"
        command = [sys.executable, __file__, "--make", name, "--out", str(out)]
        with said.open("w", encoding="utf-8") as stream:
            process = subprocess.Popen(
                [*command, *(["--tiny"] if tiny else [])],
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
            try:
                process.wait(seconds)
                ended = f"its process ended with code {process.returncode}"
            except subprocess.TimeoutExpired:
                ended = f"stopped after its limit of {seconds:.0f} s"
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if out.is_file():
            found = Found(**json.loads(_text(out)))
        else:
            tail = said.read_text(encoding="utf-8", errors="replace")[-600:].strip()
            found = Found(faults=[f"{ended}: {' '.join(tail.split())}"])
    found.seconds = time.monotonic() - begun
    return found


def check_all(names: Sequence[str], tiny: bool, total: float, out: Path | None) -> bool:
    """Make checks one after the other, print and write what each found; say whether all hold."""
    begun, made = time.monotonic(), {}
    for name in names:
        left = total - (time.monotonic() - begun)
        if left < _LEAST:
            made[name] = Found(skipped=f"{left:.0f} s were left of {total:.0f}")
        else:
            made[name] = limited(name, tiny, min(CHECKS[name][1], left))
        for line in table(name, made[name]):
            print(line, flush=True)
        if out is not None:  # at once: whoever runs this may be stopped
            found = {name: asdict(one) for name, one in made.items()}
            out.write_text(json.dumps({"tiny": tiny, "checks": found}, indent=2), encoding="utf-8")
    print()
    for name, one in made.items():
        verdict = "skipped" if one.skipped else "FAILED" if one.faults else "ok"
        reason = one.skipped or "; ".join(one.faults)
        print(f"{name:<12}{verdict:<9}{one.seconds:5.0f} s  {reason}"[:600])
    return not any(one.faults for one in made.values())


def table(name: str, found: Found) -> list[str]:
    """Lay out what a check found, a line for each figure and fault."""
    rows = [(what, _shown(value), unit) for what, value, unit in found.figures]
    lines = [f"{name:<12}{what:<64}{value:>12} {unit}".rstrip() for what, value, unit in rows]
    return [*lines, *(f"{name:<12}FAILED: {fault}" for fault in found.faults)]


def _shown(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write every figure here, as JSON")
    parser.add_argument("--only", action="append", choices=CHECKS, help="may be given again")
    parser.add_argument("--tiny", action="store_true", help="small models: does the check work?")
    parser.add_argument("--total", type=float, default=350, help="seconds [default: %(default)s]")
    parser.add_argument("--make", choices=CHECKS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.make:
        make(options.make, options.tiny, options.out)
        return 0
    names = options.only or list(CHECKS)
    return 0 if check_all(names, options.tiny, options.total, options.out) else 1


if __name__ == "__main__":
    sys.exit(main())
