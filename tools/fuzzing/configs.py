"""Hostile config files and overrides: made from the schema, or by spoiling the shipped examples."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

from biasloop.config import Config, example_names, example_text
from fuzzing.texts import nasty, scalar, spoil, tree

#: Fragments of YAML that a reader may trip over, each where a value stands.
FRAGMENTS = (
    '!!python/object/apply:os.system ["touch /tmp/biasloop-escaped"]',
    "!!python/name:os.system",
    "!!python/object/new:type {args: [x, [], {}]}",
    '!!int ""',
    '!!int "_"',
    '!!float ""',
    "!!float x",
    "!!bool maybe",
    "!!timestamp x",
    '!!binary "%%%"',
    "!!binary gIGC",
    "!!set {a, b}",
    "!!omap [a: 1, a: 2]",
    "!!pairs [a: 1, a: 2]",
    "!!null x",
    "!!str {=: x}",
    "!!map [1]",
    "!!seq {a: 1}",
    "!<tag:x> 1",
    "!local 1",
    "! 1",
    "=",
    "<<",
    "{<<: {a: 1}}",
    "{<<: [{a: 1}, {b: 2}]}",
    "{<<: 1}",
    "&a [*a]",
    "&a {b: *a}",
    "*nowhere",
    "&a 1",
    "? [a, b]",
    "{? [a]: 1}",
    "{? {a: 1}: 1}",
    "{1: 2, 1.5: 3, ~: 4, true: 5, 2001-01-01: 6}",
    "2001-01-01",
    "2001-99-99",
    "2001-01-01T00:00:00+99:99",
    "0001-01-01T00:00:00+23:00",
    "12:30",
    "1:1:1:1",
    "-1:30.5",
    "0o17",
    "017",
    "0b1",
    "1_000",
    ".inf",
    "-.INF",
    ".nan",
    "1e999",
    "5e-5",
    "-0",
    '"\\ud800"',
    '"\\0"',
    '"\\UFFFFFFFF"',
    '"\\U7fffffff"',
    '"\\x1b[2J"',
    '"\\N\\_\\L\\P"',
    '"unclosed',
    "'unclosed",
    "[unclosed",
    "{unclosed",
    "|\n  text",
    ">9\n text",
    "%YAML 9.9",
    "--- a",
    "...",
    "@at",
    "`tick",
    "\t",
)


def bombs() -> dict[str, str]:
    """Return YAML that would take a naive reader's time, memory or stack, by name."""
    laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
    )
    quadratic = (
        "corpus: &x {label_map: {a: " + "y" * 40_000 + "}}\nregimes: [" + "*x, " * 9000 + "]"
    )
    return {
        "billion laughs": laughs,
        "billion laughs in label_map": "corpus:\n  label_map:\n"
        + "".join("    " + line + "\n" for line in laughs.splitlines()),
        "merge bomb": "a: &a {k0: v}\n"
        + "".join(
            f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [*{chr(97 + i)}, *{chr(97 + i)}]}}\n"
            for i in range(20)
        ),
        "quadratic aliases": quadratic,
        "self reference": "corpus: &a {label_map: *a}",
        "deep flow lists": "a: " + "[" * 50_000,
        "deep closed lists": "a: " + "[" * 5_000 + "]" * 5_000,
        "deep flow maps": "{a: " * 20_000,
        "deep closed maps": "{a: " * 3_000 + "1" + "}" * 3_000,
        "deep keys": "? " * 20_000,
        "deep sequences": "- " * 20_000,
        "deep in label_map": "corpus: {label_map: {a: " + "[" * 200 + "]" * 200 + "}}",
        "sixty to the many": "seed: " + ":".join(["1"] * 45_000),
        "sixty to the many and a half": "seed: " + ":".join(["1"] * 45_000) + ".5",
        "hexadecimal": "seed: 0x" + "f" * 90_000,
        "a hexadecimal key": "0x" + "f" * 90_000 + ": 1",
        "binary": "name: 0b" + "1" * 90_000,
        "decimal": "seed: " + "9" * 90_000,
        "a decimal float": "training: {epochs: " + "9" * 90_000 + ".0}",
        "many keys": "".join(f"k{i}: 1\n" for i in range(9_000)),
        "many labels": "corpus: {label_map: {"
        + ", ".join(f"k{i}: [1]" for i in range(6_000))
        + "}}",
        "one long key": "k" * 90_000 + ": 1",
        "one long value": "name: " + "v" * 90_000,
        "many documents": "---\na: 1\n" * 9_000,
        "many tags": "name: " + "!!str " * 20_000 + "x",
        "many anchors": "name: [" + ", ".join(f"&a{i} 1" for i in range(8_000)) + "]",
        "many quotes": "name: " + "'" * 90_000,
        "many backslashes": 'name: "' + "\\\\" * 45_000,
        "folded": "name: >\n" + " x\n" * 20_000,
        "too long": "#" * 2_000_000,
        "a plain scalar of lines": "name: a\n" + " a\n" * 25_000,
    }


class _Raw(str):
    """YAML to be written as it is."""

    __slots__ = ()


def _flow(value: Any) -> str:
    """Write flow-style YAML, which JSON nearly is."""
    if isinstance(value, _Raw):
        return value
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if isinstance(value, float):
        return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(str(value), repr(value))
    return json.dumps(value)


@cache
def schema() -> dict[str, Any]:
    """Return the config's JSON schema."""
    return Config.model_json_schema()


def fitting(node: dict[str, Any], random: Random, depth: int = 0) -> Any:
    """Draw a value that fits a part of the schema, or nearly: most bounds are met."""
    if "$ref" in node:
        node = schema()["$defs"][node["$ref"].rsplit("/", 1)[1]]
    for several in ("anyOf", "oneOf"):
        if several in node:
            return fitting(random.choice(node[several]), random, depth)
    if "allOf" in node:
        return fitting(node["allOf"][0], random, depth)
    if "enum" in node:
        return random.choice(node["enum"])
    if "const" in node:
        return node["const"]
    kind = node.get("type")
    if kind == "object":
        if "properties" in node:
            share = random.choice((0.2, 0.5, 1.0))
            found = {
                name: fitting(item, random, depth + 1)
                for name, item in node["properties"].items()
                if name in node.get("required", ()) or random.random() < share
            }
            return _of_one_protocol(found) if random.random() < 0.9 else found
        inner = node.get("additionalProperties") or {}
        return {
            random.choice(("left", "right", nasty(random))): fitting(inner, random, depth + 1)
            for _ in range(random.randrange(3))
        }
    if kind == "array":
        inner = node.get("items") or {}
        low = node.get("minItems", 0)
        return [fitting(inner, random, depth + 1) for _ in range(random.randrange(low, low + 3))]
    if kind in ("integer", "number"):
        low = node.get("minimum", node.get("exclusiveMinimum", 0))
        high = node.get("maximum", node.get("exclusiveMaximum", low + 100))
        if kind == "integer":
            return random.randrange(int(low), max(int(low) + 1, min(int(high), int(low) + 50)))
        return random.choice((low, high, *[random.uniform(low, high) for _ in range(20)]))
    if kind == "boolean":
        return random.choice((True, False))
    if kind == "null":
        return None
    if "pattern" in node or random.random() < 0.9:
        return random.choice(("synthetic", "preservation", "left", "articles.jsonl", "x", "y"))
    return nasty(random)


def _of_one_protocol(section: dict[str, Any]) -> dict[str, Any]:
    """Leave out what the section's own ``prompts`` has no use for."""
    idle = (
        {"block_tokens", "max_article_tokens"}
        if section.get("prompts") == "openings"
        else {"opening_tokens", "samples_per_prompt"}
    )
    return {name: value for name, value in section.items() if name not in idle}


def _places(value: Any) -> list[tuple[Any, Any]]:
    """List every place in a value, as container and key."""
    found: list[tuple[Any, Any]] = []
    items = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list)
        else []
    )
    for key, item in items:
        found.append((value, key))
        found += _places(item)
    return found


def _from_schema(random: Random) -> bytes:
    value = fitting(schema(), random)
    places = _places(value)
    for _ in range(random.choice((0, 0, 0, 0, 1, 1, 2, 4))):
        if not places:
            break
        container, key = random.choice(places)
        if isinstance(container, dict) and random.random() < 0.2:
            container[random.choice((nasty(random), f"{key}x", scalar(random)))] = tree(random)
        else:
            container[key] = (
                _Raw(random.choice(FRAGMENTS)) if random.random() < 0.3 else tree(random)
            )
    lines = [f"{_flow(key)}: {_flow(item)}" for key, item in value.items()]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def _from_example(random: Random) -> bytes:
    text = example_text(random.choice(example_names()))
    # Without comments, so that what is changed counts.
    lines = [line.split("  #")[0] for line in text.split("\n") if line.split("#")[0].strip()]
    for _ in range(random.choice((0, 1, 1, 1, 2))):
        at = random.randrange(len(lines))
        line = lines[at]
        kind = random.randrange(8)
        key = line.partition(":")[0]
        if kind == 0:
            lines[at] = f"{key}: {random.choice(FRAGMENTS)}"
        elif kind == 1:
            lines[at] = f"{key}: {_flow(scalar(random))}"
        elif kind == 2:
            lines.insert(at, line)
        elif kind == 3:
            del lines[at]
        elif kind == 4:
            lines[at] = random.choice(("  ", "\t", " ", "- ", "? ")) + line
        elif kind == 5:
            indent = line[: len(line) - len(line.lstrip())]
            lines.insert(at, f"{indent}{_flow(nasty(random))}: {random.choice(FRAGMENTS)}")
        elif kind == 6:
            lines[at] = line.lstrip()
        else:
            lines[at] = f"{key}: {_flow(tree(random))}"
        lines = lines or [""]
    content = "\n".join(lines).encode("utf-8", "surrogateescape")
    return spoil(content, random) if random.random() < 0.3 else content


def _fragments(random: Random) -> bytes:
    parts = [random.choice(FRAGMENTS) for _ in range(random.randrange(1, 4))]
    return "\n".join(f"{random.choice(('name', 'seed', 'a'))}: {part}" for part in parts).encode()


def _bytes(random: Random) -> bytes:
    return bytes(random.randrange(256) for _ in range(random.randrange(200)))


def _symbols(random: Random) -> bytes:
    alphabet = "abn:-[]{}'\"#&*!|>?%@,=<~. \n\t\r0159"
    return "".join(random.choice(alphabet) for _ in range(random.randrange(120))).encode()


def _bomb(random: Random) -> bytes:
    return random.choice(list(bombs().values())).encode()


_MAKERS: tuple[tuple[int, Callable[[Random], bytes]], ...] = (
    (40, _from_schema),
    (30, _from_example),
    (10, _fragments),
    (10, _symbols),
    (4, _bytes),
    (1, _bomb),
)


def content(random: Random) -> bytes:
    """Draw the bytes of a config file."""
    weights, makers = zip(*_MAKERS, strict=True)
    return random.choices(makers, weights)[0](random)


def _path(random: Random) -> str:
    node, parts = schema(), []
    while True:
        if "$ref" in node:
            node = schema()["$defs"][node["$ref"].rsplit("/", 1)[1]]
        properties = node.get("properties")
        if not properties:
            break
        name = random.choice(sorted(properties))
        parts.append(name)
        node = properties[name]
    if random.random() < 0.3:
        parts[random.randrange(len(parts))] = random.choice(
            ("0", "1", "99", "-1", "²", "٣", "9" * 5000, "", " ", nasty(random))
        )
    if random.random() < 0.1:
        parts.append(random.choice(("0", "x", nasty(random))))
    return ".".join(parts)


def overrides(random: Random) -> list[str]:
    """Draw ``--set`` texts."""
    found = []
    for _ in range(random.choice((0, 0, 0, 0, 0, 0, 1, 1, 2, 3))):
        kind = random.randrange(10)
        value = random.choice((random.choice(FRAGMENTS), _flow(tree(random)), nasty(random), "1"))
        if kind == 0:
            found.append(nasty(random))
        elif kind == 1:
            found.append(
                random.choice(("=", "==", "a.=1", ".=1", "..a=1", "regimes.0=", "a" * 9000))
            )
        elif kind == 2:
            found.append(".".join(["a"] * random.choice((5, 500, 20_000))) + "=1")
        elif kind == 3:
            found.append(f"{nasty(random)}={value}")
        else:
            found.append(f"{_path(random)}={value}")
    return found
