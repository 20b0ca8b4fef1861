"""The settings of the instrument that reads an article's leaning."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from biasloop.config.section import BODY, GrownSection, Input, Label, checked

#: Settings that one kind of classifier by id reads, and the others do not.
_READ_BY = {
    "label_map": ("sequence",),
    "prompt": ("judge",),
    "hypothesis": ("entailment",),
    "label_names": ("judge", "entailment"),
    "strength": ("embedding",),
}


class LeaningConfig(GrownSection):
    """The instrument that reads an article's leaning."""

    later = frozenset({"kind", "input"})

    classifier: str = Field(
        "builtin",
        description="'builtin', or a model by hub id or local folder; 'kind' says what it is",
    )
    kind: Literal["sequence", "judge", "entailment", "embedding"] = Field(
        "sequence",
        description="what a classifier by id is: 'sequence', trained for these labels; 'judge', a "
        "causal language model that is asked (also a .gguf file or an asset); 'entailment', a "
        "model of natural language inference; 'embedding', an encoder, on whose sentence "
        "embeddings a logistic regression is trained here",
    )
    candidates: tuple[str, ...] = Field(
        ("word-tfidf", "character-tfidf"),
        min_length=1,
        description="built-in classifiers to choose from by held-out macro-F1; "
        "also 'minilm' (needs the asset 'minilm')",
    )
    label_map: dict[Label, Label] = Field(
        {}, description="the classifier's labels -> the corpus's; for kind 'sequence'"
    )
    input: Input = Field(
        BODY,
        description="what the classifier is given of an article: a text with {body}, and {title} "
        "where it reads titles. A generated article has the title of the real one that prompted it",
    )
    # Names of labels may stand more than once.
    prompt: Annotated[str, AfterValidator(lambda text: checked(text, "text", ("labels",)))] = Field(
        "Which way does the following text lean: {labels}?\n\nText:\n{text}\n\n"
        "Answer with one of: {labels}.\nAnswer:",
        description="what a judge is asked: {text} is the article, {labels} the labels' names. In "
        "the chat template of the tokenizer where it has one",
    )
    hypothesis: Annotated[str, AfterValidator(lambda said: checked(said, "label"))] = Field(
        "This text is {label}.",
        description="what the text is to entail, for kind 'entailment': {label} is a label's name",
    )
    label_names: dict[Label, str] = Field(
        {},
        description="label -> what it is called in a prompt, its answer and a hypothesis; one "
        "that is not in it is called as it is",
    )
    strength: float = Field(
        10.0,
        gt=0.0,
        description="inverse regularisation (C) of the logistic regression on embeddings",
    )
    max_tokens: int = Field(500, ge=8, description="what the classifier reads of an article")
    errors: Literal["sources", "articles"] = Field(
        "sources",
        description="whose errors correct the shares: 'sources', those on sources that the "
        "classifier trained here has not seen, where there are enough; 'articles', those on unseen "
        "articles of sources that it has: smaller, and right for text as of these sources",
    )
    damage_articles: int = Field(
        300,
        ge=20,
        description="held-out articles that are damaged, each twice to every level of damage (as "
        "much to read as some sixteen times so many articles), to measure the classifier's error "
        "there; fewer where a classifier by id is slow",
    )
    batch_size: int = Field(64, ge=1, description="texts read at once, at most")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of a classifier by id; bfloat16 is faster, see docs/speed.md"
    )

    @model_validator(mode="after")
    def _settings_are_read(self) -> Self:
        if self.classifier == "builtin" and self.kind != "sequence":
            raise ValueError(
                "kind is of a classifier by id, and classifier is 'builtin': name a model in "
                "classifier beside it"
            )
        fields = type(self).model_fields
        for name, kinds in _READ_BY.items():
            if self.kind not in kinds and getattr(self, name) != fields[name].default:
                raise ValueError(
                    f"{name} is read by kind {' and '.join(kinds)}, and kind is '{self.kind}': "
                    "leave it out, or change kind"
                )
        return self

    @property
    def _idle(self) -> frozenset[str]:
        # What came later stands there only where it is read: runs of before are still known.
        unread = {name for name, kinds in _READ_BY.items() if self.kind not in kinds}
        return super()._idle | (unread - {"label_map"})
