"""Output of a command: tables in a terminal, tab-separated lines in a pipe, or JSON."""

import codecs
import io
import json
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TextIO

import typer

from kubecast.evaluation import words

INTERRUPTED = 130  # exit status after Ctrl-C, as a shell's
_SUBSTITUTES = "kubecast.substitutes"  # name of the handler of characters that an encoding lacks

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.", rich_help_panel="Output")]

_quiet = False  # of the command that runs; see set_quiet


def write_any_text(stream: TextIO) -> None:
    """Let a stream write what its encoding lacks: a minus sign as a hyphen, another character as ``?``."""
    codecs.register_error(_SUBSTITUTES, _substituted)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=_SUBSTITUTES)


def _substituted(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join("-" if each == "\N{MINUS SIGN}" else "?" for each in lacking), error.end


def set_quiet(quiet: bool) -> None:
    """Say whether notes and progress are left out."""
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    """Whether ``--quiet`` leaves out notes and progress."""
    return _quiet


def note(text: str) -> None:
    """Print what is no result to standard error, unless ``--quiet``."""
    if not _quiet:
        print(text, file=sys.stderr)


def print_json(value: Any) -> None:
    """Print plain values as JSON."""
    print(json.dumps(value, indent=1, allow_nan=False))


def percent(value: float | None) -> str:
    """A share as the reports write it; a dash where there is none.

    >>> percent(-0.159), percent(None)
    ('−15.9 %', '-')
    """
    return "-" if value is None else words.percent(value)


def print_table(
    title: str,
    columns: list[str],
    rows: list[list[Any]],
    formats: Mapping[str, Callable[[Any], str]] | None = None,
) -> None:
    """Print rows under a title and fit them to the terminal; without one as tab-separated lines, unrounded.

    Names, which are in the first column, and numbers stay whole: where they leave too little room, a line is
    longer than the terminal is wide.

    Args:
        title: Above the table.
        columns: Their names.
        rows: A value for each column.
        formats: How to write the values of some columns in a terminal.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        for row in [columns, *rows]:
            print("\t".join(_plain(value) for value in row))
        return
    writers = [(formats or {}).get(column, _cell) for column in columns]
    texts = [[write(value) for write, value in zip(writers, row, strict=True)] for row in rows]
    table = Table(title=escape(title), title_justify="left", box=None, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        header = column.replace("_", " ")
        numeric = _are_numbers([row[number] for row in rows])
        whole = numeric or number == 0
        table.add_column(
            header,
            justify="right" if numeric else "left",
            overflow="fold",
            min_width=max(cell_len(text) for text in [header, *(row[number] for row in texts)])
            if whole
            else None,
        )
    for row in texts:
        table.add_row(*map(escape, row))
    console.print(table, crop=False)


def _are_numbers(values: list[Any]) -> bool:
    """Whether there are values, and all are numbers."""
    given = [value for value in values if value is not None]
    return bool(given) and all(isinstance(value, int | float) for value in given)


def _plain(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
