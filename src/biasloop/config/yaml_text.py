"""From YAML text to plain values, safely and within bounds. Knows no setting.

YAML can nest aliases into a bomb and run code by tags. A config needs none of that, so it is
refused rather than survived.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from biasloop.errors import InputError

#: A config is a page of text. More is a mistake, or an attack on the parser: at this length the
#: worst text takes seconds.
MAX_CHARACTERS = 100_000
#: Lists and mappings in each other; a config has five.
MAX_DEPTH = 32
#: Bits of a whole number; Python refuses to print very long ones.
_MAX_BITS = 4096


class _Loader(yaml.SafeLoader):
    """Safe YAML without aliases, tags or repeated keys, and with a bound on depth."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        wrong = None
        if isinstance(event, yaml.AliasEvent):
            wrong = "aliases (*name) are not accepted in a config"
        elif event.tag is not None:
            wrong = "tags (!name) are not accepted in a config"
        elif self.depth == MAX_DEPTH:
            wrong = f"nested more than {MAX_DEPTH} deep"
        if wrong:
            raise ComposerError(None, None, wrong, event.start_mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConstructorError(None, None, "a key is a list or mapping", node.start_mark)
            key = key_node.value
            if key_node.tag == "tag:yaml.org,2002:merge":
                raise ConstructorError(
                    None, None, "merge keys (<<) are not accepted in a config", key_node.start_mark
                )
            if key in seen:
                raise ConstructorError(
                    None, None, f"the key '{shortened(key)}' stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads: no aliases, and text that looks like its numbers in quotes."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401 - as PyYAML has it
        return True


# YAML 1.1 reads yes, no, on and off as truth values, so that a label `no` would be none. YAML 1.2
# does not; a setting that is a truth value still takes them. What is written has them in quotes.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in kinds if tag != "tag:yaml.org,2002:bool"]
    for first, kinds in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)

# PyYAML reads 5e-5 as a string (YAML 1.1 wants 5.0e-5); a config must not.
for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
        list("-+0123456789"),
    )


def shortened(text: str, characters: int = 80) -> str:
    """Cut a text of the user's for a message."""
    return text if len(text) <= characters else text[: characters - 1] + "…"


def read_yaml(text: str, where: str, longest: int = MAX_CHARACTERS) -> Any:  # noqa: ANN401 - any YAML value
    """Read one YAML document as plain values.

    Parameters
    ----------
    text
        At most ``longest`` characters, nested at most `MAX_DEPTH` deep; without aliases, merge
        keys, tags, and keys that stand twice.
    where
        How error messages call it.

    Raises
    ------
    InputError
        If it is anything else, or no YAML.
    """
    if len(text) > longest:
        raise InputError(f"{where}: longer than {longest:,} characters: not a config")
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - _Loader is a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise InputError(f"{where}{line}: not valid YAML: {shortened(problem, 300)}") from error
    except (ValueError, OverflowError, RecursionError) as error:
        # A date or character that does not exist, or flow brackets deeper than Python's stack.
        raise InputError(f"{where}: not a usable YAML value: {shortened(str(error))}") from error


def write_yaml(values: Any) -> str:  # noqa: ANN401 - any plain value
    """Write plain values as YAML that `read_yaml` reads as the same values."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False)


def plain_copy(value: Any, where: str, depth: int = 0) -> Any:  # noqa: ANN401 - any value
    """Copy mappings and lists, to be changed; refuse what no config can hold or show.

    Raises
    ------
    InputError
        For nesting deeper than `MAX_DEPTH`, text with NUL characters or lone surrogates (which
        no file holds), or a whole number of more than a thousand digits.
    """
    if depth > MAX_DEPTH:
        raise InputError(f"{where}: nested more than {MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        return {
            plain_copy(key, where, depth + 1): plain_copy(item, where, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [plain_copy(item, where, depth + 1) for item in value]
    if isinstance(value, str) and ("\0" in value or any("\ud800" <= c <= "\udfff" for c in value)):
        raise InputError(f"{where}: {shortened(value)!r} holds NUL characters or lone surrogates")
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        raise InputError(f"{where}: a number of more than a thousand digits")
    return value
