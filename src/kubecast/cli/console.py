"""Output of a command: tables in a terminal, or JSON."""

import json
from typing import Annotated, Any, Literal

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def print_json(value: Any) -> None:
    """Print plain values as JSON."""
    print(json.dumps(value, indent=1, allow_nan=False))


def print_table(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    """Print rows under a title, numbers to the right."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left")
    numeric = {
        i for i, _ in enumerate(columns) if rows and all(isinstance(row[i], int | float) for row in rows)
    }
    for number, column in enumerate(columns):
        justify: Literal["left", "right"] = "right" if number in numeric else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=number in numeric)
    for row in rows:
        table.add_row(*(escape(_cell(value)) for value in row))
    Console().print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
