"""How a model writes: the settings of both protocols, each refused where it does not apply."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from biasloop.config.section import Fraction, GrownSection


class GenerationConfig(GrownSection):
    """How a model writes its synthetic articles."""

    later = frozenset({"whole_titles"})
    needs: ClassVar = {
        ("prompts", "blocks"): ("block_tokens", "max_article_tokens", "whole_titles"),
        ("prompts", "openings"): ("opening_tokens", "samples_per_prompt"),
    }

    engine: Literal["transformers", "vllm"] = Field(
        "transformers", description="vllm where it is installed, on GPUs: greedy and nucleus only"
    )
    prompts: Literal["blocks", "openings"] = Field(
        "blocks",
        description="'blocks' continues every block of every real article, as the paper does; "
        "'openings' lets the model write on from each article's first tokens: docs/protocols.md",
    )
    block_tokens: int = Field(64, ge=1, description="length of a prompt; for prompts: blocks")
    whole_titles: bool = Field(
        False,
        description="true prompts with a title whole, however long, as the authors' scripts do; "
        "false cuts it into blocks, as the body; for prompts: blocks",
    )
    opening_tokens: int = Field(
        64, ge=1, description="length of a prompt, its title included; for prompts: openings"
    )
    samples_per_prompt: int = Field(
        1,
        ge=1,
        le=10_000,
        description="articles written from each opening; for prompts: openings, and beyond one "
        "for decoding: nucleus",
    )
    new_tokens: int = Field(
        64, ge=1, description="length of a continuation; from an opening, of the whole article"
    )
    decoding: Literal["greedy", "beam", "nucleus"] = "greedy"
    beams: int = Field(4, ge=2, description="for decoding: beam")
    top_p: Fraction = Field(0.9, description="for decoding: nucleus")
    temperature: float = Field(1.0, gt=0.0, description="for decoding: nucleus")
    min_p: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="for decoding: nucleus; tokens less likely than this part of the likeliest "
        "are never drawn (arXiv 2407.01082); 0 leaves none out",
    )
    batch_size: int = Field(128, ge=1, description="prompts continued at once")
    max_article_tokens: int | None = Field(
        None,
        ge=1,
        description="only this much of each article is continued; null takes all; for prompts: "
        "blocks",
    )
    precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @model_validator(mode="after")
    def _decodes(self) -> Self:
        if self.engine == "vllm" and self.decoding == "beam":
            raise ValueError("engine: vllm decodes greedily or by nucleus sampling, not by beam")
        if self.samples_per_prompt > 1 and self.decoding != "nucleus":
            raise ValueError(
                f"samples_per_prompt is {self.samples_per_prompt}, but {self.decoding} decoding "
                "writes the same from the same opening each time: set decoding: nucleus, or "
                "samples_per_prompt: 1"
            )
        return self

    @property
    def prompt_tokens(self) -> int:
        """The longest prompt, in tokens."""
        return self.block_tokens if self.prompts == "blocks" else self.opening_tokens
