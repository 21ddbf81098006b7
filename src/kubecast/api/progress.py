"""Progress of a fit: bars where somebody looks on, in a terminal or a notebook; log lines elsewhere."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from kubecast.logs import FORMAT_VARIABLE, is_set_up, shown_by

Begin = Callable[[str], None]
"""Called with the name of each stage as it begins."""


@contextmanager
def stages(total: int, console: Console | None = None) -> Iterator[Begin]:
    """Show so many stages, each from its call to the next one's.

    An application that has set up logging, or ``KUBECAST_LOG_FORMAT``, gets log lines and no bars.

    Args:
        total: Number of stages.
        console: Default: standard error.
    """
    console = console or Console(stderr=True)
    if is_set_up() or FORMAT_VARIABLE in os.environ or not _shows_bars(console):
        yield lambda name: None
        return
    columns = SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"), BarColumn()
    with Progress(*columns, TextColumn("{task.fields[count]}"), TimeElapsedColumn(), console=console) as bars:
        handler = _Bars(bars, total)
        with shown_by(handler):
            yield handler.begin
        handler.finish()


def _shows_bars(console: Console) -> bool:
    """Rich draws bars in a notebook by ipywidgets alone."""
    return find_spec("ipywidgets") is not None if console.is_jupyter else console.is_terminal


class _Bars(logging.Handler):
    """A bar for each stage, which progress records move; other records are printed above the bars."""

    def __init__(self, bars: Progress, total: int) -> None:
        super().__init__()
        self._bars, self._total, self._tasks = bars, total, list[TaskID]()

    def begin(self, name: str) -> None:
        """End the last stage, and begin the next."""
        self.finish()
        number = f"[{len(self._tasks) + 1}/{self._total}]".replace("[", r"\[")
        self._tasks.append(self._bars.add_task(f"{number} {name}", total=None, count=""))

    def finish(self) -> None:
        """End the last stage."""
        for task in self._tasks[-1:]:
            self._bars.update(task, total=1, completed=1)

    def emit(self, record: logging.LogRecord) -> None:
        """Move the bar, or print a line."""
        done, total = getattr(record, "done", None), getattr(record, "total", None)
        if done is not None and self._tasks:
            self._bars.update(self._tasks[-1], completed=done, total=total, count=f"{done}/{total}")
        elif record.levelno >= logging.WARNING:
            self._bars.console.print(self.format(record), markup=False, highlight=False)
