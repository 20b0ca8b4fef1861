"""The settings of each regime: one class per kind, with the keys that the kind has and no other."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

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
    | AccumulationConfig
    | AccumulateSubsampleConfig
    | RealConfig,
    Field(discriminator="kind", description="how each generation's training set is put together"),
]
