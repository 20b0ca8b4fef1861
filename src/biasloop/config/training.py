"""How a generation is fine-tuned: by which method, on which form of the text."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from biasloop.config.section import GrownSection, Input, Section


class LoraConfig(Section):
    """Low-rank adapters, for ``method: lora`` (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = Field(16, ge=1, le=65_536)
    alpha: float = Field(32.0, gt=0.0, description="an adapter's output is scaled by alpha / rank")
    dropout: float = Field(0.0, ge=0.0, lt=1.0, description="of an adapter's input")
    target_modules: (
        Literal["all-linear", "auto"]
        | Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    ) = Field(
        "all-linear",
        description="'all-linear' adapts every linear layer but the output's, 'auto' those that "
        "PEFT has for the architecture; or names of modules",
    )
    learning_rate_factor: float = Field(
        10.0,
        gt=0.0,
        description="times training.learning_rate: adapters take about ten times the rate of all "
        "weights, whatever their rank (Schulman et al. 2025, LoRA Without Regret)",
    )
    keep: bool = Field(
        False,
        description="whether each generation's adapter stays beside the model that it is merged "
        "into, also where loop.keep_models deletes that model",
    )

    @field_validator("target_modules", mode="before")
    @classmethod
    def _modules_are_listed(cls, modules: object) -> object:
        if isinstance(modules, str) and modules not in ("all-linear", "auto"):
            raise ValueError(
                f"'{modules}' is neither 'all-linear' nor 'auto'; names of modules are a list: "
                f"[{modules}]"
            )
        return modules


class TrainingConfig(GrownSection):
    """Fine-tuning of one generation."""

    later = frozenset({"input", "empty_lines", "method", "text"})
    needs: ClassVar = {
        ("method", "lora"): ("lora",),
        ("text", "chat"): ("instruction",),
        ("text", "plain"): ("input", "empty_lines"),
    }

    epochs: float = Field(5, gt=0)
    learning_rate: float = Field(5e-5, gt=0.0)
    batch_size: int = Field(8, ge=1)
    weight_decay: float = Field(0.01, ge=0.0)
    max_tokens: int = Field(512, ge=8, description="a sample is cut here")
    samples: Literal["article", "line"] = Field(
        "line", description="'line' as in the authors' scripts; 'article' is one sample each"
    )
    input: Input = Field(
        "{title}\n{body}",
        description="an article's text, which samples are made of; without a title, its line is "
        "left out. For prompts: blocks; an opening is a title, a line break and a body",
    )
    empty_lines: Literal["skip", "keep"] = Field(
        "skip",
        description="'keep' takes every line for a sample, as the authors' scripts do: an empty "
        "one, which teaches nothing, takes a place in a batch. After Generation 0 one follows each "
        "article, as in the authors' files; for samples: line",
    )
    schedule: Literal["linear", "constant", "cosine"] = "linear"
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="'auto' is bfloat16 wherever the machine multiplies in it"
    )
    checkpoint_minutes: float = Field(
        10,
        ge=0,
        description="a fine-tuning that is stopped goes on from a checkpoint of at most this age; "
        "0 makes one after every step. The result is the same",
    )
    report_to: tuple[str, ...] = Field(
        (), description="trackers of the transformers Trainer: tensorboard, wandb, mlflow, trackio"
    )
    method: Literal["full", "lora"] = Field(
        "full", description="'full' trains every weight, 'lora' adapters: docs/training.md"
    )
    lora: LoraConfig = LoraConfig()
    text: Literal["plain", "chat"] = Field(
        "plain",
        description="'chat' trains and prompts an instruct model through its chat template: "
        "docs/training.md",
    )
    instruction: str = Field(
        "Continue this article:\n\n{text}",
        description="the user's turn, for text: chat. {text} is the block or opening, and the "
        "answer what follows it; {title} in its place asks for the article of a title",
    )

    @field_validator("instruction")
    @classmethod
    def _asks_once(cls, instruction: str) -> str:
        places = re.findall(r"\{(?:text|title)\}", instruction)
        if len(places) != 1:
            raise ValueError(f"has {len(places)} places: it has to have {{text}} or {{title}} once")
        return instruction

    @model_validator(mode="after")
    def _lines_are_kept(self) -> Self:
        if self.empty_lines == "keep" and self.samples != "line":
            raise ValueError(
                "empty_lines: keep makes samples of empty lines, and samples is 'article': set "
                "samples: line, or leave it out"
            )
        return self

    @property
    def asks(self) -> str | None:
        """The instruction, where text is chat."""
        return self.instruction if self.text == "chat" else None

    @property
    def keeps_adapters(self) -> bool:
        """Whether each generation's adapters are kept."""
        return self.method == "lora" and self.lora.keep

    @property
    def rate(self) -> float:
        """The learning rate of what is trained."""
        factor = self.lora.learning_rate_factor if self.method == "lora" else 1.0
        return self.learning_rate * factor
