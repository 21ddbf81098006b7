"""A run on a cluster, shown while it goes on: a table in a terminal, plain lines in a log."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

COLUMNS = ["task", "state", "duration", "error"]
_STYLES = {"SUCCEEDED": "green", "RUNNING": "cyan", "FAILED": "red", "CANCELED": "red"}


def rows(progress: Any) -> list[list[str]]:
    """A row of ``COLUMNS`` for each task of a run (``name``, ``state``, ``seconds``, ``error``)."""
    return [[task.name, task.state, duration(task.seconds), task.error] for task in progress.tasks]


def duration(seconds: float | None) -> str:
    """Hours, minutes and seconds; a dash where there are none."""
    return "-" if seconds is None else str(timedelta(seconds=int(seconds)))


@contextlib.contextmanager
def shown(quiet: bool = False) -> Iterator[Callable[[Any], None]]:
    """Show a run on standard error.

    Args:
        quiet: Show nothing.

    Yields:
        What to call with the run whenever it may have changed (``name``, ``state``, ``tasks``).
    """
    console = Console(stderr=True, quiet=quiet)
    if not console.is_terminal:
        yield _lines(console)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda progress: live.update(_table(progress), refresh=True)


def _lines(console: Console) -> Callable[[Any], None]:
    known: dict[str, str] = {}

    def show(progress: Any) -> None:
        for task in progress.tasks:
            if known.get(task.name, "PENDING") != task.state:
                console.print(f"{task.state:<9} {task.name}", highlight=False, markup=False)
            known[task.name] = task.state

    return show


def _table(progress: Any) -> Table:
    table = Table(title=Text(f"{progress.name}  {progress.state}"), title_justify="left")
    for column in COLUMNS:
        table.add_column(column, justify="right" if column == "duration" else "left", overflow="fold")
    for name, state, taken, error in rows(progress):
        table.add_row(Text(name), Text(state, style=_STYLES.get(state, "")), taken, Text(error))
    return table
