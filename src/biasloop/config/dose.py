"""Configs that put a question to another's chains: which dose of a regime, which neurons' edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from biasloop.config.load import parse_config
from biasloop.config.regimes import AnyRegimeConfig, RegimeConfig
from biasloop.config.schema import Config
from biasloop.errors import InputError, nearest


def with_doses(config: Config, kind: str, values: Sequence[float]) -> Config:
    """Put one regime in the place of a config's, once per value of its dose.

    A regime ``real`` of the config stays, to be subtracted; of the config's own regime of that
    kind, if any, all other settings are taken.

    Raises
    ------
    InputError
        If there is no such regime, it has no dose, or a value cannot be one.
    """
    kinds: dict[str, type[AnyRegimeConfig]] = {
        get_args(one.model_fields["kind"].annotation)[0]: one
        for one in get_args(get_args(RegimeConfig)[0])
    }
    if kind not in kinds:
        raise InputError(f"--regime: '{kind}' is not one: {nearest(kind, kinds)}")
    key = kinds[kind].dose
    if key is None:
        known = ", ".join(f"{name} ({one.dose})" for name, one in kinds.items() if one.dose)
        raise InputError(f"--regime: '{kind}' has no dose to try; those that have one: {known}")
    if len(set(values)) < max(2, len(values)):
        raise InputError("--values: give two values or more, each once: 0,0.1,0.5")
    own: dict[str, Any] = next(
        (one.model_dump(mode="json") for one in config.regimes if one.kind == kind), {"kind": kind}
    )
    doses = [
        {"kind": "synthetic"} if value == 0 else own | {key: value, "name": f"{kind}-{value:.12g}"}
        for value in sorted(values)
    ]
    alone = [one.model_dump(mode="json") for one in config.regimes if one.kind == "real"]
    return _with(config, f"{kind}-dose", [*doses, *alone], f"--values of {kind}.{key}")


def _with(config: Config, name: str, regimes: Sequence[Mapping[str, Any]], where: str) -> Config:
    own = {"name": f"{config.name}-{name}"[:64], "regimes": regimes}
    return parse_config(config.model_dump(mode="json") | own, (), where)


def with_chains(config: Config, seeds: Sequence[int], fewer: Mapping[str, Sequence[int]]) -> Config:
    """Take these seeds only, and of some regimes, by label, the fewer that they are to have."""
    values = config.model_dump(mode="json")
    values["loop"]["seeds"] = list(seeds)
    for regime, own in zip(values["regimes"], config.regimes, strict=True):
        if own.label in fewer and len(fewer[own.label]) < len(seeds):
            regime["seeds"] = list(fewer[own.label])
    return parse_config(values)


def with_edits(
    config: Config,
    associations: str,
    generation: int = 1,
    only: bool = False,
    draws: int = 5,
    **settings: Any,  # noqa: ANN401 - `EditedConfig` checks them
) -> Config:
    """Put the edit of associated neurons, and of random ones, in the place of a config's regimes.

    Parameters
    ----------
    config
        The experiment.
    associations
        The table that 'biasloop neurons' wrote.
    generation, only
        The first whose models are edited; the only one, or all from it on.
    draws
        How often random neurons are edited in place of those.
    **settings
        Others of `EditedConfig`: ``top``, ``metric``, ``intervention``.

    Raises
    ------
    InputError
        If the settings do not fit, or no leaning is scored that could grow.
    """
    if "leaning" not in config.metrics.names:
        raise InputError("metrics.names: lacks 'leaning', whose growth the edit is to stop")
    if draws < 1:
        raise InputError(f"--draws {draws}: at least one draw of random neurons, to compare with")
    edited = {"kind": "edited", "file": associations, "first": generation, **settings}
    edited |= {"last": generation} if only else {}
    controls = [edited | {"name": f"random-{draw}", "draw": draw} for draw in range(1, draws + 1)]
    return _with(config, "intervention", [{"kind": "synthetic"}, edited, *controls], "the edit")
