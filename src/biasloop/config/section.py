"""What every part of the config is, strict and unchanging, and types that several have.

Among these are texts with places in braces, ``{text}``, that values are put into: not by
`str.format`, since braces that name nothing stay as they are, and a value's own are text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
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


_PLACE = re.compile(r"\{([A-Za-z_]+)\}")


def filled(template: str, values: Mapping[str, str]) -> str:
    """Put values into their places, in one pass; places of other names are left as they are."""
    return _PLACE.sub(lambda place: values.get(place[1], place[0]), template)


def checked(template: str, needed: str, other: tuple[str, ...] = ()) -> str:
    """Return a template that has the place ``needed`` once, and none but ``other`` beside it.

    Raises
    ------
    ValueError
        If it does not.
    """
    places = _PLACE.findall(template)
    if places.count(needed) != 1:
        times = "is missing" if needed not in places else f"stands {places.count(needed)} times"
        raise ValueError(f"{{{needed}}} {times}; it has to stand there once")
    stray = sorted({place for place in places if place != needed and place not in other})
    if stray:
        may = ", ".join(f"{{{place}}}" for place in (needed, *other))
        raise ValueError(f"{{{stray[0]}}} is no place of this text: it may have {may}")
    return template


#: What is read of an article: a text with ``{body}``, and ``{title}`` where titles are read; see
#: `tables.as_given`.
Input = Annotated[str, AfterValidator(lambda text: checked(text, "body", ("title",)))]

#: The body alone.
BODY = "{body}"


class Section(BaseModel):
    """A part of the config: unknown keys are refused, values never change after reading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )


class GrownSection(Section):
    """A section that has got settings since runs were made with it.

    Those in ``later`` are written out only where they differ from their default: without them a
    section is what it was before, and so are the runs made with it. ``needs`` says which apply only
    where another one has some value: elsewhere they are refused, and not written out.
    """

    later: ClassVar[frozenset[str]] = frozenset()
    needs: ClassVar[Mapping[tuple[str, str], tuple[str, ...]]] = {}

    @model_validator(mode="after")
    def _settings_apply(self) -> Self:
        for (key, value), names in self.needs.items():
            given = sorted(self.model_fields_set & set(names))
            if given and getattr(self, key) != value:
                raise ValueError(
                    f"{given[0]} is a setting of {key}: {value}, and {key} is "
                    f"{getattr(self, key)}: leave it out, or set {key}: {value}"
                )
        return self

    @property
    def _idle(self) -> frozenset[str]:
        """What is not written out."""
        fields = type(self).model_fields
        needs = [names for (key, value), names in self.needs.items() if getattr(self, key) != value]
        later = (name for name in self.later if getattr(self, name) == fields[name].default)
        return frozenset(later).union(*needs)

    @model_serializer(mode="wrap")
    def _without_idle(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        idle = self._idle
        return {name: value for name, value in handler(self).items() if name not in idle}
