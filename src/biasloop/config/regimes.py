"""The settings of each regime: one class per kind, with the keys that the kind has and no other."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from biasloop.config.section import Fraction, Name, Section


class AnyRegimeConfig(Section):
    """What every kind of regime has.

    ``dose`` names the number that says how much a regime does: of 0 it is `synthetic`.
    """

    dose: ClassVar[str | None] = None
    kind: str
    name: Name | None = Field(None, description="null takes the kind ('real': real_only)")
    epochs: float | None = Field(None, gt=0, description="null takes training.epochs")
    weight_decay: float | None = Field(None, ge=0.0, description="null takes training.weight_decay")

    @property
    def label(self) -> str:
        """The regime's name in every table and figure."""
        return self.name or self.kind

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those that it chooses articles by."""
        return ()


class SyntheticConfig(AnyRegimeConfig):
    """Each generation trains on what the one before wrote."""

    kind: Literal["synthetic"]


class OverfittingConfig(AnyRegimeConfig):
    """As synthetic, far longer and without weight decay."""

    kind: Literal["overfitting"]
    epochs: float | None = Field(25, gt=0, description="null takes training.epochs")
    weight_decay: float | None = Field(0.0, ge=0.0, description="null takes training.weight_decay")


class PreservationConfig(AnyRegimeConfig):
    """As synthetic, with some of the real articles."""

    dose = "fraction"
    kind: Literal["preservation"]
    fraction: Fraction = Field(
        0.1, description="fresh real articles per generation, as a share of all"
    )


class RealShareConfig(AnyRegimeConfig):
    """As many articles as there are real ones, an exact share of them real."""

    dose = "share"
    kind: Literal["real_share"]
    share: Fraction = Field(0.1, description="of real articles in each training set")


class BalancedConfig(AnyRegimeConfig):
    """As synthetic, its leanings resampled to the real shares, both as read."""

    dose = "strength"
    kind: Literal["balanced"]
    strength: Fraction = Field(1.0, description="how far, from the shares as written to the real")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Leaning."""
        return ("leaning",)


class VerifiedConfig(AnyRegimeConfig):
    """As synthetic, of the articles that a verifier accepts."""

    dose = "quality"
    kind: Literal["verified"]
    quality: float | None = Field(2.0, gt=0, le=3, description="least index; null asks for none")
    perplexity: tuple[float, float] | None = Field(
        None, description="lowest and highest under the base model; null asks for none"
    )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those that have a bound."""
        return tuple(name for name in ("quality", "perplexity") if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if not self.metrics:
            raise ValueError("verified accepts every article: set quality, perplexity or both")
        if self.perplexity and not 0 <= self.perplexity[0] < self.perplexity[1]:
            raise ValueError("perplexity takes two numbers, the lowest first: [5, 80]")
        return self


class SurpriseConfig(AnyRegimeConfig):
    """As synthetic, without the articles of the lowest perplexity under the base model."""

    dose = "drop"
    kind: Literal["surprise"]
    drop: float = Field(0.5, gt=0, lt=1, description="the part that is left out")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Perplexity."""
        return ("perplexity",)


class AccumulationConfig(AnyRegimeConfig):
    """Each generation trains on the real articles and everything written so far."""

    kind: Literal["accumulation"]


class AccumulateSubsampleConfig(AnyRegimeConfig):
    """As accumulation, on a sample of the real set's size."""

    kind: Literal["accumulate_subsample"]


class RealConfig(AnyRegimeConfig):
    """Each generation trains on real articles: what training on and on does by itself."""

    kind: Literal["real"]
    fresh: bool = Field(
        False,
        description="true trains every generation on real articles that nothing else uses, of "
        "corpus.fresh_sets; false on those of Generation 0 again",
    )

    @property
    def label(self) -> str:
        """The regime's name; ``real`` is what the tables call the real articles themselves."""
        return self.name or "real_only"


RegimeConfig = Annotated[
    SyntheticConfig
    | OverfittingConfig
    | PreservationConfig
    | RealShareConfig
    | BalancedConfig
    | VerifiedConfig
    | SurpriseConfig
    | AccumulationConfig
    | AccumulateSubsampleConfig
    | RealConfig,
    Field(discriminator="kind", description="how each generation's training set is put together"),
]
