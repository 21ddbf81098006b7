"""View of a run on a cluster while it goes on: a table in a terminal, plain lines in a log."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

COLUMNS = ["task", "state", "duration", "reason"]
LOG_LINES = 15  # of a task that failed; JSON has all that were read
_STYLES = {"SUCCEEDED": "green", "RUNNING": "cyan", "FAILED": "red", "CANCELED": "red"}


def rows(progress: Any) -> list[list[str]]:
    """A row of ``COLUMNS`` for each task of a run, those of a graph indented below it."""
    return [
        ["  " * len(task.graphs) + task.name, task.state, duration(task.seconds), _reason(task)]
        for task in progress.tasks
    ]


def _reason(task: Any) -> str:
    """How many iterations of a task in a loop have ended, then why it is in its state, and in which."""
    reason = ": ".join(filter(None, [task.iteration if task.reason else "", task.reason]))
    return "; ".join(filter(None, [task.iterations, reason]))


def duration(seconds: float | None) -> str:
    """Hours, minutes and seconds; a dash where there are none."""
    return "-" if seconds is None else str(timedelta(seconds=int(seconds)))


def details(progress: Any) -> list[str]:
    """Lines on what failed or does not start: the task, its pod, its last words, and where to read on."""
    lines: list[str] = []
    for word, tasks in (("failed", progress.failed), ("waits", progress.stuck)):
        for task in tasks:
            name = ", ".join(filter(None, [_full_name(task), task.iteration]))
            pairs = {word: name, "reason": task.reason, "pod": task.pod, "more": task.command}
            pairs["log kept"] = "" if task.log else task.log_uri
            lines += ["", *_pairs(pairs)]
            lines += [f"    {line}" for line in task.log[-LOG_LINES:]]
    return (
        lines
        + [""] * bool(lines)
        + _pairs({"error": progress.error, "more": progress.command, "note": progress.note})
    )


def summary(progress: Any) -> str:
    """Why a run did not succeed, in one line."""
    failed = [f"{task.name}: {_reason(task) or task.state}" for task in progress.failed]
    return "; ".join([progress.error, *failed] if progress.error else failed)


@contextlib.contextmanager
def shown(quiet: bool = False) -> Iterator[Callable[[Any], None]]:
    """Show a run on standard error.

    Args:
        quiet: Show nothing.

    Yields:
        What to call with the run whenever it may have changed (``name``, ``state``, ``error``, ``tasks``).
    """
    console = Console(stderr=True, quiet=quiet)
    if not console.is_terminal:
        yield _lines(console)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda progress: live.update(_table(progress), refresh=True)


def _lines(console: Console) -> Callable[[Any], None]:
    known: dict[tuple[str, ...], tuple[str, bool, str]] = {}

    def show_once(key: tuple[str, ...], state: str, name: str, reason: str, counts: str = "") -> None:
        now = state, bool(reason), counts  # reasons may take turns
        if known.get(key, ("PENDING", False, "")) != now:
            why = "; ".join(filter(None, [counts, reason]))
            console.print(
                f"{state:<9} {name}{'  ' * bool(why)}{why}", highlight=False, markup=False, soft_wrap=True
            )
        known[key] = now

    def show(progress: Any) -> None:
        names = Counter(task.name for task in progress.tasks)
        graphs = {task.graphs for task in progress.tasks}
        for task in progress.tasks:
            name = task.name if names[task.name] == 1 else _full_name(task)
            reason = task.reason if task.state in ("PENDING", "FAILED") else ""
            key = (*task.graphs, task.name)
            counts = task.iterations if key in graphs else ""  # one line for all tasks of a loop
            show_once(key, task.state, name, reason, counts)
        if not progress.ended:
            show_once((), "PENDING", progress.name, progress.error)

    return show


def _table(progress: Any) -> Table:
    table = Table(title=Text(f"{progress.name}  {progress.state}"), title_justify="left")
    table.caption, table.caption_justify = Text(progress.error), "left"
    for column in COLUMNS:
        table.add_column(column, justify="right" if column == "duration" else "left", overflow="fold")
    for name, state, taken, reason in rows(progress):
        table.add_row(Text(name), Text(state, style=_STYLES.get(state, "")), taken, Text(reason))
    return table


def _full_name(task: Any) -> str:
    return " / ".join([*task.graphs, task.name])


def _pairs(pairs: dict[str, str]) -> list[str]:
    return [f"{key:<10} {value}" for key, value in pairs.items() if value]
