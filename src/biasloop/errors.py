"""Errors that a user can act on. Knows exit codes; knows nothing of what raised them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


class BiasloopError(Exception):
    """Base of every error that biasloop raises on purpose; printed without a traceback."""

    exit_code = 1


class InputError(BiasloopError):
    """What the user gave cannot be used: config, corpus, model or command line."""

    exit_code = 2


class StoreError(BiasloopError):
    """A run folder or the disk under it is not in the state that it should be in."""

    exit_code = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known names are nearest to a wrong one.

    Parameters
    ----------
    name
        What the user wrote.
    known
        The names that would have been accepted.

    Returns
    -------
    str
        ``"did you mean 'x'?"`` where one is near, else the full list of known names.
    """
    options = sorted(set(known))
    near = difflib.get_close_matches(name, options, n=2, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(f"'{option}'" for option in near) + "?"
    return "known: " + ", ".join(options)


def registered(registry: Mapping[str, T], name: str, where: str) -> T:
    """Look up in a registry of the code what a config that was checked names.

    Parameters
    ----------
    registry
        By name.
    where
        The registry's own name and file, for the message.

    Raises
    ------
    NotImplementedError
        If the config knows the name, and its line in the registry was forgotten.
    """
    if name not in registry:
        raise NotImplementedError(f"'{name}' has no line in {where}")
    return registry[name]
