"""The whole demo against the same protocol with every plain baseline in place of its fast path."""

from __future__ import annotations

import contextlib
import importlib
import tempfile
import time
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from biasloop.config import GenerationConfig, load_config
from biasloop.loop import Store, contents_of, make_plan
from biasloop.loop.execute import missing_stages
from biasloop.loop.plan import Plan
from biasloop.metrics.perplexity import perplexities
from biasloop.models.load import LoadedModel
from biasloop.stages.neurons import summarise_neurons
from stage_speed.figure import Figure
from stage_speed.padded_training import train_padded
from stage_speed.settings import DEMO, BenchSettings

#: Of the demo's 450 steps of pre-training and 36 articles per label, this many; quick, this many.
_STEPS, _QUICK_STEPS = 60, 15
_ARTICLES, _QUICK_ARTICLES = 18, 9
#: Kinds of stage whose work does not grow with the articles in the loop.
_FIXED = frozenset({"corpus", "base", "instrument"})


def measure_demo(settings: BenchSettings) -> list[Figure]:
    """Run a shortened demo both ways, and reckon the whole demo from it.

    The short one has one chain of one regime, Generation 0 and 1, and part of the articles and of
    the pre-training. Each stage has a cost (epochs times sets of articles, tokens, or 1), as the
    time left on a user's screen is told by: what a kind of stage took per cost and article, times
    cost and articles in the whole demo, is added up. What does not grow with the articles, such as
    loading a model, is multiplied all the same: against the fast side more than the plain one.
    """
    if settings.model != DEMO:
        return []
    steps = _QUICK_STEPS if settings.quick else _STEPS
    articles = _QUICK_ARTICLES if settings.quick else _ARTICLES
    config = load_config(
        "demo",
        [
            "loop.generations=1",
            "loop.seeds=[0]",
            "regimes=[synthetic]",
            f"base.scratch.pretraining.steps={steps}",
            f"corpus.articles_per_label={articles}",
            f"seed={settings.seed}",
        ],
    )
    full = load_config("demo")
    contents = contents_of(config)
    whole = make_plan(full, contents)
    plan = make_plan(config, contents)
    more = (full.corpus.articles_per_label or articles) / articles
    # The first pass loads libraries and touches memory, which is no stage's work.
    _run(plan)
    fast = _reckon(_run(plan), whole, more)
    with plain():
        slow = _reckon(_run(plan), whole, more)
    kinds = ", ".join(f"{kind} {slow[kind]:,.0f} -> {fast[kind]:,.0f}" for kind in fast)
    return [
        Figure(
            stage="demo",
            what=f"{len(full.regimes)} regimes of {len(full.loop.seeds)} chains, Generation 0 to "
            f"{full.loop.generations}, reckoned from one chain of two generations",
            baseline_name="padded float32 Trainer, one prompt and one article at a time",
            unit="demos/hour",
            speed=3600 / sum(fast.values()),
            baseline=3600 / sum(slow.values()),
            wanted=8.0,
            note=f"seconds by kind of stage: {kinds}",
        )
    ]


def _run(plan: Plan) -> dict[str, tuple[float, float]]:
    """Run every stage; seconds and cost by kind."""
    found: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    with tempfile.TemporaryDirectory(prefix="biasloop-bench-") as folder:
        store = Store(Path(folder) / "run", Path(folder) / "cache")
        for home in (store.root, store.cache):
            (home / "stages").mkdir(parents=True)
        for stage in missing_stages(plan, store):
            inputs = {name: store.path(source) for name, source in stage.inputs.items()}
            scratch = Path(folder) / "scratch" / stage.key
            scratch.mkdir(parents=True)
            begun = time.perf_counter()
            with store.writing(stage) as out:
                stage.run(out, inputs, lambda tokens: None, scratch)
                store.record(stage, out, 0.0)
            seconds, cost = found[stage.kind]
            took = time.perf_counter() - begun
            found[stage.kind] = (seconds + took, cost + (stage.cost or 1.0))
    return dict(found)


def _reckon(measured: dict[str, tuple[float, float]], whole: Plan, more: float) -> dict[str, float]:
    """Seconds of each kind of stage in the whole plan, which has ``more`` times the articles."""
    costs: dict[str, float] = defaultdict(float)
    for stage in whole.stages.values():
        costs[stage.kind] += stage.cost or 1.0
    return {
        kind: seconds / cost * costs[kind] * (1.0 if kind in _FIXED else more)
        for kind, (seconds, cost) in measured.items()
    }


@contextlib.contextmanager
def plain() -> Generator[None]:
    """Put the plain baselines in place of the fast paths, for a while.

    Training pads to 512 tokens in float32, generation continues one prompt at a time, perplexity
    and neurons read one article at a time, updates one block at a time, and instruments are fitted
    on as many threads as scikit-learn takes. The other scores are as they are.
    """
    baselines: dict[tuple[str, str], Any] = {
        ("biasloop.stages.finetune", "train"): train_padded,
        ("biasloop.stages.pretrain", "train"): train_padded,
        ("biasloop.stages.generate", "continue_prompts"): _one_prompt_at_a_time,
        ("biasloop.metrics.perplexity", "perplexities"): _one_article_at_a_time,
        ("biasloop.loop.score_stages", "perplexities"): _one_article_at_a_time,
        ("biasloop.stages.neurons", "summarise_neurons"): _neurons_of_one_article_at_a_time,
        ("biasloop.stages.update", "_BATCH"): 1,
        ("biasloop.stages.update", "prepacked"): contextlib.nullcontext,
        ("biasloop.metrics.classifier", "_one_thread"): contextlib.nullcontext,
    }
    # Not by attribute: a package's function may have its module's name.
    places = [
        (importlib.import_module(module), name, baseline)
        for (module, name), baseline in baselines.items()
    ]
    before = [getattr(module, name) for module, name, _ in places]
    try:
        for module, name, baseline in places:
            setattr(module, name, baseline)
        yield
    finally:
        for (module, name, _), fast in zip(places, before, strict=True):
            setattr(module, name, fast)


def _one_prompt_at_a_time(
    loaded: LoadedModel,
    prompts: Any,
    config: GenerationConfig,
    seed: int,
    *_: Any,
) -> list[Any]:
    import torch

    torch.manual_seed(seed)
    end = loaded.tokenizer.eos_token_id
    model: Any = loaded.model
    written = []
    for prompt in prompts:
        ids = torch.as_tensor(np.asarray(prompt, dtype=np.int64))[None].to(model.device)
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=config.new_tokens,
            do_sample=True,
            top_p=config.top_p,
            top_k=0,
            temperature=config.temperature,
            pad_token_id=end,
        )
        written.append(out[0, ids.shape[1] :].cpu().numpy().astype(np.int32))
    return written


def _one_article_at_a_time(
    model: Any,
    tokenizer: Any,
    texts: Any,
    batch_size: int,
    *rest: Any,
) -> np.ndarray:
    del batch_size
    return np.concatenate([perplexities(model, tokenizer, [text], 1, *rest) for text in texts])


def _neurons_of_one_article_at_a_time(*given: Any, batch_size: int, **options: Any) -> Any:
    del batch_size
    return summarise_neurons(*given, batch_size=1, **options)
