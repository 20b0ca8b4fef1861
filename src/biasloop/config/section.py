"""What every part of the config is, strict and unchanging, and types that several have."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

Fraction = Annotated[float, Field(gt=0.0, le=1.0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]

#: Whole numbers up to this are exact as floats.
_EXACT = 2**53


def label_text(value: object) -> object:
    """Write a number or a truth value as the text of a label; leave anything else.

    A column of whole numbers in which some are missing is read as floats by many programs, so
    that 0 and 0.0 are one label.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return str(int(value))
    return str(value) if isinstance(value, (int, float)) else value


#: A label as text; ``0``, ``0.0`` and ``true`` need no quotes in a config.
Label = Annotated[str, BeforeValidator(label_text)]


class Section(BaseModel):
    """A part of the config: unknown keys are refused, values never change after reading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


class GrownSection(Section):
    """A section that has got settings since runs were made with it.

    Those in ``later`` are written out only where they differ from their default: without them a
    section is what it was before, and so are the runs made with it.
    """

    later: ClassVar[frozenset[str]]

    @model_serializer(mode="wrap")
    def _without_later(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        idle = {name for name in self.later if getattr(self, name) == fields[name].default}
        return {name: value for name, value in handler(self).items() if name not in idle}
