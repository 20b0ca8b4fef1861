"""A stage: what it does, of which inputs, under which settings. Its key is the hash of all that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from biasloop.files import canonical_json, sha256_text

#: Called with the tokens done since the last call.
Progress = Callable[[int], None]

#: Fills the output folder from the input folders (by input name). What it keeps in the last
#: folder outlives a crash, and is there when the stage is run again.
Work = Callable[[Path, Mapping[str, Path], Progress, Path], None]

#: Raise this when a stage's meaning changes, so that old outputs are not taken for new ones.
STAGE_VERSION = 9


@dataclass(frozen=True)
class Stage:
    """A pure function of its inputs, settings and seed, whose output is a folder.

    Attributes
    ----------
    kind
        ``corpus``, ``base``, ``instrument``, ``finetune``, ``generate``, ``score``, ``join``,
        ``contrast``, ``update`` or ``neurons``.
    name
        What a person calls it, for example ``synthetic seed 0 generation 3: finetune``.
    settings
        Every setting, seed and content hash that decides the output: JSON.
    inputs
        The stages whose outputs it reads, by name.
    work
        What is run. Not part of the key: `settings` must say all that it depends on.
    cost
        How much work it is, in tokens: for the time left only.
    shared
        Whether its output belongs in the cache, for all runs, and not in the run folder.
    whole
        The stage whose output it makes in another way, from shards: it has that one's key, so that
        nothing which is computed depends on the number of shards.
    """

    kind: str
    name: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, Stage]
    work: Work = field(compare=False, repr=False)
    cost: float = 0.0
    shared: bool = False
    whole: Stage | None = None

    @cached_property
    def key(self) -> str:
        """SHA-256 of the kind, the settings and the inputs' keys."""
        if self.whole:
            return self.whole.key
        return sha256_text(
            canonical_json(
                {
                    "version": STAGE_VERSION,
                    "kind": self.kind,
                    "settings": dict(self.settings),
                    "inputs": {name: stage.key for name, stage in self.inputs.items()},
                }
            )
        )

    @property
    def folder_name(self) -> str:
        """Name of its output folder."""
        if self.whole:
            return self.whole.folder_name
        return f"{self.kind}-{self.key[:20]}"
