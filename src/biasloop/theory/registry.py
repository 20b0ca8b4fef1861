"""The families by name: one line each."""

from __future__ import annotations

from biasloop.errors import InputError, nearest
from biasloop.theory.beta import Beta
from biasloop.theory.categorical import Categorical
from biasloop.theory.family import Family
from biasloop.theory.normal import Normal, NormalKnownVariance

FAMILIES: dict[str, Family] = {
    family.name: family for family in (Beta(), Normal(), NormalKnownVariance(), Categorical())
}


def get_family(name: str | Family) -> Family:
    """Return the family of a name; a family is returned as it is.

    Raises
    ------
    InputError
        If there is no family of that name.
    """
    if isinstance(name, Family):
        return name
    if name not in FAMILIES:
        raise InputError(f"no family '{name}': {nearest(name, FAMILIES)}")
    return FAMILIES[name]
