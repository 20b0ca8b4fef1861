"""A stage: what it does, of which inputs, under which settings. Its key is the hash of all that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from biasloop.config import Config
from biasloop.files import canonical_json, sha256_text

#: Called with the tokens done since the last call.
Progress = Callable[[int], None]

#: The folders of a stage's inputs, by the input's name.
Paths = Mapping[str, Path]

#: Raise this when a stage's meaning changes, so that old outputs are not taken for new ones.
STAGE_VERSION = 9


@dataclass(frozen=True, eq=False)
class Stage:
    """A pure function of its inputs, settings and seed, whose output is a folder.

    Each kind of stage is one subclass.

    Attributes
    ----------
    kind
        One of `config.executor.StageKind`.
    shared
        Whether its output belongs in the cache, for all runs, and not in the run folder.
    config
        The experiment. Not part of the key: `settings` must say all that the output depends on.
    name
        What a person calls it, for example ``synthetic seed 0 generation 3: fine-tune``.
    inputs
        The stages whose outputs it reads, by name.
    """

    kind: ClassVar[str]
    shared: ClassVar[bool] = False
    config: Config
    name: str
    inputs: Mapping[str, Stage]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Every setting, seed and content hash that decides the output, as JSON."""
        return {}

    @property
    def cost(self) -> float:
        """How much work it is, among stages of its kind: for the time left only."""
        return 1.0

    def run(self, out: Path, paths: Paths, progress: Progress, scratch: Path) -> None:
        """Fill the folder ``out``; what is kept in ``scratch`` is there again after a crash."""
        raise NotImplementedError

    @property
    def recorded(self) -> Stage:
        """The stage whose output this is: another one, where it is made from shards."""
        return self

    @cached_property
    def key(self) -> str:
        """SHA-256 of the kind, the settings and the inputs' keys."""
        if self.recorded is not self:
            return self.recorded.key
        return sha256_text(
            canonical_json(
                {
                    "version": STAGE_VERSION,
                    "kind": self.kind,
                    "settings": self.settings,
                    "inputs": {name: stage.key for name, stage in self.inputs.items()},
                }
            )
        )

    @property
    def folder_name(self) -> str:
        """Name of its output folder."""
        return f"{self.recorded.kind}-{self.key[:20]}"
