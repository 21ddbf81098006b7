"""JSON documents: how they are written, read again, and refused in one line."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapSerializer,
    WrapValidator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from kubecast.errors import IntegrityError, one_line

M = TypeVar("M", bound=BaseModel)


class Document(BaseModel):
    """A JSON document: no unknown keys, no NaN, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    document_name: ClassVar[str] = "a document of kubecast"
    """The name of such a file in messages."""

    former_names: ClassVar[Mapping[str, str]] = {}
    """Keys that earlier versions wrote, with the names that they have now: both can be read."""

    @model_validator(mode="before")
    @classmethod
    def _read_former_names(cls, data: Any) -> Any:
        if isinstance(data, dict) and not cls.former_names.keys().isdisjoint(data):
            return {cls.former_names.get(key, key): value for key, value in data.items()}
        return data

    def write(self, path: Path) -> None:
        """Write the document as indented JSON."""
        path.write_text(self.model_dump_json(indent=1), "utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what ``write`` wrote.

        Raises:
            IntegrityError: The file is missing, or holds something else.
        """
        return read_document(cls, path, cls.document_name)

    @classmethod
    def parse(cls, data: bytes, source: str) -> Self:
        """Read the JSON that came from ``source``.

        Raises:
            IntegrityError: It is no such document.
        """
        return parse_document(cls, data, source, cls.document_name)


class _SchemaOfColumns:
    """The JSON schema of a table by its columns."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """An array for each property of a row."""
        rows = handler(cast("CoreSchema", {**schema, "serialization": None}))
        if handler.mode == "validation":
            return rows
        row = handler.resolve_ref_schema(rows["items"])
        columns = {name: {"type": "array", "items": each} for name, each in row.get("properties", {}).items()}
        return {
            "type": "object",
            "properties": columns,
            "additionalProperties": {"type": "array"} if row.get("additionalProperties", True) else False,
        }


class Rows(Sequence[M]):
    """Rows that are made when somebody looks at them, of a table that has been checked."""

    def __eq__(self, other: object) -> bool:
        """Whether other rows are the same, however they stand."""
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


def _as_they_are(rows: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return rows if isinstance(rows, Rows) else handler(rows)


def _dumped(rows: Sequence[Any], handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:
    """By columns in JSON, as a list else."""
    dumped = handler([*rows])
    if info.mode != "json":
        return dumped
    names = dict.fromkeys(name for row in dumped for name in row)
    return {name: [row.get(name) for row in dumped] for name in names}


def _rows(table: Any) -> Any:
    """The rows of a table by columns; anything else as it is, rows among it."""
    if not isinstance(table, dict) or not all(isinstance(column, list) for column in table.values()):
        return table
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


Table = Annotated[
    Sequence[M],
    BeforeValidator(_rows),
    WrapValidator(_as_they_are),
    WrapSerializer(_dumped),
    _SchemaOfColumns(),
]
"""Documents, which in JSON are an object with a list for each key: a third as long for many rows."""


def significant(value: Any, digits: int) -> Any:
    """JSON whose numbers have so many significant digits, and None in place of what is not finite.

    >>> significant({"a": [0.1234567, float("nan"), 7]}, 3)
    {'a': [0.123, None, 7]}
    """
    text = f"%.{digits}g"

    def shorten(value: Any) -> Any:
        if isinstance(value, float):
            short = float(text % value)
            # The largest floats are rounded up beyond what a float holds.
            return short if math.isfinite(short) else value if math.isfinite(value) else None
        if isinstance(value, list | tuple):
            return [shorten(each) for each in value]
        if isinstance(value, dict):
            return {str(key): shorten(each) for key, each in value.items()}
        return value

    return shorten(value)


def nested(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The object at a key of JSON that another version may have written; empty where there is none."""
    value = values.get(key)
    return value if isinstance(value, dict) else {}


def read_document(model: type[M], path: Path, name: str) -> M:
    """Read a JSON file as any pydantic model.

    Args:
        model: What the file holds.
        path: The file.
        name: What it should be, for the message.

    Raises:
        IntegrityError: The file is missing, or holds something else.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise IntegrityError(f"{path}: not {name} ({error.strerror})") from error
    return parse_document(model, data, str(path), name)


def parse_document(model: type[M], data: bytes, source: str, name: str) -> M:
    """Read JSON as any pydantic model.

    Args:
        model: What the JSON holds.
        data: The JSON.
        source: Where it came from, for the message.
        name: What it should be, for the message.

    Raises:
        IntegrityError: It holds something else; the message is one line with the first fault.
    """
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise IntegrityError(f"{source}: not {name} ({first_fault(error)})") from error


def first_fault(error: ValidationError) -> str:
    """What is wrong, in one line."""
    first = error.errors(include_url=False)[0]
    key = ".".join(map(str, first["loc"]))
    return one_line(f"{key}: {first['msg']}".removeprefix(": "))
