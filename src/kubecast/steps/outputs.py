"""A task's outputs that are no artifacts of its own: figures for the dashboard, and progress lines.

A line ``progress <step> <done>/<total>`` becomes a bar in the process that reads the log.
"""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

_LOG = logging.getLogger(__name__)


class Metrics(Protocol):
    """The part of ``kfp.dsl.Metrics`` that is used; images need not have KFP."""

    path: str

    def log_metric(self, metric: str, value: float) -> None:
        """Keep one figure."""
        ...


def log_metrics(metrics: Metrics, figures: Mapping[str, float]) -> None:
    """Keep figures under their names."""
    for name, value in figures.items():
        metrics.log_metric(name, value)
    # A task is cached only where each of its outputs exists.
    Path(metrics.path).write_text(json.dumps(figures))


def log_progress(step: str, done: int, total: int) -> None:
    """Log how far a step is."""
    _LOG.info("progress %s %d/%d", step, done, total, extra={"done": done, "total": total})


def progress_reporter(step: str, total: int) -> Callable[[int, float], None]:
    """Make a ``FitPlan.on_step`` that logs at most about 50 lines."""
    interval = max(1, total // 50)

    def report(done: int, loss: float) -> None:
        if done % interval == 0 or done >= total:
            log_progress(step, done, total)

    return report
