"""What Wang et al. published, with its source. The one place that knows the paper's numbers."""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = (
    "Wang et al., Bias Amplification: Language Models as Increasingly Biased Media, "
    "arXiv 2410.15234 (IJCNLP-AACL 2025), with the authors' released data (MIT)"
)

#: The label set of the paper's experiment, in order.
LABELS = ("left", "center", "right")


@dataclass(frozen=True)
class Published:
    """One published figure.

    Attributes
    ----------
    quantity
        As in `analysis.summarise`: ``share:LABEL``, ``quality``, ``perplexity``; or
        ``neurons:METRIC`` and ``neurons:METRIC and METRIC``, counts at p < 0.05.
    regime
        Its name, ``base`` for the untouched base model; empty for neurons.
    generation
        The paper's number; -1 for the base model and for neurons.
    value
        Shares in %.
    digits
        Decimals that it was published with.
    """

    quantity: str
    regime: str
    generation: int
    value: float
    digits: int


_RIGHT = {
    "synthetic": (54.4, 51.6, 55.9, 58.5, 63.6, 63.7, 67.5, 60.9, 61.7, 62.9, 59.2),
    "preservation": (54.4, 49.6, 46.0, 45.7, 45.8, 45.0, 43.5, 43.1, 42.6, 43.9, 42.9),
    "accumulation": (54.4, 49.1, 46.2, 45.3, 44.1, 43.0, 42.9, 42.6, 41.8, 41.7, 42.8),
    "overfitting": (48.2, 43.9, 47.0, 51.4, 51.6, 53.6, 56.9, 57.6, 57.6, 59.9, 61.8),
}
_BASE = {"left": 5.3, "center": 47.9, "right": 46.8}
#: Generation 0 and Generation 10.
_QUALITY = {
    "synthetic": (2.322, 1.665),
    "preservation": (2.322, 2.261),
    "accumulation": (2.322, 2.237),
    "overfitting": (2.261, 1.556),
}
_PERPLEXITY = {"synthetic": (7.41, 3.06)}
_NEURONS = {"bias": 3243, "quality": 1033, "bias and quality": 389}

#: The regimes, in the paper's order.
REGIMES = tuple(_RIGHT)

PUBLISHED: tuple[Published, ...] = (
    *(Published(f"share:{label}", "base", -1, value, 1) for label, value in _BASE.items()),
    *(
        Published("share:right", regime, generation, value, 1)
        for regime, values in _RIGHT.items()
        for generation, value in enumerate(values)
    ),
    *(
        Published(quantity, regime, generation, value, digits)
        for quantity, ends, digits in (("quality", _QUALITY, 3), ("perplexity", _PERPLEXITY, 2))
        for regime, values in ends.items()
        for generation, value in zip((0, 10), values, strict=True)
    ),
    *(Published(f"neurons:{metric}", "", -1, count, 0) for metric, count in _NEURONS.items()),
)
