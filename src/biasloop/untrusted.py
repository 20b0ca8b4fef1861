"""Text that nobody checked, made safe to show on a page. Knows no table, no page and no file."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")
_REORDERING = re.compile(r"[\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Replace what a page cannot or must not obey: control characters and reordering marks.

    Tabs and line ends stay; a NUL and its like become U+FFFD; a mark that would reorder the text
    around it is spelt out. Escaping for HTML is not done here.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)
    return _REORDERING.sub(lambda mark: f"[U+{ord(mark[0]):04X}]", text)


_MARKDOWN = re.compile(r"([\\`*_\[\]|~$#])")


def in_markdown(text: str) -> str:
    """Write a text on one line of Markdown so that it is shown as it is: no link, no tag."""
    line = html.escape(" ".join(visible(text).split()), quote=False)
    line = _MARKDOWN.sub(r"\\\1", line)
    # What a renderer makes a link or a mention of by itself.
    return line.replace("@", "&#64;").replace("://", "&#58;//").replace("www.", "www&#46;")


def templates(package: str, shown: Callable[[str], str] = visible) -> Environment:
    """Give a package's templates, where a value that is not given is an error.

    Every text is first what ``shown`` makes of it, and escaped for HTML if that is no markup.
    """
    import jinja2
    from markupsafe import Markup

    return jinja2.Environment(
        loader=jinja2.PackageLoader(package, "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: (
            shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value
        ),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def script_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Serialise JSON for a script element, which no text in it can end."""
    text = json.dumps(value, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def content_policy(*scripts: str) -> str:
    """Write the content security policy of a page that runs these scripts and asks no network."""
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
        for script in scripts
    ]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
