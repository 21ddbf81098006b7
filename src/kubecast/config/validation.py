"""Settings from plain data, with one-line errors that name the place and what is allowed.

Types are strict: ``epochs: "5"`` is refused, as is ``yes`` for a boolean. An unknown key is refused
with the nearest known one.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from kubecast.config.base import Settings
from kubecast.errors import ConfigError

S = TypeVar("S", bound=Settings)


def parse_settings(model: type[S], text: str, parameter: str) -> S:
    """Read one settings file's JSON, as a pipeline parameter carries it.

    Raises:
        ConfigError: The text is not JSON, or a key or value in it is wrong.
    """
    try:
        data = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"parameter {parameter}: not valid JSON ({error})") from error
    if not isinstance(data, dict):
        raise ConfigError(f"parameter {parameter}: found {type(data).__name__}, allowed: a JSON object")
    return validate(model, data, f"parameter {parameter}")


def with_new_names(model: type[Settings], data: Mapping[str, Any]) -> dict[str, Any]:
    """Give the keys of an earlier version, as a published version kept them, the names that they have now."""
    return {model.renamed.get(key, key): value for key, value in data.items()}


def validate(model: type[S], data: Mapping[str, Any], where: str, prefix: str = "") -> S:
    """Build ``model`` from plain data, with one-line errors that name the place and what is allowed."""
    _check_keys(model, data, where, prefix)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(_one_line(error, where, prefix)) from error


def _one_line(error: ValidationError, where: str, prefix: str) -> str:
    messages: dict[str, list[str]] = {}
    errors = error.errors(include_url=False)
    for each in errors:
        # Beside names and places a location holds pydantic's tags for the kinds that a value may be of.
        parts = [part for part in each["loc"] if isinstance(part, int) or part.isidentifier()]
        key = ".".join(str(part) for part in (prefix, *parts) if part != "")
        messages.setdefault(key, []).append(each["msg"].removeprefix("Value error, "))
    key, (message, *other_kinds) = next(iter(messages.items()))
    allowed = " or ".join([message, *(other.removeprefix("Input should be ") for other in other_kinds)])
    value = "" if isinstance(errors[0]["input"], dict) else f", found {errors[0]['input']!r}"
    rest = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
    return f"{where}: {key}: {allowed}{value}{rest}" if key else f"{where}: {allowed}{value}{rest}"


def _check_keys(model: type[BaseModel], data: Mapping[str, Any], where: str, prefix: str) -> None:
    for key, value in data.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        field = model.model_fields.get(key) if isinstance(key, str) else None
        if field is None:
            raise ConfigError(f"{where}: {_unknown(model, str(key), path)}")
        for nested in (field.annotation, *get_args(field.annotation)):
            if isinstance(nested, type) and issubclass(nested, BaseModel):
                for inner, part in _mappings(value, path):
                    _check_keys(nested, part, where, inner)


def _mappings(value: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A mapping, or those in a list, each with its path."""
    if isinstance(value, dict):
        yield path, value
    for number, item in enumerate(value if isinstance(value, list) else []):
        yield from _mappings(item, f"{path}.{number}")


def _unknown(model: type[BaseModel], key: str, path: str) -> str:
    removed = model.removed if issubclass(model, Settings) else {}
    renamed = model.renamed if issubclass(model, Settings) else {}
    if key in removed:
        return f"{path} is no setting any more: {removed[key]}; allowed: without it"
    if key in renamed:
        return f"{path} has another name now; allowed: {path.removesuffix(key)}{renamed[key]}"
    return f"unknown key {path}; {nearest(key, model.model_fields)}"


def nearest(key: str, known: Iterable[str]) -> str:
    """Name the key that a misspelt one may have been meant to be, or all that are allowed."""
    names = sorted(known)
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"allowed: {', '.join(names)}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"duplicate key {twice}")
    return dict(pairs)


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")
