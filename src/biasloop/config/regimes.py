"""The settings of each regime: one class per kind, with the keys that the kind has and no other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from biasloop.config.generation import GenerationConfig
from biasloop.config.section import Fraction, Name, Section


class DecodingConfig(Section):
    """How a regime's models write, where not as ``generation`` says."""

    temperature: float | None = Field(
        None, gt=0.0, description="null takes generation.temperature; likewise the others"
    )
    top_p: Fraction | None = None
    min_p: float | None = Field(None, ge=0.0, lt=1.0)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.changes:
            raise ValueError("decoding changes nothing: set temperature, top_p or min_p")
        return self

    @property
    def changes(self) -> dict[str, float]:
        """What is set, by its name in `GenerationConfig`."""
        return self.model_dump(exclude_none=True)


class AnyRegimeConfig(Section):
    """What every kind of regime has.

    ``dose`` names the number that says how much a regime does: of 0 it is `synthetic`.
    Of a regime that ``chooses`` among its own articles, which it took is kept and reported.
    """

    dose: ClassVar[str | None] = None
    chooses: ClassVar[bool] = False
    chosen_by: ClassVar[tuple[str, ...]] = ()
    in_words: ClassVar[tuple[str, str]] = ("", "")
    kind: str
    name: Name | None = Field(None, description="null takes the kind ('real': real_only)")
    epochs: float | None = Field(None, gt=0, description="null takes training.epochs")
    weight_decay: float | None = Field(None, ge=0.0, description="null takes training.weight_decay")
    decoding: DecodingConfig | None = Field(
        None,
        description="how its models write, Generation 0 too: {temperature: 0.7}; null as "
        "generation says",
    )

    seeds: tuple[int, ...] | None = Field(
        None, min_length=1, description="its chains, of loop.seeds; null has them all"
    )

    @property
    def label(self) -> str:
        """The regime's name in every table and figure."""
        return self.name or self.kind

    def words(self) -> tuple[str, str]:
        """Say what every generation trains on, and what that does about a bias, if anything.

        Both without ``decoding``; see `trains_on` and `remedy`. ``in_words``, where they follow no
        setting.
        """
        return self.in_words

    @property
    def trains_on(self) -> str:
        """What every generation trains on, in words."""
        return self.words()[0] + (f", written at {self._decoding}" if self.decoding else "")

    @property
    def remedy(self) -> str:
        """What it does about a bias, in words; empty where nothing."""
        sampling = f"sampling at {self._decoding}" if self.decoding else ""
        return " and ".join(filter(None, (self.words()[1], sampling)))

    @property
    def _decoding(self) -> str:
        changes = self.decoding.changes if self.decoding else {}
        return ", ".join(f"{name.replace('_', '-')} {value:g}" for name, value in changes.items())

    def generation(self, generation: GenerationConfig) -> GenerationConfig:
        """Return how its models write."""
        return generation.model_copy(update=self.decoding.changes if self.decoding else {})

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those that it chooses articles by."""
        return self.chosen_by

    @property
    def input_file(self) -> str | None:
        """A file that it reads, whose content is part of what it does."""
        return getattr(self, "file", None)


class SyntheticConfig(AnyRegimeConfig):
    """Each generation trains on what the one before wrote."""

    in_words = ("its own text only", "")
    kind: Literal["synthetic"]


class OverfittingConfig(AnyRegimeConfig):
    """As synthetic, far longer and without weight decay."""

    kind: Literal["overfitting"]
    epochs: float | None = Field(25, gt=0, description="null takes training.epochs")
    weight_decay: float | None = Field(0.0, ge=0.0, description="null takes training.weight_decay")

    def words(self) -> tuple[str, str]:
        """See `AnyRegimeConfig`."""
        return f"its own text only, {self.epochs or 1:.3g} epochs", ""


class PreservationConfig(AnyRegimeConfig):
    """As synthetic, with some of the real articles."""

    dose = "fraction"
    kind: Literal["preservation"]
    fraction: Fraction = Field(
        0.1, description="fresh real articles per generation, as a share of all"
    )

    def words(self) -> tuple[str, str]:
        """See `AnyRegimeConfig`."""
        fresh = f"{_percent(self.fraction)} of the real articles"
        fresh = fresh if self.fraction < 1 else "all real articles"
        return f"its own text and {fresh}", f"adding {fresh}"


class RealShareConfig(AnyRegimeConfig):
    """As many articles as there are real ones, an exact share of them real."""

    dose = "share"
    kind: Literal["real_share"]
    share: Fraction = Field(0.1, description="of real articles in each training set")

    def words(self) -> tuple[str, str]:
        """See `AnyRegimeConfig`."""
        share, rest = _percent(self.share), ", the rest its own text" * (self.share < 1)
        return f"{share} real articles{rest}", f"a real share of {share}"


class BalancedConfig(AnyRegimeConfig):
    """As synthetic, its leanings resampled to the real shares, both as read."""

    dose = "strength"
    chooses = True
    chosen_by = ("leaning",)
    in_words = ("its own text, its leanings resampled to the real shares", "balancing the leanings")
    kind: Literal["balanced"]
    strength: Fraction = Field(1.0, description="how far, from the shares as written to the real")


class VerifiedConfig(AnyRegimeConfig):
    """As synthetic, of the articles that a verifier accepts."""

    dose = "quality"
    chooses = True
    in_words = ("those of its own articles that the verifier accepts", "verifying the articles")
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
    chooses = True
    chosen_by = ("perplexity",)
    kind: Literal["surprise"]
    drop: float = Field(0.5, gt=0, lt=1, description="the part that is left out")

    def words(self) -> tuple[str, str]:
        """See `AnyRegimeConfig`."""
        return (
            "its own text without the articles of the lowest perplexity",
            "dropping the least surprising articles",
        )


class DetectorConfig(AnyRegimeConfig):
    """As synthetic, resampled by how likely a detector takes each article for human text."""

    dose = "strength"
    chooses = True
    in_words = (
        "its own text, resampled by a detector of generated text",
        "resampling by a detector",
    )
    kind: Literal["detector"]
    strength: Fraction = Field(1.0, description="power of the odds that an article is human text")


class ReweightedConfig(AnyRegimeConfig):
    """As synthetic, each article's loss weighed so that the leanings' shares are the real ones."""

    dose = "strength"
    chooses = True
    chosen_by = ("leaning",)
    in_words = ("its own text, its loss weighed to the real shares", "reweighting the loss")
    kind: Literal["reweighted"]
    strength: Fraction = Field(1.0, description="how far, from the shares as written to the real")
    clip: float = Field(
        10.0, gt=1, description="no article weighs more than this, or less than one over this"
    )


class AnchoredConfig(AnyRegimeConfig):
    """As synthetic, with the model held to another one."""

    dose = "kl"
    kind: Literal["anchored"]
    kl: float = Field(
        0.1,
        ge=0,
        description="weight of the divergence from the anchor, per token, in the training loss",
    )
    interpolate: float = Field(
        0.0, ge=0, lt=1, description="share of the anchor's weights in the trained model"
    )
    to: Literal["generation_0", "base"] = Field(
        "generation_0", description="the anchor: the chain's Generation 0, or the base model"
    )

    @model_validator(mode="after")
    def _holds(self) -> Self:
        if not (self.kl or self.interpolate):
            raise ValueError("anchored holds to nothing: set kl, interpolate or both above 0")
        return self

    def words(self) -> tuple[str, str]:
        """See `AnyRegimeConfig`."""
        to = {"base": "the base model", "generation_0": "Generation 0"}[self.to]
        return f"its own text, held to {to}", f"holding the model to {to}"


class CounterfactualConfig(AnyRegimeConfig):
    """As synthetic, the leaning words of some articles swapped for their counterparts."""

    dose = "probability"
    in_words = (
        "its own text, the leaning words of some articles swapped",
        "swapping leaning words",
    )
    kind: Literal["counterfactual"]
    pairs: tuple[tuple[str, str], ...] = Field(
        (), description="[[word, counterpart], ...]; a word in small letters is met in any case"
    )
    file: str | None = Field(
        None, description="in place of pairs: a CSV file without a header, a pair a line"
    )
    probability: Fraction = Field(0.5, description="of an article that its words are swapped")
    keep_both: bool = Field(
        False, description="true keeps the article as it was beside the one that was swapped"
    )

    @model_validator(mode="after")
    def _has_pairs(self) -> Self:
        if bool(self.pairs) == (self.file is not None):
            raise ValueError("counterfactual swaps words: give either pairs or a file of them")
        check_pairs(self.pairs)
        return self


def check_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Refuse pairs of words that no text could be swapped by, and back.

    Raises
    ------
    ValueError
        If a word is empty, is its own counterpart or stands in two pairs.
    """
    seen: set[str] = set()
    for pair in pairs:
        if not all(word.strip() == word and word for word in pair):
            raise ValueError(f"pairs: {list(pair)}: a word is empty or has blanks around it")
        for word in (pair[0].casefold(), pair[1].casefold()):
            if word in seen:
                raise ValueError(f"pairs: '{word}' stands twice, and has one counterpart only")
            seen.add(word)


class EditedConfig(AnyRegimeConfig):
    """As synthetic, with the bias neurons of every trained model edited before it writes."""

    dose = "top"
    kind: Literal["edited"]
    file: str = Field(
        description="a table of associations that 'biasloop neurons' wrote: "
        "RUN/neurons/associations.parquet"
    )
    top: int = Field(20, ge=1, description="how many neurons")
    metric: str | None = Field(
        None, description="whose neurons; null takes the table's one leaning"
    )
    intervention: Literal["restore", "mean"] = Field(
        "restore",
        description="'restore': what feeds a neuron goes back to the chain's Generation 0; 'mean': "
        "it is held at its mean activation over the real articles",
    )
    first: int = Field(1, ge=1, description="the first generation whose model is edited")
    last: int | None = Field(None, ge=1, description="the last one; null edits all from the first")
    draw: int | None = Field(
        None,
        ge=0,
        description="a number edits random neurons in place of those: as many of each layer, none "
        "of them, that have moved about as far; another number draws others",
    )

    def words(self) -> tuple[str, str]:
        """See `AnyRegimeConfig`."""
        random, when = "random " if self.draw is not None else "", ""
        if self.last is not None:
            to = f" to {self.last}" if self.last > self.first else ""
            when = f" in Generation {self.first}{to}"
        elif self.first > 1:
            when = f" from Generation {self.first} on"
        return (
            f"its own text, by models with edited {random}neurons{when}",
            f"editing {self.top} {random}neurons{when}",
        )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last is not None and self.last < self.first:
            raise ValueError(f"last: {self.last} lies before first: {self.first}")
        return self


class AccumulationConfig(AnyRegimeConfig):
    """Each generation trains on the real articles and everything written so far."""

    in_words = ("all text so far, real and its own", "accumulation")
    kind: Literal["accumulation"]


class AccumulateSubsampleConfig(AnyRegimeConfig):
    """As accumulation, on a sample of the real set's size."""

    in_words = ("a sample of all text so far, real and its own", "a sample of all text so far")
    kind: Literal["accumulate_subsample"]


class RealConfig(AnyRegimeConfig):
    """Each generation trains on real articles: what training on and on does by itself."""

    in_words = ("real articles only", "")
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
    | DetectorConfig
    | ReweightedConfig
    | AnchoredConfig
    | CounterfactualConfig
    | EditedConfig
    | AccumulationConfig
    | AccumulateSubsampleConfig
    | RealConfig,
    Field(discriminator="kind", description="how each generation's training set is put together"),
]


def _percent(share: float) -> str:
    """Write a part as a config has it: with a narrow blank that does not break."""
    return f"{100 * share:.3g}\u202f%"
