"""Writes the parts of the reference that follow from the code, as Markdown that the site's pages include.

``python docs/generate.py [FOLDER]`` writes ``settings.md``, ``command.md``, ``components.md``, ``errors.md``
and ``notebook.md`` to FOLDER, by default ``output/docs``, where ``mkdocs.yml`` looks for them; and
``docs/reference/leaderboard.schema.json``, which is committed.
"""

import importlib
import json
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import docstring_parser
import typer

from kubecast import components, errors
from kubecast.cli.app import app
from kubecast.evaluation.leaderboard import Evaluation
from kubecast.settings.loading import SECTIONS

ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "docs" / "reference" / "leaderboard.schema.json"
NOTEBOOK = ROOT / "docs" / "tutorials" / "notebook.ipynb"

Schema = dict[str, Any]


def main() -> None:
    """Write every part."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "output" / "docs"
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in parts().items():
        (folder / f"{name}.md").write_text("\n".join(lines) + "\n", "utf-8")
    SCHEMA.write_text(leaderboard_schema(), "utf-8")


def leaderboard_schema() -> str:
    """The JSON schema of ``leaderboard.json``, as it is written."""
    schema = Evaluation.model_json_schema(mode="serialization")
    version = Evaluation.model_fields["schema_version"].default
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:kubecast:leaderboard:{version}",
    }
    schema["properties"]["schema_version"] = {"const": version}
    return json.dumps(head | schema, indent=1) + "\n"


def parts() -> dict[str, list[str]]:
    """Markdown lines by the name of the part."""
    return {
        "settings": list(settings()),
        "command": list(command(typer.main.get_command(app), "kubecast")),
        "components": list(component_pages()),
        "errors": list(error_tree(errors.KubecastError)),
        "notebook": list(notebook(json.loads(NOTEBOOK.read_text("utf-8")))),
    }


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A Markdown table with an empty line after it; nothing for no rows."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    if lines:
        yield "| " + " | ".join(head) + " |"
        yield "|" + "---|" * len(head)
        yield from lines
        yield ""


def code(value: Any) -> str:
    """A value as the settings files and the command write it."""
    if isinstance(value, str):
        return f"`{value}`" if value else "empty"
    return f"`{json.dumps(value)}`"


def plain(text: str | None) -> str:
    """A docstring's first paragraph on one line, its literals as Markdown's."""
    return " ".join((text or "").strip().split("\n\n")[0].split()).replace("``", "`")


# Settings


def settings() -> Iterator[str]:
    """Every settings file: keys, what each allows, defaults and meaning."""
    for name, model in SECTIONS.items():
        yield f"## {name}{'/' if name == 'search' else '.yaml'}"
        yield ""
        if name == "search":
            yield from search_spaces(model().model_dump(exclude_defaults=False))
            continue
        schema = model.model_json_schema()
        yield from section(schema, schema.get("$defs", {}), name)


def search_spaces(spaces: Mapping[str, Mapping[str, Schema]]) -> Iterator[str]:
    """Default search spaces, by kind of model."""
    for kind, space in spaces.items():
        yield f"### search/{kind}.yaml"
        yield ""
        rows = []
        for name, parameter in space.items():
            given = {key: value for key, value in parameter.items() if value not in (None, False)}
            rows.append(
                (f"`{name}`", ", ".join(f"{key}: {json.dumps(value)}" for key, value in given.items()))
            )
        yield from table(["parameter", "default space"], rows)


def section(schema: Schema, defs: Mapping[str, Schema], path: str) -> Iterator[str]:
    """The keys of one mapping, then each mapping inside it under a heading of its own."""
    if text := schema.get("description"):
        yield plain(text)
        yield ""
    rows, inner = [], []
    for key, entry in schema.get("properties", {}).items():
        model = model_in(entry, defs)
        if model is None or "type" in entry or "anyOf" in entry:
            rows.append(
                (
                    f"`{key}`",
                    type_of(entry, defs),
                    default_of(entry, schema, key),
                    plain(entry.get("description")),
                )
            )
        if model is not None:
            inner.append((f"{path}.{key}", model, entry))
    if same_keys([model for _, model, _ in inner]) and not rows:
        yield from matrix(inner, defs, path)
        return
    yield from table(["key", "allowed", "default", "meaning"], rows)
    for name, model, _ in inner:
        yield f"### {name}"
        yield ""
        yield from section(model, defs, name)


def same_keys(models: Sequence[Schema]) -> bool:
    """Whether several mappings have the same keys, so that they fit in one table."""
    return len(models) > 2 and len({tuple(model["properties"]) for model in models}) == 1


def matrix(
    inner: Sequence[tuple[str, Schema, Schema]], defs: Mapping[str, Schema], path: str
) -> Iterator[str]:
    """Mappings with the same keys: the keys once, then the defaults of each mapping."""
    keys = inner[0][1]["properties"]
    rows = [
        (f"`{key}`", type_of(entry, defs), plain(entry.get("description"))) for key, entry in keys.items()
    ]
    yield from table(["key", "allowed", "meaning"], rows)
    yield "Defaults:"
    yield ""
    used = [key for key in keys if any(entry["default"][key] for _, _, entry in inner)]
    defaults = [
        [
            f"`{name.rpartition('.')[2]}`",
            *(code(value) if (value := entry["default"][key]) else "" for key in used),
        ]
        for name, _, entry in inner
    ]
    yield from table([path.rpartition(".")[2], *used], defaults)
    for key, entry in keys.items():
        if model := model_in(entry, defs):
            yield from [f"### {path}.TASK.{key}", ""]
            yield from section(model, defs, f"{path}.TASK.{key}")


def model_in(entry: Schema, defs: Mapping[str, Schema]) -> Schema | None:
    """The mapping with keys of its own that an entry holds, in a list or as an alternative too."""
    for option in [entry, *entry.get("anyOf", []), entry.get("items", {})]:
        if reference := option.get("$ref"):
            model = defs[reference.rpartition("/")[2]]
            return model if "properties" in model else None
    return None


def type_of(entry: Schema, defs: Mapping[str, Schema]) -> str:
    """What an entry allows, in words."""
    if "$ref" in entry:
        definition = defs[entry["$ref"].rpartition("/")[2]]
        return "mapping, below" if "properties" in definition else type_of(definition, defs)
    if "enum" in entry:
        return ", ".join(code(value) for value in entry["enum"])
    if "const" in entry:
        return code(entry["const"])
    if options := entry.get("anyOf") or entry.get("oneOf"):
        words = [type_of(option, defs) for option in options if option.get("type") != "null"]
        return " or ".join(words) + (", or `null`" if len(words) < len(options) else "")
    kind = entry.get("type", "any")
    if kind == "array":
        return list_of(entry, defs)
    if kind == "object":
        return "mapping of names"
    names = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true`, `false`"}
    return " ".join([names.get(kind, str(kind)), *bounds(entry)])


def list_of(entry: Schema, defs: Mapping[str, Schema]) -> str:
    """A list's items and length."""
    low, high = entry.get("minItems"), entry.get("maxItems")
    count = f" {low}" if low == high and low else ""
    return f"list{count and ' of' + count}: {type_of(entry.get('items', {}), defs)}"


def bounds(entry: Schema) -> list[str]:
    """The limits of a number."""
    words = {
        "exclusiveMinimum": "above",
        "minimum": "from",
        "exclusiveMaximum": "below",
        "maximum": "to",
    }
    return [f"{word} {entry[key]:,}" for key, word in words.items() if key in entry]


def default_of(entry: Schema, schema: Schema, key: str) -> str:
    """The default, or that the key must be given."""
    if "default" not in entry:
        return "required" if key in schema.get("required", []) else ""
    return code(entry["default"])


# The command


def command(group: Any, name: str) -> Iterator[str]:
    """A command's help: what it does, how it is called, its options; then the commands below it."""
    below = getattr(group, "commands", {})
    depth = "###" if name.count(" ") > 1 else "##"
    if " " in name or group.params:
        yield f"{depth} {name}"
        yield ""
        yield "\n\n".join(plain(text) for text in (group.help or "").split("\n\n"))
        yield ""
    if not below:
        yield from ["```sh", usage(group, name), "```", ""]
        yield from example(group.epilog or "")
    yield from table(["option", "value", "default", "meaning"], map(parameter, group.params))
    for word, each in below.items():
        yield from command(each, f"{name} {word}")


def example(epilog: str) -> Iterator[str]:
    """The examples at the end of a command's help, which begin with a word that says so."""
    _, *lines = epilog.split("\n\n")
    if lines:
        yield from ["For example:", "", "```sh", *lines, "```", ""]


def usage(group: Any, name: str) -> str:
    """How a command is called, with what it cannot do without."""
    needed = [parameter(each)[:2] for each in group.params if each.required]
    words = [" ".join(part.strip("`") for part in each if part) for each in needed]
    optional = any(not each.required for each in group.params)
    return " ".join([name, *words, *(["[OPTIONS]"] if optional else [])])


def parameter(option: Any) -> tuple[str, str, str, str]:
    """An option's or an argument's row."""
    if option.opts[0].startswith("-"):
        name = ", ".join(f"`{each}`" for each in [*option.opts, *option.secondary_opts])
        value = value_of(option)
    else:
        name, value = f"`{option.metavar or option.name.upper()}`", ""
    empty = option.required or option.default in (None, "", False)
    default = "required" if option.required else "" if empty else code(option.default)
    variable = f" Or the variable `{option.envvar}`." if option.envvar else ""
    return name, f"`{value}`" if value else "", default, plain(option.help) + variable


def value_of(option: Any) -> str:
    """What an option takes; empty for a switch."""
    if option.is_flag:
        return ""
    annotation = option.type_descriptor.annotation
    names = {str: "TEXT", int: "NUMBER", float: "NUMBER", Path: "PATH"}
    kinds = [annotation, *get_args(annotation)]  # of a list, which may be repeated, or beside None
    for each in kinds:
        if get_origin(each) is Literal:
            return "|".join(get_args(each))
    return option.metavar or next(names[each] for each in kinds if each in names)


# Components


def component_pages() -> Iterator[str]:
    """Every component: its image, inputs and outputs."""
    for module in pkgutil.walk_packages(components.__path__, "kubecast.components."):
        package, _, last = module.name.rpartition(".")
        if last != "component":
            continue
        folder, name = package.removeprefix("kubecast.").replace(".", "/"), package.rpartition(".")[2]
        component = getattr(importlib.import_module(module.name), name)
        yield from component_page(name, folder, component)


def component_page(name: str, folder: str, component: Any) -> Iterator[str]:
    """One component."""
    spec, text = component.component_spec, docstring_parser.parse(component.python_func.__doc__)
    meaning = {each.arg_name: plain(each.description) for each in text.params}
    image = spec.implementation.container.image.partition(":")[0]
    yield from [f"## {name}", "", plain(text.short_description), ""]
    yield from [f"Folder `{folder}`, image `{image}`.", ""]
    inputs = [
        (f"`{key}`", kind(each.type), "yes" if each.optional else "", meaning.get(key, ""))
        for key, each in (spec.inputs or {}).items()
    ]
    yield from table(["input", "type", "optional", "meaning"], inputs)
    returned = plain(text.returns.description) if text.returns else ""
    outputs = [
        (f"`{key}`", kind(each.type), meaning.get(key, returned))
        for key, each in (spec.outputs or {}).items()
    ]
    yield from table(["output", "type", "meaning"], outputs)


def kind(schema: str) -> str:
    """A type of Kubeflow Pipelines without its namespace and version."""
    return schema.removeprefix("system.").partition("@")[0]


# Errors


def error_tree(error: type[errors.KubecastError], depth: int = 0) -> Iterator[str]:
    """An error and those below it, as a nested list."""
    notes = [f"exit status {error.exit_status}"]
    if issubclass(error, errors.Unavailable):
        notes.append("tried again")
    yield f"{'    ' * depth}- **`{error.__name__}`** ({', '.join(notes)}): {plain(error.__doc__)}"
    for below in error.__subclasses__():
        if below.__bases__[0] is error:  # Unavailable is a second base of some
            yield from error_tree(below, depth + 1)


# The notebook


def notebook(document: Mapping[str, Any]) -> Iterator[str]:
    """A notebook's cells; its title is the page's."""
    for number, cell in enumerate(document["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield from ["" if number == 0 and source.startswith("# ") else source, ""]
        else:
            yield from ["```python", source, "```", ""]


if __name__ == "__main__":
    main()
