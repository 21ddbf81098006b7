"""A task's figures, for the dashboard."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


class Metrics(Protocol):
    """What is used of ``kfp.dsl.Metrics``, which images need not have."""

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
