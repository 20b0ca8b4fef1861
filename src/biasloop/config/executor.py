"""Settings of how a run is carried out, which is no part of what it computes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from biasloop.config.section import Section


class StageResources(Section):
    """What one kind of stage takes, where it is not what every stage takes."""

    cpus: int | None = Field(None, ge=1, description="null takes executor.cpus")
    gpus: float | None = Field(
        None, ge=0, description="null takes one for what runs a model, where the cluster has any"
    )
    memory_gb: float | None = Field(None, gt=0, description="reserved on its node; null: nothing")


StageKind = Literal[
    "corpus",
    "base",
    "instrument",
    "finetune",
    "generate",
    "score",
    "contrast",
    "update",
    "neurons",
    "join",
]


class ExecutorConfig(Section):
    """What a stage takes of a machine. The number of threads decides the last bits of a result."""

    cpus: int | None = Field(
        None,
        ge=1,
        description="processor cores, and so threads, of every stage; null: all that the process "
        "has or, on Ray, all of the smallest node, divided by its GPUs",
    )
    stages: dict[StageKind, StageResources] = Field({}, description="where a kind needs its own")
    sharding: Literal["auto", "none", "fsdp"] = Field(
        "auto",
        description="fine-tuning over all GPUs that a stage has, by FSDP: 'auto' where the "
        "training does not fit one of them",
    )
