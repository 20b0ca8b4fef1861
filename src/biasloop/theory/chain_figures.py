"""Figures of a simulated chain, as PNG bytes. Computes nothing that is not measured already."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from biasloop.errors import InputError
from biasloop.theory.chain import Chain, population_path
from biasloop.theory.family import Floats
from biasloop.theory.measures import INTERVAL, measure
from biasloop.theory.settings import Settings, unlimited

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS = {
    "mean": "Mean of x",
    "mode": "Mode of x",
    "bias": "Bias: mean − real mean",
    "variance": "Variance",
    "entropy": "Entropy (nats)",
    "tail": "Tail mass / real tail mass",
}
_MAXIMUM_ROWS = 12
#: The generations of the paper's figure, and a shade for each.
_OVERLAID = (0, 4, 6, 10)
_SHADES = ("#9dc3e3", "#5b9bd0", "#2a6ea8", "#0b3a63")
_REAL_COLOUR = "#555555"
_COLOUR = "#1f6fb2"
_EXACT_COLOUR = "#c8501e"


def density_png(chain: Chain) -> bytes:
    """Density of every generation, one above the other, each scaled to its own peak.

    The base (under WMLE) and the real data come first; the dashed line is the real mean. Long
    chains show twelve generations, evenly spaced.
    """
    from matplotlib.figure import Figure

    given = chain.settings
    family = given.family
    shown = np.linspace(0, given.generations - 1, min(given.generations, _MAXIMUM_ROWS)).round()
    rows = _models(chain, np.unique(shown).astype(int).tolist())
    x = family.grid(np.stack([parameters for _, parameters in rows]))
    figure = Figure(figsize=(6.4, 0.42 * len(rows) + 1.3), layout="constrained")
    axes = figure.subplots()
    for index, (name, parameters) in enumerate(rows):
        height = family.density(parameters, x)
        base = -float(index)
        colour = _COLOUR if name.startswith("Generation") else _REAL_COLOUR
        if len(x) < 20:
            axes.bar(x, 0.85 * height, bottom=base, width=0.3 / len(x), color=colour)
        else:
            curve = base + 0.85 * height / height.max()
            axes.fill_between(x, base, curve, color=colour, alpha=0.35, linewidth=0)
            axes.plot(x, curve, color=colour, linewidth=1.0)
    real_mean = family.mean(given.real_array()[None, :])[0]
    axes.axvline(real_mean, color=_REAL_COLOUR, linestyle="--", linewidth=1.0)
    axes.set_yticks([-float(index) for index in range(len(rows))], [name for name, _ in rows])
    axes.set_xlabel("x  (each curve scaled to its peak; dashed: mean of the real data)")
    axes.set_title(_title(given), fontsize=10)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return _png(figure)


def _models(chain: Chain, generations: list[int]) -> list[tuple[str, Floats]]:
    """Give the base (under WMLE), the real data and the median fit of some generations, by name."""
    given = chain.settings
    found = [("pre-trained", np.array(given.pretrained))] if given.estimator == "wmle" else []
    found.append(("real data", given.real_array()))
    middle = np.median(chain.parameters, axis=1)
    return found + [(f"Generation {generation}", middle[generation]) for generation in generations]


def overlay_png(chain: Chain) -> bytes:
    """Draw the densities of Generations 0, 4, 6 and 10 on one axis, as the paper's figure has them.

    The base (under WMLE) and the real data are dashed and dotted. A chain that is shorter shows
    the generations that it has of these, and its last.
    """
    from matplotlib.figure import Figure

    given = chain.settings
    family = given.family
    last = given.generations - 1
    shown = sorted({g for g in _OVERLAID if g <= last} | {min(last, _OVERLAID[-1])})
    lines = _models(chain, shown)
    x = family.grid(np.stack([parameters for _, parameters in lines]))
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.subplots()
    few = len(x) < 20
    looks = {"pre-trained": (_EXACT_COLOUR, "--"), "real data": (_REAL_COLOUR, ":")}
    looks |= {f"Generation {g}": (shade, "-") for g, shade in zip(shown, _SHADES, strict=False)}
    for name, parameters in lines:
        colour, dash = looks[name]
        marker = "o" if few else None
        axes.plot(x, family.density(parameters, x), dash, color=colour, marker=marker, label=name)
    axes.set_xlabel("x")
    axes.set_ylabel("probability" if few else "density")
    axes.set_title(_title(given), fontsize=10)
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def path_png(chain: Chain) -> bytes:
    """Mean, mode, bias, variance, entropy and tail by generation.

    Line: median over replicates; band: 2.5 to 97.5 percentiles; dashed: unlimited data, where
    such a path exists; dotted: the real data's value.
    """
    from matplotlib.figure import Figure

    given = chain.settings
    measured = measure(chain)
    exact = _exact(given)
    real = measure(Chain(given, given.real_array()[None, None, :]))
    figure = Figure(figsize=(9.6, 5.2), layout="constrained")
    for axes, (name, label) in zip(figure.subplots(2, 3).flat, _PANELS.items(), strict=True):
        _panel(axes, measured[name], None if exact is None else exact[name], real[name][0, 0])
        axes.set_title(label, fontsize=10)
        if name in ("variance", "tail"):
            axes.set_ylim(bottom=0.0)
    figure.axes[0].legend(fontsize=7, frameon=False)
    figure.suptitle(_title(given), fontsize=10)
    return _png(figure)


def _panel(axes: Axes, values: Floats, exact: Floats | None, real: float) -> None:
    generations = np.arange(len(values))
    if np.isfinite(real):
        axes.axhline(real, color=_REAL_COLOUR, linestyle=":", linewidth=1.0, label="real data")
    if values.shape[1] > 1 and np.isfinite(values).all():
        low, high = np.quantile(values, INTERVAL, axis=1)
        band: dict[str, Any] = {
            "color": _COLOUR,
            "alpha": 0.25,
            "linewidth": 0,
            "label": "95 % of replicates",
        }
        axes.fill_between(generations, low, high, **band)
    middle = np.median(values, axis=1)
    axes.plot(generations, middle, "-o", color=_COLOUR, markersize=3, label="simulated")
    if exact is not None:
        dashed: dict[str, Any] = {
            "color": _EXACT_COLOUR,
            "linewidth": 1.2,
            "label": "unlimited data",
        }
        axes.plot(generations, exact[:, 0], "--", **dashed)
    axes.set_xlabel("generation", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _exact(given: Settings) -> dict[str, Floats] | None:
    if given.samples is None:
        return None
    try:
        return measure(Chain(given, population_path(unlimited(given))))
    except InputError:  # unlimited data have no fit: there is no exact path to draw
        return None


def _title(given: Settings) -> str:
    samples = "unlimited samples" if given.samples is None else f"{given.samples:,} samples"
    fraction = f", {given.real_fraction:g} real" if given.regime != "synthetic" else ""
    return f"{given.estimator.upper()}, {given.family.name}, {given.regime}{fraction}, {samples}"


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()
