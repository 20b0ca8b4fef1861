"""From YAML and ``--set`` overrides to a checked `Config`, with errors that name the key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from biasloop.config.schema import Config
from biasloop.errors import InputError, nearest

#: A config is a page of text. More is a mistake, or an attack on the parser.
MAX_CHARACTERS = 1_000_000


class _Loader(yaml.SafeLoader):
    """Safe YAML without aliases (which can be nested into a bomb) or repeated keys."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise ComposerError(
                None, None, "aliases (*name) are not accepted in a config", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                raise ConstructorError(
                    None, None, f"the key '{key}' stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


# PyYAML reads 5e-5 as a string (YAML 1.1 wants 5.0e-5); a config must not.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def _read_yaml(text: str, where: str) -> Any:  # noqa: ANN401 - any YAML value
    if len(text) > MAX_CHARACTERS:
        raise InputError(f"{where}: longer than {MAX_CHARACTERS:,} characters: not a config")
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - _Loader is a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise InputError(f"{where}{line}: not valid YAML: {problem}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not a usable YAML value: {error}") from error


def _model_at(model: type[BaseModel], location: Sequence[str | int]) -> type[BaseModel] | None:
    """Find the section that a pydantic error location points into."""
    current: Any = model
    for part in location:
        if isinstance(part, int):
            continue
        field = current.model_fields.get(part) if isinstance(current, type) else None
        if field is None:
            return None
        inner = list(_models_in(field.annotation))
        if not inner:
            return None
        current = inner[0]
    return current


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - a type form
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _explain(error: ValidationError, where: str) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_context=False):
        location = problem["loc"]
        key = ".".join(str(part) for part in location) or "the config"
        if problem["type"] == "extra_forbidden":
            section = _model_at(Config, location[:-1])
            known = section.model_fields if section else ()
            lines.append(f"unknown key '{key}': {nearest(str(location[-1]), known)}")
        else:
            given = problem.get("input")
            shown = "" if isinstance(given, (dict, list)) else f" (it is {given!r:.80})"
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{key}: {message[:1].lower()}{message[1:]}{shown}")
    return "\n".join(f"{where}: {line}" for line in lines)


def _override(values: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {assignment}: write dotted.key=value")
    *path, last = key.strip().split(".")
    section: Any = values
    for part in path:
        section = (
            section[_index(section, part, assignment)]
            if isinstance(section, list)
            else (section.setdefault(part, {}))
        )
        if not isinstance(section, (dict, list)):
            raise InputError(f"--set {assignment}: '{part}' is a value, not a section")
    value = _read_yaml(text, f"--set {key}")
    if isinstance(section, list):
        section[_index(section, last, assignment)] = value
    else:
        section[last] = value


def _index(section: list[Any], part: str, assignment: str) -> int:
    if not part.isdigit() or int(part) >= len(section):
        raise InputError(f"--set {assignment}: '{part}' is not one of 0 to {len(section) - 1}")
    return int(part)


def parse_config(
    values: Mapping[str, Any], overrides: Sequence[str] = (), where: str = "config"
) -> Config:
    """Check a mapping and make it a `Config`.

    Parameters
    ----------
    values
        As read from YAML: sections, keys, values.
    overrides
        ``dotted.key=value`` texts, applied in order; the value is read as YAML.
    where
        How error messages call the config.

    Raises
    ------
    InputError
        For an unknown key (with the nearest valid name) or a value that does not fit.
    """
    copy = _deep_copy(values)
    for assignment in overrides:
        _override(copy, assignment)
    try:
        return Config.model_validate(copy)
    except ValidationError as error:
        raise InputError(_explain(error, where)) from error


def _deep_copy(value: Any) -> Any:  # noqa: ANN401 - any YAML value
    if isinstance(value, Mapping):
        return {key: _deep_copy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_deep_copy(item) for item in value]
    return value


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, or a built-in example by name, as a checked `Config`.

    Parameters
    ----------
    source
        Path of a YAML file, or the name of an example (see `example_names`). Paths inside the
        file are relative to the file.
    overrides
        ``dotted.key=value`` texts, applied in order.

    Raises
    ------
    InputError
        If the file is missing or unreadable, is not YAML, or does not fit the schema.
    """
    path = Path(source)
    if not path.exists() and str(source) in example_names():
        return parse_config(_read_yaml(example_text(str(source)), str(source)), overrides)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        examples = ", ".join(example_names())
        raise InputError(
            f"{path}: no such file, and no example has this name ({examples})"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text: {error}") from error
    values = _read_yaml(text, str(path))
    if not isinstance(values, dict):
        raise InputError(f"{path}: a config is a mapping of sections, for example 'corpus: ...'")
    config = parse_config(values, overrides, str(path))
    return _resolve_paths(config, path.parent)


def _resolve_paths(config: Config, folder: Path) -> Config:
    """Make paths of inputs absolute, so that the config means the same from anywhere."""
    corpus, base = config.corpus, config.base
    metrics = config.metrics

    def absolute(name: str) -> str:
        beside = folder / Path(name).expanduser()
        return str(beside.resolve()) if beside.exists() else name

    return config.model_copy(
        update={
            "corpus": corpus.model_copy(update={"source": absolute(corpus.source)}),
            "base": base.model_copy(update={"model": absolute(base.model)}),
            "metrics": metrics.model_copy(
                update={
                    "leaning": metrics.leaning.model_copy(
                        update={"classifier": absolute(metrics.leaning.classifier)}
                    ),
                    "quality": metrics.quality.model_copy(
                        update={"classifier": absolute(metrics.quality.classifier)}
                    ),
                }
            ),
        }
    )


def example_names() -> list[str]:
    """Names of the built-in example configs."""
    folder = resources.files("biasloop.config") / "examples"
    return sorted(
        item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")
    )


def example_text(name: str) -> str:
    """Return one built-in example as YAML text, comments and all.

    Raises
    ------
    InputError
        If there is no example of that name.
    """
    if name not in example_names():
        raise InputError(f"no example '{name}': {nearest(name, example_names())}")
    return (resources.files("biasloop.config") / "examples" / f"{name}.yaml").read_text("utf-8")
