"""Texts with places in braces, ``{text}``, that values are put into. Knows no setting.

Not `str.format`: braces that name nothing stay as they are, and a value's own are text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator

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


def as_given(template: str, title: str | None, body: str) -> str:
    """Put an article's title and body into their places; see `Input`."""
    return filled(template, {"title": title or "", "body": body})


#: What is read of an article: a text with ``{body}``, and ``{title}`` where titles are read.
Input = Annotated[str, AfterValidator(lambda text: checked(text, "body", ("title",)))]

#: The body alone.
BODY = "{body}"
