"""Hostile strings and bytes, and how good ones are spoilt. Knows no format."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

#: Strings that have broken something somewhere: paths, markup, controls, Unicode, numbers.
NASTY = (
    "",
    " ",
    "../../x",
    "../../../../../../tmp/biasloop-escaped",
    "/tmp/biasloop-escaped",
    "/etc/passwd",
    "C:\\Windows\\x",
    "~nosuchuser/x",
    "~",
    "-",
    "--out",
    ".",
    "..",
    "a/../../b",
    "file:///etc/passwd",
    "s3://bucket/key.parquet",
    "hub:../../x",
    "hub:a/b/c",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "{{ 7 * 7 }}{% raw %}",
    "${jndi:ldap://x}",
    "$(touch /tmp/biasloop-escaped)",
    "`touch /tmp/biasloop-escaped`",
    "'; DROP TABLE articles; --",
    "=1+1",
    "%s%n%x",
    "{0.__class__}",
    "\x1b[2J\x1b[31mred",
    "a\tb",
    "a\nb",
    "a\r\nb",
    "a\rb",
    "\x7f\x80\x9f",
    "\u0000",
    "a\u0000b",
    "\ufeffbom",
    "\u202etxt.exe",
    "\u2028\u2029",
    "\u200b",
    "e\u0301" * 30,
    "Z\u0351\u036b\u0343" * 20,
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\U0010ffff",
    "\ufffe",
    "\ud800",
    "\udcff",
    "İ",
    "ß",
    "ﷺ" * 20,
    "²",
    "٣",
    "NaN",
    "inf",
    "-0",
    "1e999",
    "9" * 5000,
    "0x" + "f" * 50,
    "null",
    "true",
    "NO",
    "CON",
    "a" * 300,
    "a" * 5000,
    "日本語" * 50,
)

SCALARS: tuple[object, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    2**64,
    -(2**200),
    10**400,
    0.0,
    -0.0,
    1e-320,
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
    0.1,
    1e10,
)


def nasty(random: Random) -> str:
    """Draw a hostile string: one of the list, two joined, or random characters."""
    kind = random.randrange(8)
    if kind < 5:
        return random.choice(NASTY)
    if kind == 5:
        return random.choice(NASTY) + random.choice(NASTY)
    length = random.randrange(1, 12)
    return "".join(
        chr(random.choice((random.randrange(128), random.randrange(0x3000)))) for _ in range(length)
    )


def utf8(text: str) -> str:
    """Drop what UTF-8 cannot hold."""
    return text.encode("utf-8", "ignore").decode("utf-8")


def scalar(random: Random) -> object:
    """Draw a hostile scalar."""
    return nasty(random) if random.random() < 0.5 else random.choice(SCALARS)


def tree(random: Random, depth: int = 3) -> object:
    """Draw a hostile value: a scalar, a list or a mapping of them."""
    kind = random.randrange(4)
    if depth == 0 or kind < 2:
        return scalar(random)
    if kind == 2:
        return [tree(random, depth - 1) for _ in range(random.randrange(4))]
    return {nasty(random): tree(random, depth - 1) for _ in range(random.randrange(4))}


def _cut(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def _flip(content: bytes, random: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8, 40))):
        if changed:
            changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


def _insert(content: bytes, random: Random) -> bytes:
    place = random.randrange(len(content) + 1)
    piece = random.choice(
        (
            b"\0",
            b"\r",
            b"\n",
            b"\r\n",
            b'"',
            b"'",
            b",",
            b"\t",
            b"\xff\xfe",
            b"\xef\xbb\xbf",
            b"\xc0\xaf",
            b"\xed\xa0\x80",
            b"\x1b[2J",
            b"\\",
            b"{",
            b"}",
            b"[" * 50,
            b"\x00" * 100,
            b"9" * 400,
            b"\xf4\x90\x80\x80",
        )
    )
    return content[:place] + piece * random.choice((1, 1, 1, 3)) + content[place:]


def _repeat(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content) + 1)
    piece = content[start : start + random.randrange(1, 200)]
    return content[:start] + piece * random.choice((2, 3, 20)) + content[start:]


def _drop(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content) + 1)
    return content[:start] + content[start + random.randrange(1, 60) :]


def _line_ends(content: bytes, random: Random) -> bytes:
    parts = content.split(b"\n")
    return b"".join(part + random.choice((b"\n", b"\r\n", b"\r", b"\n\n")) for part in parts)


def _encode(content: bytes, random: Random) -> bytes:
    text = content.decode("utf-8", "replace")
    name = random.choice(
        ("utf-16", "utf-16-le", "utf-32", "latin-1", "utf-7", "utf-8-sig", "cp037")
    )
    return text.encode(name, "replace")


def _splice(content: bytes, random: Random) -> bytes:
    one, two = random.randrange(len(content) + 1), random.randrange(len(content) + 1)
    return content[:one] + content[two:]


_SPOILERS: tuple[Callable[[bytes, Random], bytes], ...] = (
    _cut,
    _flip,
    _flip,
    _insert,
    _insert,
    _repeat,
    _drop,
    _line_ends,
    _encode,
    _splice,
)


def spoil(content: bytes, random: Random) -> bytes:
    """Damage bytes in one to three ways."""
    for _ in range(random.choice((1, 1, 2, 3))):
        content = random.choice(_SPOILERS)(content, random)
    return content
