"""Progress of a run on this machine: a line for each task; in a terminal a bar below, of the current one."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

_LOG = logging.getLogger(__name__)

_SECONDS = {"tune": 120, "train": 15, "final": 5, "evaluate": 4, "register": 3}
"""What tasks take of a small run, by the first words of their names; others take 2."""

_FINAL = 1 / 3
"""What a final fit takes of the time of the fit that it repeats."""

_ENDS = {"finished": "", "failed": "failed after ", "cached": "kept from an earlier run"}


class RunProgress:
    """What of a run is done, and about how long the rest takes.

    Attributes:
        tasks: Names of all tasks; empty until that is known.
        ended: Those that ended well, by the seconds that they took; 0 of those that were cached.
    """

    def __init__(self) -> None:
        self.tasks: tuple[str, ...] = ()
        self.ended: dict[str, float] = {}
        self._seen: list[str] = []
        self._started = time.monotonic()

    def read(self, event: Any) -> str:
        """Take an event in, and return the line that tells it; empty for none."""
        if event.state == "planned":
            self.tasks = event.tasks
        elif event.state == "started":
            self._begin(event.task)
            return self._label(event.task)
        elif event.state in _ENDS:
            return self._end(event.task, event.state)
        return ""

    def _begin(self, task: str) -> None:
        self._seen.append(task)
        self._started = time.monotonic()

    def _end(self, task: str, state: str) -> str:
        if task not in self._seen:  # cached: it never began
            self._begin(task)
        seconds = time.monotonic() - self._started
        taken = "" if state == "cached" else duration(seconds)
        if state != "failed":
            self.ended[task] = 0.0 if state == "cached" else seconds
        left = self.left() if state == "finished" else ""
        return f"{self._label(task)}  {_ENDS[state]}{taken}{', ' * bool(left)}{left}"

    def _label(self, task: str) -> str:
        return f"[{len(self._seen)}/{max(len(self.tasks), len(self._seen))}] {task}"

    def left(self) -> str:
        """About how long the rest takes, by what ended so far; empty before three tasks that ran."""
        measured = {task: seconds for task, seconds in self.ended.items() if seconds}
        rest = [task for task in self.tasks if task not in self._seen]
        if len(measured) < 3 or not rest:
            return ""
        pace = sum(measured.values()) / sum(_usual(task) for task in measured)
        seconds = sum(self._expected(task, pace) for task in rest)
        return f"about {rounded(seconds)} left"

    def _expected(self, task: str, pace: float) -> float:
        kind, _, model = task.partition("-")
        fit = self.ended.get(f"train-{model}", 0.0) if kind == "final" else 0.0
        return fit * _FINAL if fit else pace * _usual(task)


def _usual(task: str) -> float:
    return _SECONDS.get(task.partition("-")[0], 2)


def duration(seconds: float) -> str:
    """Seconds for a person, e.g. ``13 s``, ``2 min 5 s``, ``1 h 20 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def rounded(seconds: float) -> str:
    """Seconds as an estimate: tens of seconds, then minutes, then quarters of an hour."""
    if seconds < 55:
        return f"{max(10, round(seconds, -1)):.0f} s"
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return f"{minutes} min"
    quarters = round(minutes / 15)
    return f"{quarters // 4} h" + (f" {quarters % 4 * 15} min" if quarters % 4 else "")


@contextmanager
def progress(quiet: bool = False) -> Iterator["View"]:
    """Show the events of a run on standard error.

    Args:
        quiet: Show nothing but warnings.

    Yields:
        What to call with each event (``task``, ``state``, ``done``, ``total``, ``message``, ``tasks``).
    """
    console = Console(stderr=True, quiet=quiet)
    if quiet or not console.is_terminal:
        yield View(console)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(20),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        yield View(console, bars)


class View:
    """Shows each event that it is called with; ``state`` is what it has seen."""

    def __init__(self, console: Console, bars: Progress | None = None) -> None:
        self.state = RunProgress()
        self._console, self._bars = console, bars

    def __call__(self, event: Any) -> None:
        """Show an event."""
        if event.state == "warning":
            # As any other warning is; a bar moves down for it.
            _LOG.warning("%s: %s", event.task, event.message, extra={"task": event.task})
            return
        line = self.state.read(event)
        if self._bars:
            self._draw(self._bars, event, line)
        if line and not (self._bars and event.state == "started"):
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    @staticmethod
    def _draw(bars: Progress, event: Any, line: str) -> None:
        """Keep one bar, of the task that runs."""
        if event.state == "running":
            for bar in bars.task_ids:
                bars.update(bar, completed=event.done, total=event.total, count=f"{event.done}/{event.total}")
        elif event.state != "planned":
            for bar in bars.task_ids:
                bars.remove_task(bar)
            if event.state == "started":
                bars.add_task(line, total=None, count="")
