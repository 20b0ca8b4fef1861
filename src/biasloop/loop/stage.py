"""A stage: what it does, of which inputs, under which settings. Its key is the hash of all that.

A stage of a whole set of articles may be computed in shards, which are stages, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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

#: Articles that are written, or scored, together at most. The last bits of a number depend on what
#: else is in its batch: units are the same ones however many shards there are.
UNIT = 64


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


@dataclass(frozen=True)
class Shard:
    """One of ``count`` contiguous parts of a table, as even as can be; the first are longer."""

    number: int
    count: int

    def rows(self, height: int, unit: int) -> slice:
        """Say which of a table's ``height`` rows it has, cut at multiples of ``unit``."""
        size, longer = divmod(-(-height // unit), self.count)
        start = self.number * size + min(self.number, longer)
        end = start + size + (self.number < longer)
        return slice(start * unit, end * unit)

    @property
    def settings(self) -> dict[str, Any]:
        """What of it is part of a stage's key: nothing where it is the whole table."""
        return {} if self.count == 1 else {"shard": [self.number, self.count]}


WHOLE = Shard(0, 1)


@dataclass(frozen=True, eq=False)
class ShardedStage(Stage):
    """A stage of a whole set of articles, or of a shard of it."""

    shard: Shard = field(default=WHOLE, kw_only=True)

    @property
    def cost(self) -> float:
        """How much work it is: a share of the whole."""
        return 1.0 / self.shard.count

    @staticmethod
    def join(shards: Sequence[Path], out: Path) -> None:
        """Put what the shards wrote together, in order."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class JoinShards(Stage):
    """Make the output of ``whole`` from its shards: under the key of ``whole``.

    So nothing that is computed depends on the number of shards.
    """

    kind = "join"
    whole: ShardedStage

    @property
    def recorded(self) -> Stage:
        """The stage whose output this is."""
        return self.whole

    def run(self, out: Path, paths: Paths, progress: Progress, scratch: Path) -> None:
        """Put the shards together."""
        self.whole.join([paths[name] for name in self.inputs], out)


def in_shards(whole: ShardedStage, name: str) -> Stage:
    """Return a stage itself, or the join, called ``name``, of as many shards as the config says."""
    count = whole.config.loop.shards
    if count == 1:
        return whole
    inputs = {
        f"shard-{n}": replace(whole, name=f"{whole.name} {n + 1}/{count}", shard=Shard(n, count))
        for n in range(count)
    }
    return JoinShards(whole.config, name, inputs, whole)
