"""Every setting, its type, its bounds and its default. Knows no YAML and runs nothing.

The defaults are the published protocol (Wang et al. 2024, arXiv 2410.15234, section 4).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from biasloop.config.executor import ExecutorConfig
from biasloop.config.generation import GenerationConfig
from biasloop.config.leaning import LeaningConfig
from biasloop.config.regimes import (
    AnyRegimeConfig,
    EditedConfig,
    RealConfig,
    RegimeConfig,
    SyntheticConfig,
)
from biasloop.config.section import BODY, Fraction, GrownSection, Input, Label, Name, Section
from biasloop.config.training import TrainingConfig


class Columns(GrownSection):
    """Which column of a file holds which field of an article."""

    later = frozenset({"event"})

    article_id: str | None = Field("id", description="unique id; null numbers the rows")
    title: str | None = Field("title", description="null where there are no titles")
    body: str = "body"
    label: str = "label"
    source: str | None = Field("source", description="the outlet or author; null if not known")
    event: str | None = Field(
        None, description="the event or story that an article is about; for report.cluster: event"
    )

    @field_validator("body", mode="before")
    @classmethod
    def _one_column(cls, body: object) -> object:
        if isinstance(body, (list, tuple)):
            names = ", ".join(str(name)[:40] for name in body[:4])
            raise ValueError(
                f"an article's text stands in one column, and these are {len(body)} ({names}): "
                "join them into one column of the file, and name that; a headline is a title"
            )
        return body


class ControlCorpusConfig(Section):
    """The made-up corpus ``corpus.source: control``, in which a direction is planted."""

    word_types: dict[Name, Annotated[int, Field(ge=1, le=1000)]] = Field(
        {"blue": 20, "red": 5},
        min_length=2,
        description="leaning -> how many words of its own it has. Each is as frequent as the "
        "leaning's others, so fewer types are a sharper mode: sampling below temperature 1 "
        "favours the leaning with the fewest",
    )
    articles_per_leaning: int = Field(420, ge=2, le=1_000_000)
    opening_words: int = Field(8, ge=1, le=1000, description="neutral words of an article's title")
    sentences: int = Field(
        4, ge=1, le=1000, description="of an article's body; each ends with a word of the leaning"
    )


class CorpusConfig(GrownSection):
    """The labelled real text."""

    later = frozenset({"instrument_fractions"})

    source: str = Field(
        "conventions",
        description="'conventions' (built in), a path to a JSONL, JSON, CSV or Parquet file, "
        "'hub:OWNER/NAME' for a data set of the hub, or 'control' (made up; see corpus.control)",
    )
    control: ControlCorpusConfig = ControlCorpusConfig()
    format: Literal[
        "auto", "jsonl", "json", "csv", "parquet", "webis", "article-bias-prediction"
    ] = Field("auto", description="'auto' goes by the file's ending and its columns")
    split: str = Field(
        "train", description="which split of a hub data set, or of a folder of save_to_disk"
    )
    subset: str | None = Field(
        None, description="which subset (configuration) of a hub data set that has several"
    )
    revision: str | None = Field(None, description="which revision of a hub data set")
    columns: Columns = Columns()
    labels: tuple[Label, ...] | None = Field(
        None, description="the label set, in the order to show; null takes every label found"
    )
    label_map: dict[Label, Label] = Field({}, description="labels as they are in the file -> ours")
    on_bad_row: Literal["error", "skip"] = "error"
    max_body_characters: int = Field(
        200_000, ge=100, description="a longer body is a bad row, not an article"
    )
    passage_words: int = Field(
        250, ge=20, description="length of a passage that 'conventions' is cut into"
    )
    articles_per_label: int | None = Field(
        506, ge=1, description="real articles per label in the loop; null takes as many as balance"
    )
    real_labels: tuple[Label, ...] | None = Field(
        None,
        min_length=1,
        description="only articles of these labels enter the loop; the classifiers still learn "
        "all labels. null takes every label",
    )
    instrument_fraction: float = Field(
        0.5,
        gt=0.0,
        lt=1.0,
        description="share of each label's articles kept for the classifiers, apart from the loop",
    )
    instrument_fractions: dict[Label, Annotated[float, Field(gt=0.0, lt=1.0)]] = Field(
        {},
        description="label -> its own instrument_fraction: a small one leaves nearly all of its "
        "articles to the loop, and measures the classifiers' errors on few",
    )
    holdout_per_label: int = Field(
        20, ge=0, description="real articles per label that nothing trains on, for perplexity"
    )
    fresh_sets: int = Field(
        0,
        ge=0,
        le=1000,
        description="further sets of articles_per_label real articles per label, kept for regime "
        "real with fresh: true, one for each generation after Generation 0",
    )
    keep_apart: Literal["article", "source"] = Field(
        "article",
        description="'source' keeps every source in one part only, so that the classifier "
        "has seen nothing by the authors that it judges",
    )


class LabelledColumns(Columns):
    """`Columns` of a file that need not have more than texts and their labels."""

    article_id: str | None = Field(None, description="unique id; null numbers the rows")
    title: str | None = Field(None, description="null where there are no titles")
    source: str | None = Field(None, description="the outlet or author; null if not known")


class AxisData(Section):
    """Labelled articles that an axis's instrument is made from, and its errors measured on."""

    source: str = Field(description="as corpus.source: a file, or 'hub:OWNER/NAME'")
    columns: LabelledColumns = LabelledColumns()
    label_map: dict[Label, Label] = Field(
        {}, description="labels as they are in the file -> the axis's"
    )
    on_bad_row: Literal["error", "skip"] = "error"


class AxisConfig(LeaningConfig):
    """A further axis that the same articles are read on, beside the corpus's own labels."""

    name: Name
    labels: tuple[Label, ...] = Field(
        min_length=2, description="its label set; the report follows the last of two"
    )
    data: AxisData | None = Field(
        None,
        description="labelled articles. Without them, which only a classifier by id can do, its "
        "errors are not known, and shares are judged as they are read",
    )
    mentions: tuple[Annotated[str, Field(pattern=r"\w")], ...] = Field(
        (),
        description="names: only the sentences that have one are read, in any article; those "
        "without one are not scored. Whole words, upper and lower case told apart",
    )

    @model_validator(mode="after")
    def _can_be_made(self) -> Self:
        if twice := [label for label in self.labels if self.labels.count(label) > 1]:
            raise ValueError(f"labels: '{twice[0]}' stands twice")
        if self.data is None and (self.classifier == "builtin" or self.kind == "embedding"):
            raise ValueError(
                "this classifier is trained here, so it needs labelled articles: name a file in "
                "data.source, or a classifier that came trained"
            )
        return self

    def corpus(self) -> CorpusConfig:
        """Say how its articles are read: as a corpus is."""
        if self.data is None:
            raise ValueError(f"axis '{self.name}' has no data")
        read = {name: getattr(self.data, name) for name in type(self.data).model_fields}
        return CorpusConfig(**read, labels=self.labels)


class PretrainingConfig(Section):
    """How a model from scratch gets its known bias."""

    mix: dict[Label, Annotated[float, Field(ge=0.0)]] = Field(
        {},
        description="share of each leaning in the pre-training text, for example "
        "{republican: 0.8, democrat: 0.2}; empty takes every article once per epoch",
    )
    steps: int = Field(600, ge=1)
    batch_size: int = Field(16, ge=1)
    tokens: int = Field(256, ge=16, description="length of a pre-training sequence")
    learning_rate: float = Field(1e-3, gt=0.0)
    weight_decay: float = Field(0.1, ge=0.0)
    warmup_steps: int = Field(50, ge=0)
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="'auto' is bfloat16 wherever the machine multiplies in it"
    )


class ScratchConfig(Section):
    """A GPT-2-architecture model with its own BPE tokenizer."""

    layers: int = Field(4, ge=1, le=1000)
    width: int = Field(256, ge=8, le=65_536)
    heads: int = Field(4, ge=1)
    vocabulary: int = Field(2048, ge=300, le=1_000_000)
    context: int = Field(512, ge=128, le=1_000_000)
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    pretraining: PretrainingConfig = PretrainingConfig()

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self


class BaseConfig(Section):
    """The model that the chain starts from."""

    model: str = Field(
        "gpt2",
        description="a hub id, a local folder, a .gguf file, the name of a downloaded asset "
        "('smollm2-135m'), or 'scratch'",
    )
    revision: str | None = Field(None, description="which revision of a hub model")
    scratch: ScratchConfig = ScratchConfig()


class LoopConfig(Section):
    """How long a chain is, and how many there are."""

    generations: int = Field(
        10, ge=0, le=1000, description="synthetic generations after Generation 0"
    )
    start: Literal["previous", "base"] = Field(
        "previous", description="the weights that a generation's fine-tuning starts from"
    )
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(
        (0, 1, 2),
        min_length=1,
        description="a chain of each regime per seed; of one chain no report says yes or no",
    )
    shards: int = Field(
        1,
        ge=1,
        le=1024,
        description="parts that each set of articles is generated and scored in, each a stage of "
        "its own: with --executor ray they run side by side. No part of what is computed",
    )
    bias_direction: Literal["auto", "gradient", "contrast", "none"] = Field(
        "none",
        description="what each generation's parameter update is projected on: 'gradient' of the "
        "leaning log-odds (nucleus sampling only; every model writes a second set of articles for "
        "it), 'contrast' between models fine-tuned on one leaning and on the others, or nothing; "
        "'auto' is gradient for nucleus sampling, contrast for greedy and beam, none where leaning "
        "is not scored or a label is left out. It has shown no predictive value so far",
    )
    keep_models: Literal["all", "ends", "last", "none"] = Field(
        "ends",
        description="which fine-tuned weights stay on disk once the run is finished; 'ends' are "
        "Generation 0 and the last, which 'biasloop ablate' works on",
    )

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("a seed stands twice")
        return seeds


class NeuronsConfig(GrownSection):
    """What is kept of every model's neurons, so that its weights need not be."""

    later = frozenset({"input"})

    sites: tuple[Literal["mlp_out", "mlp_hidden", "resid_post"], ...] = Field(
        ("mlp_out",),
        description="'mlp_out': outputs of the feed-forward blocks (the paper's 12 x 768); "
        "'mlp_hidden': the units inside them; 'resid_post': what a whole block puts out, the "
        "residual stream, which the authors' script reads; empty keeps nothing",
    )
    input: Input = Field(
        BODY, description="what is read of a real article: a text with {body}, and maybe {title}"
    )
    max_tokens: int = Field(512, ge=8, description="what is read of each real article")
    batch_size: int = Field(8, ge=1)


class QualityConfig(GrownSection):
    """The instrument that reads text quality."""

    later = frozenset({"input", "sentence_end"})

    classifier: str = Field(
        "builtin", description="'builtin', or a gibberish detector by hub id or local folder"
    )
    input: Input = Field(
        BODY, description="what is graded of an article: a text with {body}, and maybe {title}"
    )
    sentence_end: Literal["punctuation", "full-stop"] = Field(
        "punctuation",
        description="'punctuation': . ! ? and … before a blank, and empty lines, but no "
        "abbreviation; 'full-stop': every '.' and nothing else, as in the authors' script, so that "
        "3.5 is two sentences and a question goes on",
    )
    batch_size: int = Field(256, ge=1, description="sentences read at once, at most")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of a detector by id; bfloat16 is faster, see docs/speed.md"
    )


class PerplexityConfig(GrownSection):
    """How perplexity is read."""

    later = frozenset({"input"})

    input: Input = Field(
        BODY, description="what is read of an article: a text with {body}, and maybe {title}"
    )


class PairsConfig(Section):
    """Pairs of texts that differ in one name, and how their likelihoods are compared."""

    file: str = Field(
        "party",
        description="'party' (built in: 48 sentences about the two US parties); a CSV file with "
        "the columns first and second, and maybe axis and group (whose name the first text has); "
        "or a file of CrowS-Pairs (CSV), BBQ (JSONL) or WinoBias (see anti)",
    )
    anti: str | None = Field(
        None,
        description="of WinoBias: the anti-stereotyped sentences, line by line those of file, "
        "which has the pro-stereotyped ones",
    )
    likelihood: Literal["shared", "whole"] = Field(
        "shared",
        description="'shared': the probability of the tokens that both texts have, given each "
        "name before them, as CrowS-Pairs does; 'whole': of all tokens, the names included, which "
        "for two answers to one question is that of the answers (BBQ needs it)",
    )


class EmbeddingConfig(Section):
    """Vendi score and MAUVE: what the metric ``embedding`` compares articles by."""

    encoder: Literal["word-tfidf", "character-tfidf", "minilm"] = Field(
        "word-tfidf",
        description="what makes a vector of an article; 'minilm' needs the asset 'minilm'",
    )
    articles: int = Field(
        200, ge=20, description="articles of a set that are compared, and of real ones for MAUVE"
    )
    mauve_seeds: int = Field(5, ge=1, description="clusterings that MAUVE is the mean of")


class LmEvalConfig(Section):
    """Tasks of the LM Evaluation Harness that every model is scored by."""

    tasks: tuple[str, ...] = Field(
        (), description="names of tasks, groups or tags of tasks; empty runs none"
    )
    folder: str | None = Field(
        None,
        description="a folder of task files to take them from; null takes the harness's own, whose "
        "data sets it fetches from the hub. A task file may name Python code, which is run",
    )
    limit: int | None = Field(None, ge=1, description="examples of a task; null takes all")


class MetricsConfig(GrownSection):
    """What every generation is scored for."""

    later = frozenset({"perplexity", "pairs", "embedding", "lm_eval", "axes"})

    names: tuple[str, ...] = Field(
        ("leaning", "quality", "perplexity", "diversity"),
        min_length=1,
        description="also 'embedding' (Vendi score and MAUVE) and 'own_entropy'",
    )
    embedding: EmbeddingConfig = EmbeddingConfig()
    lm_eval: LmEvalConfig = Field(
        LmEvalConfig(), description="a list of tasks, or a section that has them"
    )
    leaning: LeaningConfig = LeaningConfig()
    axes: tuple[AxisConfig, ...] = Field(
        (), description="further axes: each a leaning of its own; verdicts are corrected together"
    )
    quality: QualityConfig = QualityConfig()
    perplexity: PerplexityConfig = PerplexityConfig()
    pairs: PairsConfig = PairsConfig()
    perplexity_batch_size: int = Field(64, ge=1, description="texts read at once, at most")
    perplexity_precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="bfloat16 is faster where the processor has it, and rounds: docs/speed.md "
        "has by how much",
    )
    self_bleu_articles: int = Field(30, ge=3, description="sample size of self-BLEU")

    @field_validator("lm_eval", mode="before")
    @classmethod
    def _bare_tasks(cls, value: object) -> object:
        return {"tasks": value} if isinstance(value, (list, tuple)) else value

    @field_validator("leaning", mode="before")
    @classmethod
    def _one_main_axis(cls, value: object) -> object:
        if isinstance(value, list):
            raise ValueError(
                "is one instrument, for the corpus's own labels: further axes go into metrics.axes"
            )
        return value

    @field_validator("axes")
    @classmethod
    def _distinct(cls, axes: tuple[AxisConfig, ...]) -> tuple[AxisConfig, ...]:
        names = [axis.name for axis in axes]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two axes are called '{twice[0]}'")
        return axes

    @property
    def wanted(self) -> tuple[str, ...]:
        """The names, and ``lm_eval`` where tasks are named."""
        return tuple(dict.fromkeys((*self.names, *(["lm_eval"] if self.lm_eval.tasks else []))))


class ReportConfig(Section):
    """What the report shows."""

    bootstrap: int = Field(
        2000, ge=100, le=1_000_000, description="resamples of articles per interval"
    )
    examples: int = Field(3, ge=0, description="articles shown side by side with their prompt")
    leaning: Label | None = Field(
        None,
        description="the leaning that the first figure follows; null takes the label most "
        "present in pre-training, or the last of the label set",
    )
    cluster: Literal["source", "event", "article"] = Field(
        "source",
        description="what articles' chances hang together in: their source where it is known, so "
        "that intervals speak of other sources, too; 'event' likewise, of corpus.columns.event; "
        "'article' speaks of these sources only",
    )
    outside_share: Fraction = Field(
        0.8,
        description="a leaning figure is withheld when more than this share of its articles "
        "cannot be read: bounds over all articles say next to nothing then, and the share among "
        "the rest is of the least damaged ones; up to there they are left out of it. 1 reads every "
        "article, whatever it is",
    )
    equivalence_margin: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="a change of share that is shown to lie within this (0.05: 5 points), either "
        "way, is called none: held",
    )


class Config(Section):
    """One experiment."""

    name: Name = "run"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(
        0, description="of the corpus, its parts, the base model and the instruments"
    )
    corpus: CorpusConfig = CorpusConfig()
    base: BaseConfig = BaseConfig()
    training: TrainingConfig = TrainingConfig()
    generation: GenerationConfig = GenerationConfig()
    loop: LoopConfig = LoopConfig()
    regimes: tuple[RegimeConfig, ...] = Field((SyntheticConfig(kind="synthetic"),), min_length=1)
    metrics: MetricsConfig = MetricsConfig()
    neurons: NeuronsConfig = NeuronsConfig()
    executor: ExecutorConfig = ExecutorConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        """Refuse what one section asks for and another rules out."""
        wanted, writes, training = self.loop.bias_direction, self.generation, self.training
        context = self.base.scratch.context
        scratch, openings = self.base.model == "scratch", writes.prompts == "openings"
        if wanted == "gradient" and writes.decoding != "nucleus":
            raise ValueError(
                f"loop.bias_direction: 'gradient' needs generation.decoding: nucleus; "
                f"{writes.decoding} decoding chooses, and a choice has no gradient: "
                "take 'contrast'"
            )
        if wanted == "contrast" and self.corpus.real_labels:
            raise ValueError(
                "loop.bias_direction: 'contrast' fine-tunes on each label, and corpus.real_labels "
                "leaves some out: take 'none'"
            )
        if wanted == "gradient" and "leaning" not in self.metrics.names:
            raise ValueError("loop.bias_direction: 'gradient' needs 'leaning' in metrics.names")
        if self.report.cluster == "event" and self.corpus.columns.event is None:
            raise ValueError(
                "report.cluster: 'event' needs to know which event an article is about: name its "
                "column in corpus.columns.event"
            )
        if openings and training.input != TrainingConfig.model_fields["input"].default:
            raise ValueError(
                "training.input: an opening is a title, a line break and a body, which another "
                "text would not teach: leave it out, or set generation.prompts: blocks"
            )
        needed = writes.prompt_tokens + writes.new_tokens
        if openings and scratch and needed > context:
            raise ValueError(
                f"generation.opening_tokens + generation.new_tokens is {needed}, more than "
                f"base.scratch.context, {context} tokens: lower one of the two, or raise it"
            )
        if training.asks and scratch:
            raise ValueError(
                "training.text: 'chat' needs a model with a chat template, and base.model: scratch "
                "has none: name an instruct model, or take training.text: plain"
            )
        if "{title}" in (training.asks or "") and not openings:
            raise ValueError(
                "training.instruction: '{title}' asks for a whole article, and "
                f"generation.prompts is {writes.prompts}: set it to openings, or ask with "
                "'{text}'"
            )
        return self

    @model_validator(mode="after")
    def _regimes_fit(self) -> Self:
        """Refuse a regime that asks for what the other sections do not have."""
        labels, loop = [regime.label for regime in self.regimes], self.loop
        for regime in self.regimes:
            what = f"regime '{regime.label}'"
            if labels.count(regime.label) > 1:
                raise ValueError(f"two regimes are called '{regime.label}': give one a 'name'")
            if regime.label in ("real", "base"):
                raise ValueError(
                    f"a regime cannot be called '{regime.label}': the tables use that word"
                )
            if lacking := [name for name in regime.metrics if name not in self.metrics.names]:
                raise ValueError(
                    f"{what} chooses articles by {' and '.join(lacking)}, which metrics.names does "
                    f"not have: add '{lacking[0]}' to it"
                )
            if others := set(self.seeds_of(regime)) - set(loop.seeds):
                raise ValueError(f"{what}: seeds: loop.seeds does not have {min(others)}")
            if isinstance(regime, EditedConfig) and regime.first > loop.generations:
                raise ValueError(
                    f"{what} edits models from Generation {regime.first} on, and loop.generations "
                    f"is {loop.generations}: set first to a lower one"
                )
            if regime.decoding and self.generation.decoding != "nucleus":
                raise ValueError(
                    f"{what} has a decoding of its own, which needs generation.decoding: nucleus; "
                    f"it is {self.generation.decoding}"
                )
            fresh = isinstance(regime, RealConfig) and regime.fresh
            if fresh and self.corpus.fresh_sets < loop.generations:
                raise ValueError(
                    f"{what} trains each of {loop.generations} generations on real articles of its "
                    f"own, and corpus.fresh_sets keeps {self.corpus.fresh_sets} sets: set "
                    f"corpus.fresh_sets: {loop.generations}"
                )
        return self

    def seeds_of(self, regime: AnyRegimeConfig) -> tuple[int, ...]:
        """List the seeds of a regime's chains."""
        return self.loop.seeds if regime.seeds is None else regime.seeds

    @property
    def axes(self) -> dict[str, Config]:
        """By name of a further axis, the same experiment with that axis in the main one's place."""
        report = self.report.model_copy(update={"leaning": None})
        found = {}
        for axis in self.metrics.axes:
            own = {"leaning": axis, "axes": (), "names": ("leaning",)}
            metrics = self.metrics.model_copy(update=own)
            found[axis.name] = self.model_copy(update={"metrics": metrics, "report": report})
        return found

    @property
    def bias_direction(self) -> Literal["gradient", "contrast", "none"]:
        """`loop.bias_direction`, with ``auto`` decided."""
        if self.loop.bias_direction != "auto":
            return self.loop.bias_direction
        if "leaning" not in self.metrics.names:
            return "none"
        if self.generation.decoding != "nucleus" and self.corpus.real_labels:
            return "none"
        return "gradient" if self.generation.decoding == "nucleus" else "contrast"

    @field_validator("regimes", mode="before")
    @classmethod
    def _bare_names(cls, regimes: object) -> object:
        if isinstance(regimes, (list, tuple)):
            return [{"kind": r} if isinstance(r, str) else r for r in regimes]
        return regimes
