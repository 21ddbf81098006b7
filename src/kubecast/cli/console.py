"""Output of a command: tables in a terminal, tab-separated lines in a pipe, or JSON."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

INTERRUPTED = 130  # exit status after Ctrl-C, as a shell's

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.", rich_help_panel="Output")]

_quiet = False  # of the command that runs; see set_quiet


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
    """A share as the reports have it.

    >>> percent(0.2074), percent(None)
    ('20.7 %', '-')
    """
    return "-" if value is None else f"{100 * value:.1f} %"


def print_table(
    title: str,
    columns: list[str],
    rows: list[list[Any]],
    formats: Mapping[str, Callable[[Any], str]] | None = None,
) -> None:
    """Print rows under a title and fit them to the terminal; without one as tab-separated lines, unrounded.

    Args:
        title: Above the table.
        columns: Their names.
        rows: A value for each column.
        formats: How to write the values of some columns in a terminal.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        for row in [columns, *rows]:
            print("\t".join(_plain(value) for value in row))
        return
    table = Table(title=escape(title), title_justify="left", box=None, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        values = [row[number] for row in rows if row[number] is not None]
        numeric = bool(values) and all(isinstance(value, int | float) for value in values)
        table.add_column(
            column.replace("_", " "), justify="right" if numeric else "left", overflow="fold", no_wrap=numeric
        )
    for row in rows:
        cells = zip(columns, row, strict=True)
        table.add_row(*(escape((formats or {}).get(column, _cell)(value)) for column, value in cells))
    console.print(table)


def _plain(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
