import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import BaseModel, Field, ValidationError

from kubecast.documents import Document, Table, nested, read_document, significant
from kubecast.errors import IntegrityError


class Page(Document):
    document_name: ClassVar[str] = "a page"

    number: int
    share: float = 0.5


class Renamed(Page):
    former_names: ClassVar[Mapping[str, str]] = {"count": "number"}


class Plain(BaseModel):
    number: int


def test_document_is_read_as_it_was_written(tmp_path: Path) -> None:
    page = Page(number=3)
    page.write(tmp_path / "page.json")
    assert (tmp_path / "page.json").read_bytes() == b'{\n "number": 3,\n "share": 0.5\n}'
    assert Page.read(tmp_path / "page.json") == page
    assert read_document(Plain, tmp_path / "page.json", "a number") == Plain(number=3)


class Book(Document):
    document_name: ClassVar[str] = "a book"

    pages: Table[Page] = Field(default=[])


def test_table_is_written_by_columns_and_read_by_columns_or_rows() -> None:
    book = Book(pages=[Page(number=1), Page(number=2, share=0.1)])
    text = book.model_dump_json()
    assert json.loads(text) == {"pages": {"number": [1, 2], "share": [0.5, 0.1]}}
    rows = b'{"pages": [{"number": 1}, {"number": 2, "share": 0.1}]}'
    assert Book.parse(text.encode(), "book") == Book.parse(rows, "book") == book
    assert Book.parse(Book().model_dump_json().encode(), "book") == Book()
    assert book.model_dump()["pages"][0] == {"number": 1, "share": 0.5}


@pytest.mark.parametrize(
    "pages",
    ['{"number": [1, 2], "share": [0.5]}', '{"number": 1}', '{"word": [1]}', '{"number": ["x"]}', "3"],
)
def test_table_that_is_none_is_refused_in_one_line(pages: str) -> None:
    with pytest.raises(IntegrityError, match=r"^book: not a book \(pages"):
        Book.parse(f'{{"pages": {pages}}}'.encode(), "book")


def test_schema_of_a_table_is_that_of_its_columns() -> None:
    schema = Book.model_json_schema(mode="serialization")["properties"]["pages"]
    assert schema["properties"]["number"] == {
        "type": "array",
        "items": {"title": "Number", "type": "integer"},
    }
    assert (schema["type"], schema["additionalProperties"]) == ("object", False)


def test_key_of_an_earlier_version_is_read_under_its_new_name_and_no_longer_written() -> None:
    assert Renamed.parse(b'{"count": 3}', "page") == Renamed.parse(b'{"number": 3}', "page")
    assert "count" not in Renamed(number=3).model_dump()
    with pytest.raises(IntegrityError, match="count: Extra inputs are not permitted"):
        Page.parse(b'{"count": 3, "number": 1}', "page")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "No such file or directory"),
        (b"", "Invalid JSON: EOF while parsing a value at line 1 column 0"),
        (b"\xff", "Invalid JSON: "),
        (b"[]", "Input should be an object"),
        (b'{"number": "x"}', "number: Input should be a valid integer, unable to parse string as an integer"),
        (b'{"number": 1, "share": NaN}', "share: Input should be a finite number"),
        (b'{"number": 1, "\\n": 2}', ": Extra inputs are not permitted"),
    ],
)
def test_what_is_no_document_is_refused_in_one_line(
    tmp_path: Path, content: bytes | None, fault: str
) -> None:
    path = tmp_path / "page.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(IntegrityError) as caught:
        Page.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: not a page ({fault}")
    assert "\n" not in message


def test_parsed_json_is_named_by_its_source() -> None:
    assert Page.parse(b'{"number": 1}', "demand@1") == Page(number=1)
    with pytest.raises(IntegrityError, match=r"^demand@1: not a page \(number: Field required\)$"):
        Page.parse(b"{}", "demand@1")


def test_document_can_neither_change_nor_hold_what_is_no_number() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Page(number=1).number = 2  # type: ignore[misc]
    with pytest.raises(ValidationError, match="finite"):
        Page(number=1, share=float("nan"))


def test_the_largest_floats_stay_finite_in_few_digits() -> None:
    largest = sys.float_info.max
    assert significant([largest, -largest, float("inf")], 5) == [largest, -largest, None]


def test_only_an_object_is_nested() -> None:
    assert nested({"a": {"b": 1}, "c": 2}, "a") == {"b": 1}
    assert nested({"a": {"b": 1}, "c": 2}, "c") == {}
