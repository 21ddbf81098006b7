"""Parameters of a run, checked against the types in the compiled pipeline."""

import difflib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kubecast.errors import ConfigError


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text]


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _json_of(kind: type) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = json.loads(text)
        if not isinstance(value, kind):
            raise ValueError(text)
        return value

    return read


_READERS: dict[str, tuple[Callable[[str], Any], tuple[type, ...], str]] = {
    "STRING": (str, (str,), "text"),
    "NUMBER_INTEGER": (int, (int,), "a whole number"),
    "NUMBER_DOUBLE": (_number, (int, float), "a number"),
    "BOOLEAN": (_boolean, (bool,), "true or false"),
    "LIST": (_json_of(list), (list,), "a JSON list"),
    "STRUCT": (_json_of(dict), (dict,), "a JSON object"),
}
"""By the type in the compiled file: how text is read, what a value may be, and how that is said."""


def read_assignments(texts: Iterable[str], spec: Mapping[str, Any]) -> dict[str, Any]:
    """Values from ``NAME=VALUE``, each read as the type that the pipeline gives the parameter.

    Raises:
        ConfigError: A name or value is wrong, or a parameter without a default is missing.
    """
    declared = _declared(spec)
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--param {text}: allowed: NAME=VALUE, e.g. horizon=48")
        kind = _kind(name, declared, f"--param {name}")
        read, _, allowed = _READERS[kind]
        try:
            values[name] = read(value)
        except (ValueError, KeyError, RecursionError) as error:
            raise ConfigError(f"--param {name}: {value!r} is not {allowed}") from error
    _refuse_missing(values, declared, "--param")
    return values


def check_values(values: Mapping[str, Any], spec: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Values that have types already, as a settings file holds them.

    Raises:
        ConfigError: As ``read_assignments``.
    """
    declared = _declared(spec)
    for name, value in values.items():
        _, kinds, allowed = _READERS[_kind(name, declared, f"{where}.{name}")]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ConfigError(f"{where}.{name}: {value!r} is not {allowed}")
    _refuse_missing(values, declared, where)
    return dict(values)


def _declared(spec: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    declared: dict[str, dict[str, Any]] = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    return declared


def _kind(name: str, declared: Mapping[str, dict[str, Any]], where: str) -> str:
    if name not in declared:
        close = difflib.get_close_matches(name, declared, n=1, cutoff=0.5)
        allowed = f"did you mean {close[0]}?" if close else f"allowed: {', '.join(sorted(declared))}"
        raise ConfigError(f"{where}: the pipeline has no such parameter; {allowed}")
    kind: str = declared[name]["parameterType"]
    return kind


def _refuse_missing(values: Mapping[str, Any], declared: Mapping[str, dict[str, Any]], where: str) -> None:
    needed = {
        name for name, each in declared.items() if not each.get("isOptional") and "defaultValue" not in each
    }
    if needed := needed - values.keys():
        raise ConfigError(f"{where}: {', '.join(sorted(needed))} has no default and is not given")
