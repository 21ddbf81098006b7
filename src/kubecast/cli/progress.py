"""Progress of a run on this machine: a bar in a terminal, plain lines in a log."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def progress(quiet: bool = False) -> Iterator[Callable[[Any], None]]:
    """Show the events of a run on standard error.

    Args:
        quiet: Show nothing but warnings.

    Yields:
        What to call with each event (``task``, ``state``, ``done``, ``total``, ``message``).
    """
    console = Console(stderr=True, quiet=quiet)
    if quiet or not console.is_terminal:
        yield lambda event: _warn(event) if event.state == "warning" else _line(console, event)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        tasks: dict[str, TaskID] = {}
        yield lambda event: _warn(event) if event.state == "warning" else _update(bar, tasks, event)


def _warn(event: Any) -> None:
    """Log a task's warning, as any other; the bar moves down for it."""
    _LOG.warning("%s: %s", event.task, event.message, extra={"task": event.task})


def _line(console: Console, event: Any) -> None:
    if event.state != "running":
        console.print(f"{event.state:<9} {event.task}", highlight=False, markup=False)


def _update(bar: Progress, tasks: dict[str, TaskID], event: Any) -> None:
    if event.state == "running":
        started = [task.id for task in bar.tasks if not task.finished]
        if started:
            bar.update(
                started[-1], completed=event.done, total=event.total, count=f"{event.done}/{event.total}"
            )
        return
    if event.task not in tasks:
        tasks[event.task] = bar.add_task(event.task, total=None, count="")
    if event.state == "finished":
        bar.update(tasks[event.task], total=1, completed=1, count="done")
