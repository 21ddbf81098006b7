"""Settings files as ``kubecast init`` writes them: every key with its value and its sentence."""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from kubecast.config.cluster import TaskSettings
from kubecast.errors import ConfigError
from kubecast.settings.loading import SECTIONS, AllSettings
from kubecast.settings.search import SearchSettings, read_space

WIDTH = 110
TASK_WIDTH = 120  # so that a task is one line
_COMMENT = 36  # column of a comment beside a value
_NAMES = [name for name in SECTIONS if name != "search"]  # of the files in the folder itself


def write_settings(folder: Path, overwrite: bool = False, settings: AllSettings | None = None) -> list[Path]:
    """Write every settings file of a folder.

    Args:
        folder: Gets ``training.yaml``, ``arima.yaml`` and so on, and ``search/arima.yaml`` and so on.
        overwrite: Replace files that are there.
        settings: Their values; None: the defaults.

    Raises:
        ConfigError: A file is there already, or cannot be written.
    """
    settings = settings or AllSettings()
    if not overwrite:
        check_absent(folder)
    texts = {folder / f"{name}.yaml": settings_text(name, getattr(settings, name)) for name in _NAMES}
    spaces = {kind: space_text(kind, settings.search) for kind in SearchSettings.model_fields}
    texts |= {folder / "search" / f"{kind}.yaml": text for kind, text in spaces.items() if text}
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be written ({error.strerror})") from error
    return list(texts)


def check_absent(folder: Path) -> None:
    """Refuse a folder that has settings files.

    Raises:
        ConfigError: One is there already.
    """
    paths = [folder / f"{name}.yaml" for name in _NAMES]
    paths += [folder / "search" / f"{kind}.yaml" for kind in SearchSettings.model_fields]
    if present := [path for path in paths if path.exists()]:
        raise ConfigError(f"{present[0]}: is there already; allowed: another folder, or --overwrite")


def settings_text(name: str, settings: BaseModel | None = None) -> str:
    """The YAML of one settings file, by default with every default.

    Example:
        >>> print(settings_text("ensemble").splitlines()[1])
        ensemble:
    """
    model = SECTIONS[name]
    lines = [*_wrapped(_sentence(model.__doc__), ""), f"{name}:", *_keys(model, settings or model(), "  ")]
    return "\n".join(lines) + "\n"


def space_text(kind: str, search: SearchSettings) -> str:
    """The YAML of a search space: the kind's own file where it is that space, empty where there is none."""
    space = search.space_of(kind)
    if space == SearchSettings().space_of(kind):
        return read_space(kind)
    lines = [f"  {name}: {_flow(parameter)}" for name, parameter in space.items()]
    return "\n".join([f"{kind}:", *lines] if lines else [f"{kind}: {{}}"]) + "\n"


def _keys(model: type[BaseModel], settings: BaseModel, indent: str) -> Iterator[str]:
    for key, field in model.model_fields.items():
        value = getattr(settings, key)
        sentence = _description(model, key)
        if field.examples and value == field.get_default(call_default_factory=True):
            yield from _example(key, field, sentence, indent)
        elif isinstance(value, TaskSettings) and len(line := f"{indent}{key}: {_task(value)}") <= TASK_WIDTH:
            yield line
        elif isinstance(value, BaseModel):
            yield from _commented(f"{indent}{key}:", sentence, indent)
            yield from _keys(type(value), value, f"{indent}  ")
        else:
            yield from _value(f"{indent}{key}:", value, sentence, indent)


def _description(model: type[BaseModel], key: str) -> str:
    """The sentence of a key; one that has another default has that of the class above."""
    fields = [
        each.model_fields[key]
        for each in model.__mro__
        if issubclass(each, BaseModel) and key in each.model_fields
    ]
    return next((field.description for field in fields if field.description), "")


def _example(key: str, field: FieldInfo, sentence: str, indent: str) -> Iterator[str]:
    """A key that is left out by default, as a comment with a value that it may have."""
    value = (field.examples or [None])[0]
    parts = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    line = f"{indent}# {key}: {_flow(value)}"
    if len(line) <= WIDTH and not any(isinstance(part, list | dict) for part in parts):
        yield from _commented(line, sentence, indent)
        return
    yield from _commented(f"{indent}# {key}:", sentence, indent)
    block = yaml.safe_dump(value, sort_keys=False, default_flow_style=None, width=WIDTH - len(indent) - 4)
    yield from (f"{indent}#   {line}" for line in block.splitlines())


def _value(key: str, value: Any, sentence: str, indent: str) -> Iterator[str]:
    """A key with its value beside it, or below it where that is long."""
    line = f"{key} {_flow(value)}"
    if len(line) <= WIDTH or not isinstance(value, list | dict):
        yield from _commented(line, sentence, indent)
        return
    yield from _commented(key, sentence, indent)
    block = yaml.safe_dump(_plain(value), sort_keys=False, default_flow_style=None, width=WIDTH - len(indent))
    yield from (f"{indent}  {line}" for line in block.splitlines())


def _commented(text: str, sentence: str, indent: str) -> Iterator[str]:
    """A line with its sentence beside it, or above it where that is too long."""
    beside = f"{text.ljust(_COMMENT)}  # {sentence}"
    if not sentence:
        yield text
    elif len(beside) <= WIDTH:
        yield beside
    else:
        yield from _wrapped(sentence, indent)
        yield text


def _wrapped(sentence: str, indent: str) -> list[str]:
    return textwrap.wrap(sentence, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


def _sentence(docstring: str | None) -> str:
    return " ".join((docstring or "").split()).replace("``", "")


def _task(value: TaskSettings) -> str:
    """A task on one line, without keys that are empty by default too."""
    default = type(value)().model_dump(mode="json")
    parts = value.model_dump(mode="json").items()
    return _flow({key: part for key, part in parts if part or default[key]})


def _flow(value: Any) -> str:
    """A value on one line, as the strict reader reads it back."""
    if isinstance(value, float):
        return json.dumps(value)
    text = yaml.safe_dump(_plain(value), default_flow_style=True, sort_keys=False, width=10_000)
    return str(text).splitlines()[0]


def _plain(value: Any) -> Any:
    return TypeAdapter(Any).dump_python(value, mode="json", exclude_defaults=True)
