"""How numbers, intervals and untrusted text are written."""

from __future__ import annotations

import re
import unicodedata

from biasloop.tables import BASE, REAL
from biasloop.untrusted import visible

#: Between a number and its unit: narrow, and no line break.
_THIN = "\u202f"
_MINUS = "\u2212"

#: How every interval is called.
INTERVAL = f"95{_THIN}% interval"

#: How the sets that are no regime's are called.
SETS = {REAL: "real articles", BASE: "base model"}
#: How the articles are called on which an instrument was tested.
HELD_OUT = {"articles": "unseen articles", "sources": "unseen sources"}

_LONGEST_NAME = 48


def name(text: str, longest: int = _LONGEST_NAME) -> str:
    """Make a label or regime fit a legend: one line, visible, no longer than 48 characters."""
    line = " ".join(visible(text).split())
    short = line if len(line) <= longest else line[: longest - 1] + "…"
    return unicodedata.normalize("NFC", short) or "(empty)"


def cut(text: str, characters: int) -> tuple[str, int]:
    """Cut a text for showing; also say how many characters were left out."""
    text = visible(text)
    return text[:characters], max(0, len(text) - characters)


def number(value: float | None, digits: int = 2) -> str:
    """Write a number with a true minus and thousands separated; a dash for none."""
    if value is None:
        return "–"
    return f"{value:,.{digits}f}".replace("-", _MINUS)


def signed(value: float, digits: int = 1) -> str:
    """Write a number with its sign; what rounds to zero has none."""
    text = f"{value:+,.{digits}f}"
    return text.lstrip("+-") if float(text.replace(",", "")) == 0 else text.replace("-", _MINUS)


def short(value: float) -> str:
    """Write a number with one decimal, or none where that is 0."""
    return number(value, 1).removesuffix(".0")


def pvalue(value: float | None) -> str:
    """Write a p-value."""
    if value is None:
        return "–"
    return "p < 0.001" if value < 0.001 else f"p {number(value, 3 if value < 0.1 else 2)}"


def percent(value: float | None, digits: int = 1) -> str:
    """Write a share of 1 in percent."""
    return "–" if value is None else f"{number(100 * value, digits)}{_THIN}%"


def scaled(value: float | None, digits: int | None = None) -> str:
    """Write a figure of unknown size with about three digits."""
    if value is None:
        return "–"
    if digits is None:
        digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2
        digits = 3 if abs(value) <= 1 else digits
    return number(value, digits)


def between(low: float | None, high: float | None, digits: int = 1, sign: bool = False) -> str:
    """Write an interval in words; empty where there is none."""
    if low is None or high is None:
        return ""
    write = signed if sign else number
    return f"{write(low, digits)} to {write(high, digits)}"


def share(value: float, digits: int = 1, change: bool = False) -> str:
    """Write a share in percent, or a change of one in points, without the unit.

    Corrected for a classifier's errors, it may lie outside what it can be: it is then ``over 100``.
    """
    least, write = (-1.0, signed) if change else (0.0, number)
    if least - 1e-9 <= value <= 1 + 1e-9:
        return write(100 * value, digits)
    return f"over {write(100, 0)}" if value > 1 else f"under {write(100 * least, 0)}"


def shares_between(low: float, high: float, digits: int = 1, change: bool = False) -> str:
    """Write an interval of a share in percent, or of a change of one in points, as far as can be.

    Without the unit.
    """
    ends = (100 * min(max(end, -1.0 if change else 0.0), 1.0) for end in (low, high))
    return between(*ends, digits, sign=change)


def points_between(low: float, high: float) -> str:
    """Write an interval of a change of a share (-1 to 1) in points, with signs."""
    return shares_between(low, high, change=True)


def duration(seconds: float) -> str:
    """Write a wall time."""
    if seconds < 60:
        return f"{number(seconds, 1)}{_THIN}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{_THIN}min {rest:02d}{_THIN}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{_THIN}h {minutes:02d}{_THIN}min"


def counted(count: int, noun: str) -> str:
    """Write a count with its noun."""
    return f"{count:,} {noun if count == 1 else noun + 's'}"


def generations(numbers: list[int]) -> str:
    """Write generations as ranges: ``1, 3 to 5``."""
    runs: list[list[int]] = []
    for value in sorted(set(numbers)):
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    parts = [
        str(run[0])
        if len(run) == 1
        else f"{run[0]} to {run[-1]}"
        if len(run) > 2
        else f"{run[0]}, {run[-1]}"
        for run in runs
    ]
    return ", ".join(parts)


def file_stem(text: str) -> str:
    """Make a text safe as a part of a file name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)[:40] or "_"
