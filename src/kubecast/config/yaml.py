"""YAML, parsed as strictly as JSON."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from kubecast.errors import ConfigError

MAX_BYTES = 1 << 20

MAX_DEPTH = 12


def read_yaml(path: Path) -> Any:
    """Read a YAML file of at most 1 MB; see ``parse_yaml``."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ConfigError(f"{path}: {size} bytes, allowed: {MAX_BYTES}")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML as strictly as JSON.

    Aliases, tags, duplicate keys and deep nesting are refused before anything is built. Only ``true``
    and ``false`` are booleans, and a number with a leading zero is text, as in YAML 1.2.

    Raises:
        ConfigError: Naming the line.
    """
    try:
        _check_events(text, where)
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506  a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{where}: line {line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not YAML ({' '.join(str(error).split())})") from error
    except ValueError as error:
        raise ConfigError(f"{where}: a value cannot be read ({error})") from error


def _check_events(text: str, where: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{where}: line {line}: alias *{event.anchor}; allowed: no aliases")
        if tag := getattr(event, "tag", None):
            raise ConfigError(f"{where}: line {line}: tag {tag}; allowed: no tags")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise ConfigError(f"{where}: line {line}: nested deeper than {MAX_DEPTH} levels")


class _StrictLoader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012  PyYAML's own interface

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is not text", key_node.start_mark
                )
            if key in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {key}", key_node.start_mark
                )
            keys.add(key)
        return super().construct_mapping(node, deep=deep)


for _tag, _pattern, _first in (  # the first character decides which patterns are tried
    ("bool", r"true|false", "tf"),
    ("null", r"null|~|", ["n", "~", ""]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _StrictLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first)
    )
