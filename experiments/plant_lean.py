"""Give a real language model a known lean: train it on passages of two leanings in a known mix.

Run: python experiments/plant_lean.py CONFIG OUT [--mix 0.7] [--epochs 3] [--learning-rate 5e-5].
The passages are those of the config's corpus that neither the loop nor an instrument has (its
pre-training part): all of the leaning that the mix lets most of, and a sample of the other.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import polars as pl

from biasloop.config import load_config
from biasloop.corpus.load import load_corpus
from biasloop.corpus.split import split_parts
from biasloop.device import choose_for_training
from biasloop.models.load import load_model, save_model
from biasloop.stages.finetune import finetune
from biasloop.tables import ARTICLES, conform


def mixed(articles: pl.DataFrame, labels: tuple[str, str], share: float, seed: int) -> pl.DataFrame:
    """Take as many articles as have ``share`` of the first label, the rest of the second."""
    own = [articles.filter(label=label) for label in labels]
    size = min(own[0].height / share, own[1].height / (1 - share))
    counts = [round(size * share), round(size * (1 - share))]
    taken = [part.sample(n, seed=seed) for part, n in zip(own, counts, strict=True)]
    return conform(pl.concat(taken), ARTICLES)


def main() -> None:
    """Train and write the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config")
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--mix", type=float, default=0.7, help="share of the first label")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--learning-rate", type=float, help="[default: the config's]")
    arguments = parser.parse_args()
    config = load_config(arguments.config)
    corpus = load_corpus(config.corpus, config.seed)
    parts = split_parts(corpus, config.corpus, config.seed).filter(part="pretraining")
    labels = (corpus.labels[0], corpus.labels[1])
    articles = mixed(parts, labels, arguments.mix, config.seed)
    counts = {label: articles.filter(label=label).height for label in labels}
    loaded = load_model(arguments.model, precision="float32")
    loaded = replace(loaded, device=choose_for_training(config.training.precision))
    rate = arguments.learning_rate or config.training.learning_rate
    changed = {"epochs": arguments.epochs, "learning_rate": rate}
    training = config.training.model_copy(update=changed)
    log = finetune(loaded, articles, training, seed=config.seed)
    arguments.out.mkdir(parents=True)
    save_model(loaded, arguments.out)
    print(f"{arguments.out}: {counts}, {log.tokens:,} tokens, last loss {log.losses[-1]:.2f}")


if __name__ == "__main__":
    main()
