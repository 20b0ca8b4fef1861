"""From YAML and ``--set`` overrides to a checked `Config`, with errors that name the key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from biasloop.config.regimes import RegimeConfig
from biasloop.config.schema import Config
from biasloop.config.yaml_text import MAX_CHARACTERS, plain_copy, read_yaml, shortened
from biasloop.errors import InputError, nearest
from biasloop.files import read_text

#: How many problems a message lists.
_SHOWN = 20


def _place_of(
    model: type[BaseModel], location: Sequence[str | int]
) -> tuple[type[BaseModel] | None, list[str]]:
    """Find what a pydantic error location points at.

    Returns
    -------
    section
        The one whose key stands last; None where it cannot be told.
    keys
        The location as it is written in the config: without the kind that pydantic puts after
        the place of a regime.
    """
    inner: list[type[BaseModel]] = [model]
    section: type[BaseModel] | None = None
    keys: list[str] = []
    for part in location:
        tagged = [one for one in inner if len(inner) > 1 and _kind_of(one) == part]
        if tagged:
            inner = tagged
            continue
        keys.append(str(part))
        if isinstance(part, str):
            section = inner[0] if inner else None
            field = section.model_fields.get(part) if section else None
            inner = list(_models_in(field.annotation)) if field else []
    return section, keys


def _kind_of(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("kind")
    return next(iter(get_args(field.annotation)), None) if field else None


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - a type form
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _explain(error: ValidationError, where: str) -> str:
    lines = []
    problems = error.errors(include_url=False)
    # A list whose items are all wrong is told to be empty, too, which it is not.
    within = {problem["loc"][:-length] for problem in problems for length in range(1, 4)}
    problems = [p for p in problems if p["type"] != "too_short" or p["loc"] not in within]
    for problem in problems[:_SHOWN]:
        section, keys = _place_of(Config, problem["loc"])
        key = shortened(".".join(keys)) or "the config"
        if problem["type"] == "extra_forbidden":
            known = section.model_fields if section else ()
            lines.append(f"unknown key '{key}': {nearest(shortened(keys[-1]), known)}")
        elif problem["type"].startswith("union_tag_"):
            kinds = [_kind_of(one) or "" for one in get_args(get_args(RegimeConfig)[0])]
            given = problem.get("ctx", {}).get("tag")
            wrong = f"no regime '{shortened(given)}'" if given else "it has no kind"
            lines.append(f"{key}.kind: {wrong}: {nearest(shortened(given or ''), kinds)}")
        else:
            given = problem.get("input")
            shown = "" if isinstance(given, (dict, list)) else f" (it is {given!r:.80})"
            message = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "model_type":
                message = "is a section: write its settings below it, as 'setting: value'"
            message = message.replace("tuple", "list").replace("Tuple", "list")
            quoted = problem["type"] == "string_type" and not isinstance(given, (dict, list))
            advice = ": if it is meant as text, put it into quotes" if quoted else ""
            message = message[:1].lower() + shortened(message[1:], 400)
            lines.append(f"{key}: {message}{shown}{advice}")
    if len(problems) > _SHOWN:
        lines.append(f"and {len(problems) - _SHOWN:,} more")
    return "\n".join(f"{where}: {line}" for line in lines)


def _override(values: dict[str, Any], assignment: str) -> None:
    name = f"--set {shortened(assignment)}"
    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise InputError(f"{name}: write dotted.key=value")
    *path, last = key.strip().split(".")
    section: Any = values
    for part in path:
        if isinstance(section, list):
            section = section[_index(section, part, name)]
        else:
            section = section.setdefault(part, {})
        if not isinstance(section, (dict, list)):
            raise InputError(f"{name}: '{shortened(part)}' is a value, not a section")
    value = read_yaml(text, f"--set {shortened(key)}")
    section[_index(section, last, name) if isinstance(section, list) else last] = value


def _index(section: list[Any], part: str, name: str) -> int:
    places = [str(place) for place in range(len(section))]
    if part not in places:
        range_of = f"one of 0 to {len(section) - 1}" if section else "there: the list is empty"
        raise InputError(f"{name}: '{shortened(part)}' is not {range_of}")
    return places.index(part)


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
    copy = plain_copy(values, where)
    for assignment in overrides:
        _override(copy, assignment)
    copy = plain_copy(copy, "--set" if overrides else where)
    try:
        return Config.model_validate(copy)
    except ValidationError as error:
        raise InputError(_explain(error, where)) from error


def _read_file(path: Path) -> str:
    try:
        return read_text(path, 4 * MAX_CHARACTERS)
    except FileNotFoundError:
        examples = ", ".join(example_names())
        raise InputError(
            f"{path}: no such file, and no example has this name ({examples})"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text: {error}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read as a config: {reason}") from error


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, or a built-in example by name, as a checked `Config`.

    Parameters
    ----------
    source
        Path of a YAML file, or the name of an example (see `example_names`). Paths inside the
        file are relative to the file.
    overrides
        ``dotted.key=value`` texts, applied in order. A path in one is relative to the current
        folder or, where nothing is there, to the file.

    Raises
    ------
    InputError
        If the file is missing or unreadable, is not YAML, or does not fit the schema.
    """
    path = Path(source)
    if str(source) in example_names() and not path.is_file():
        return parse_config(read_yaml(example_text(str(source)), str(source)), overrides)
    values = read_yaml(_read_file(path), str(path))
    if not isinstance(values, dict):
        raise InputError(f"{path}: a config is a mapping of sections, for example 'corpus: ...'")
    config = parse_config(values, [_from_here(text) for text in overrides], str(path))
    # Absolute, so that the config means the same from anywhere.
    return _with_inputs(config, lambda name: _absolute(name, path.parent))


#: The keys whose value may be a path, and what is built in under a name of its own; a folder that
#: happens to be called so is named ./conventions. A star is a place in a list.
_INPUTS = {
    "corpus.source": ("conventions", "control"),
    "base.model": ("scratch",),
    "metrics.leaning.classifier": ("builtin",),
    "metrics.quality.classifier": ("builtin",),
    "metrics.pairs.file": ("party",),
    "metrics.pairs.anti": (),
    "metrics.lm_eval.folder": (),
    "metrics.axes.*.classifier": ("builtin",),
    "metrics.axes.*.data.source": ("conventions", "control"),
    "regimes.*.file": (),
}


def _from_here(assignment: str) -> str:
    """Make the path that an override gives absolute, where it is one from the current folder."""
    key, _, text = assignment.partition("=")
    key = key.strip()
    built_in = _INPUTS.get(re.sub(r"\.\d+", ".*", key))
    value = None if built_in is None else read_yaml(text, f"--set {shortened(key)}")
    if not isinstance(value, str) or value in (built_in or ()):
        return assignment
    return f"{key}={json.dumps(_absolute(value, Path()))}"


def _absolute(name: str, folder: Path) -> str:
    """Return the absolute path of what is there in a folder by a name; else the name."""
    try:
        beside = folder / Path(name).expanduser()
        return str(beside.resolve()) if beside.exists() else name
    except (OSError, RuntimeError, ValueError):  # no path, or no such user: its reader will say so
        return name


def _with_inputs(config: Config, renamed: Callable[[str], str]) -> Config:
    """Rename every input that may be a path (`_INPUTS`)."""

    def within(value: Any, key: str) -> Any:  # noqa: ANN401 - any setting
        if isinstance(value, BaseModel):
            own = {name: within(part, f"{key}.{name}".lstrip(".")) for name, part in value}
            moved = {name: part for name, part in own.items() if part != getattr(value, name)}
            return value.model_copy(update=moved)
        if isinstance(value, tuple):
            return tuple(within(part, f"{key}.*") for part in value)
        known = isinstance(value, str) and value not in _INPUTS.get(key, (value,))
        return renamed(value) if known else value

    return within(config, "")


def without_folders(config: Config) -> Config:
    """Name inputs without the folders that they lie in.

    What a run computes follows the content of its inputs and their names (a file's ending tells
    its format), not where they are: a run can move to another folder or machine with its inputs.
    """
    return _with_inputs(config, lambda name: Path(name).name if Path(name).is_absolute() else name)


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
