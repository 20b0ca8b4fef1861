"""Reference figures of Wang et al.: what is printed, and what their released files come to.

The one place that knows these numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

PAPER = (
    "Wang et al., Bias Amplification: Language Models as Increasingly Biased Media, "
    "arXiv 2410.15234 (IJCNLP-AACL 2025)"
)
#: Where a reference stands, in words.
SOURCES: Mapping[str, str] = {
    "printed": f"in {PAPER}, or in the authors' README",
    "release": "computed once, with awk, from the files that the authors released (MIT), and "
    "rounded: no figure of the paper",
}

#: The label set of the paper's experiment, in order.
LABELS = ("left", "center", "right")


@dataclass(frozen=True)
class Reference:
    """One reference figure.

    Attributes
    ----------
    quantity
        As in `analysis.summarise`: ``share:LABEL``, ``quality``, ``perplexity``;
        ``neurons:METRIC`` and ``neurons:METRIC and METRIC``, counts at p < 0.05; or
        ``classifier:macro F1``, which no released file can give.
    regime
        Its name, ``base`` for the untouched base model; empty for neurons and the classifier.
    generation
        The paper's number; -1 where there is none.
    value
        Shares in %.
    digits
        Decimals that it was written with.
    source
        A key of `SOURCES`.
    """

    quantity: str
    regime: str
    generation: int
    value: float
    digits: int
    source: Literal["printed", "release"]


#: Regime -> the figures of Generation 0 to 10.
_Series = Mapping[str, tuple[float, ...]]
_LEFT: _Series = {
    "synthetic": (10.8, 7.4, 6.2, 4.7, 3.4, 3.4, 4.2, 4.9, 4.1, 5.1, 4.5),
    "preservation": (10.8, 9.0, 9.2, 8.9, 8.6, 8.8, 10.0, 9.4, 9.9, 9.7, 10.5),
    "accumulation": (10.8, 10.8, 11.0, 11.7, 11.8, 13.0, 12.6, 13.4, 14.0, 13.1, 13.7),
    "overfitting": (17.1, 18.0, 19.0, 17.5, 18.1, 17.2, 17.5, 21.5, 23.0, 25.3, 23.3),
}
_CENTER: _Series = {
    "synthetic": (34.8, 40.9, 37.9, 36.8, 33.0, 32.9, 28.3, 34.3, 34.2, 31.9, 36.3),
    "preservation": (34.8, 41.4, 44.8, 45.4, 45.7, 46.2, 46.5, 47.4, 47.5, 46.4, 46.6),
    "accumulation": (34.8, 40.1, 42.8, 43.0, 44.1, 43.9, 44.5, 44.0, 44.2, 45.2, 43.5),
    "overfitting": (34.7, 38.1, 34.0, 31.2, 30.2, 29.2, 25.6, 20.9, 19.4, 14.8, 15.0),
}
_RIGHT: _Series = {
    "synthetic": (54.4, 51.6, 55.9, 58.5, 63.6, 63.7, 67.5, 60.9, 61.7, 62.9, 59.2),
    "preservation": (54.4, 49.6, 46.0, 45.7, 45.8, 45.0, 43.5, 43.1, 42.6, 43.9, 42.9),
    "accumulation": (54.4, 49.1, 46.2, 45.3, 44.1, 43.0, 42.9, 42.6, 41.8, 41.7, 42.8),
    "overfitting": (48.2, 43.9, 47.0, 51.4, 51.6, 53.6, 56.9, 57.6, 57.6, 59.9, 61.8),
}
_QUALITY: _Series = {
    "synthetic": (2.322, 2.321, 2.272, 2.160, 2.030, 1.946, 1.944, 1.949, 1.954, 1.635, 1.665),
    "preservation": (2.322, 2.309, 2.269, 2.231, 2.228, 2.229, 2.230, 2.247, 2.258, 2.261, 2.261),
    "accumulation": (2.322, 2.306, 2.279, 2.272, 2.276, 2.258, 2.248, 2.255, 2.240, 2.238, 2.237),
    "overfitting": (2.261, 2.178, 2.034, 1.928, 1.846, 1.806, 1.743, 1.664, 1.582, 1.537, 1.556),
}
_PERPLEXITY: _Series = {
    "synthetic": (7.41, 6.16, 5.98, 5.65, 5.31, 4.78, 4.27, 3.77, 3.49, 3.25, 3.06),
}
#: Quantity -> its series, and the decimals that they are written with.
_SERIES: Mapping[str, tuple[_Series, int]] = {
    "share:left": (_LEFT, 1),
    "share:center": (_CENTER, 1),
    "share:right": (_RIGHT, 1),
    "quality": (_QUALITY, 3),
    "perplexity": (_PERPLEXITY, 2),
}

#: The regimes, in the paper's order.
REGIMES = tuple(_RIGHT)

REFERENCES: tuple[Reference, ...] = (
    Reference("share:left", "base", -1, 5.3, 1, "release"),
    Reference("share:center", "base", -1, 47.9, 1, "printed"),
    Reference("share:right", "base", -1, 46.8, 1, "printed"),
    *(
        Reference(quantity, regime, generation, value, digits, "release")
        for quantity, (series, digits) in _SERIES.items()
        for regime, values in series.items()
        for generation, value in enumerate(values)
    ),
    Reference("neurons:bias", "", -1, 3243, 0, "printed"),
    Reference("neurons:quality", "", -1, 1033, 0, "printed"),
    Reference("neurons:bias and quality", "", -1, 389, 0, "printed"),
    Reference("classifier:macro F1", "", -1, 0.9196, 4, "printed"),
)
