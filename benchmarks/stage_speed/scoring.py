"""Speed of the transformer classifiers and of perplexity beside `baselines`."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np

from biasloop.config import MetricsConfig
from biasloop.metrics.perplexity import MAX_TOKENS, perplexities
from stage_speed import baselines, operations
from stage_speed.clock import timed
from stage_speed.figure import Figure
from stage_speed.machine import precisions
from stage_speed.peak import peak
from stage_speed.settings import BenchSettings
from stage_speed.subjects import classifier, in_precision, language_model, texts

#: Words of an article (a news article's beginning to a long one) and of a sentence.
_ARTICLE = (80, 400)
_SENTENCE = (6, 30)


def measure_leaning(settings: BenchSettings) -> list[Figure]:
    """Measure a transformer classifier over articles."""
    config = MetricsConfig().leaning
    articles = texts(settings.seed, 8 if settings.quick else 48, *_ARTICLE)
    return _classified(
        settings, "leaning", articles, "articles/s", config.batch_size, config.max_tokens
    )


def measure_quality(settings: BenchSettings) -> list[Figure]:
    """Measure a transformer classifier over sentences."""
    config = MetricsConfig().quality
    sentences = texts(settings.seed, 64 if settings.quick else 512, *_SENTENCE)
    return _classified(settings, "quality", sentences, "sentences/s", config.batch_size, 512)


def _classified(
    settings: BenchSettings, stage: str, items: list[str], unit: str, batch: int, cut: int
) -> list[Figure]:
    import torch

    subject = classifier(settings)
    few = items[: 4 if settings.quick else 24]
    expected, slow = timed(
        lambda: baselines.classify_one_by_one(subject.model, subject.tokenizer, few, cut)
    )
    # As the published scripts do; a few tell, since every text takes the same time.
    _, slowest = timed(
        lambda: baselines.classify_one_by_one(
            subject.model, subject.tokenizer, few[:4], cut, padded=True
        )
    )
    lengths = [min(cut, len(ids)) for ids in subject.tokenizer(items, verbose=False)["input_ids"]]
    work = operations.reading(subject.model, lengths, judged=False, causal=False)
    what = unit.removesuffix("s/s")
    figures = []
    for precision in precisions():
        narrow = replace(subject, model=copy.deepcopy(subject.model).to(getattr(torch, precision)))
        found, fast = timed(lambda s=narrow: s.probabilities(items, batch, cut))
        difference = np.abs(found[: len(few)] - expected).max()
        figures.append(
            Figure(
                stage=stage,
                what=f"{what}s of {np.mean(lengths):.0f} tokens, {precision}",
                baseline_name=f"one {what} at a time, float32",
                unit=unit,
                speed=len(items) / fast,
                baseline=len(few) / slow,
                wanted=10.0,
                peak_share=work / fast / peak(precision, settings.threads),
                note=f"probabilities differ by {difference:.0e} at most",
            )
        )
        figures.append(
            replace(
                figures[-1],
                baseline_name=f"one {what} at a time, padded to {cut}, float32",
                baseline=len(few[:4]) / slowest,
                note="",
            )
        )
    return figures


def measure_perplexity(settings: BenchSettings) -> list[Figure]:
    """Measure perplexity of articles under the model, in every precision there is."""
    loaded = language_model(settings)
    articles = texts(settings.seed, 8 if settings.quick else 48, *_ARTICLE)
    few = articles[: 4 if settings.quick else 16]
    cut = min(MAX_TOKENS, loaded.context)
    expected, slow = timed(
        lambda: baselines.perplexity_one_by_one(loaded.model, loaded.tokenizer, few, cut)
    )
    batch = MetricsConfig().perplexity_batch_size
    lengths = [min(cut, len(ids)) for ids in loaded.tokenizer(articles, verbose=False)["input_ids"]]
    work = operations.reading(loaded.model, lengths, judged=True)
    figures = []
    for precision in precisions():
        model = in_precision(loaded, precision).model
        found, fast = timed(lambda m=model: perplexities(m, loaded.tokenizer, articles, batch))
        apart = np.abs(found[: len(few)] / expected - 1).max()
        figures.append(
            Figure(
                stage="perplexity",
                what=f"articles of {np.mean(lengths):.0f} tokens, {precision}",
                baseline_name="one article at a time, float32",
                unit="articles/s",
                speed=len(articles) / fast,
                baseline=len(few) / slow,
                wanted=6.0,
                peak_share=work / fast / peak(precision, settings.threads),
                note=f"differs by {apart:.0e} at most",
            )
        )
    return figures
