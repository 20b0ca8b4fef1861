"""Amplification and collapse, each with and without the other: four simulations to look at."""

from __future__ import annotations

from biasloop.theory.settings import Settings, settings

#: By `measures.Verdict.case`. `settings.command` gives the command line of each.
CASES: dict[str, Settings] = {
    # The paper's: the model's density weighs the data, the mean goes to the mode.
    "bias and collapse": settings("wmle"),
    # Two leanings, 40 % unweighted real data: 5 points of bias grow to 22 and stay.
    "bias without collapse": settings(
        "wmle",
        family="categorical",
        pretrained=(0.45, 0.55),
        real=(0.5, 0.5),
        generations=21,
        regime="preservation",
        real_fraction=0.4,
        real_weight="one",
    ),
    # The same weights with nothing to lean on.
    "collapse without bias": settings("wmle", pretrained=(2.0, 2.0), real=(2.0, 2.0)),
    # No weights, and data enough that sampling errors stay small.
    "neither bias nor collapse": settings("mle"),
}
