"""The fits of all series: in this process, or in several that a deadline can end."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool

import joblib
from threadpoolctl import threadpool_limits

from kubecast.models.arima.recipe import SeriesModel
from kubecast.models.arima.series import fit_series
from kubecast.models.arima.task import Search, Task

# What one process searches faster than new ones start: a series takes some .1 s, however short it is.
SMALL, FEW = 20_000, 100  # rows, series


def fit_all(
    tasks: list[Task], search: Search, deadline: float | None, report: Callable[[int, float], None]
) -> dict[str, list[SeriesModel] | str]:
    """Fit every series, or as many as the deadline allows.

    Args:
        tasks: One for each series.
        search: How every series is fitted.
        deadline: As ``time.monotonic()``.
        report: Called after each series with their number so far, and its share in all.

    Returns:
        By series, in the order of tasks, its models, or the reason why it has none; without those that the
        deadline came before.
    """
    fitted = {}
    for key, outcome in _outcomes(tasks, search, deadline):
        fitted[key] = outcome
        report(len(fitted), len(fitted) / len(tasks))
    return {task.unique_id: fitted[task.unique_id] for task in tasks if task.unique_id in fitted}


def _outcomes(
    tasks: list[Task], search: Search, deadline: float | None
) -> Iterator[tuple[str, list[SeriesModel] | str]]:
    if _is_small(tasks, search, deadline):
        with threadpool_limits(1):  # the matrices are far too small to share
            for task in tasks:
                if _is_past(deadline):
                    return
                yield fit_series(task, search)
        return
    jobs = max(2, min(joblib.cpu_count(), len(tasks)))  # with one alone, joblib starts no process
    pool = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", max_nbytes=None)
    try:
        yield from pool(joblib.delayed(_fit_in_worker)(task, search, deadline) for task in tasks)
    except BrokenProcessPool:
        if not _is_past(deadline):
            raise


def _is_past(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline


def _is_small(tasks: list[Task], search: Search, deadline: float | None) -> bool:
    """Whether this process fits them: new ones take seconds to start, but can be ended at a deadline."""
    if search.engine == "pmdarima" or search.period > 1:
        return _is_past(deadline) or (len(tasks) == 1 and deadline is None)
    return len(tasks) <= FEW and sum(len(task.y) for task in tasks) <= SMALL


def _fit_in_worker(task: Task, search: Search, deadline: float | None) -> tuple[str, list[SeriesModel] | str]:
    """Fit in a process that the alarm ends at the deadline, wherever in a library it then is."""
    if deadline is not None:
        signal.setitimer(signal.ITIMER_REAL, max(deadline - time.monotonic(), 1e-3))
    try:
        return fit_series(task, search)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
