"""Example forecasts of pages: of the best, the median and the worst series, beside their actuals."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pandas as pd
from pydantic import Field

from kubecast.data.panel import Cutoffs, Panel
from kubecast.documents import Document
from kubecast.scoring.metrics import intervals, quantile_column
from kubecast.scoring.significance import finite

HISTORY = 3  # horizons before the origin
NARROW = 40  # nominal coverage in percent of the interval inside the widest


class ExampleSeries(Document):
    """A series' forecast from its last test origin, with the actuals around it.

    Attributes:
        title: What the series stands for: ``best``, ``median``, ``worst`` or ``series``.
        unique_id: Of the series.
        mase: Of the model over the test split of the series.
        cutoff: The origin.
        model: Name of the model that forecasts.
        history_ds: Times up to the origin, at most three horizons.
        history: Their targets; None where unobserved.
        ds: Times after the origin, shape (horizon,).
        actual: Their targets, as above.
        forecast: Shape (horizon,).
        bands: Lower and upper bound by nominal coverage in percent, widest first; at most two.
    """

    title: str
    unique_id: str
    mase: float | None
    cutoff: datetime
    model: str
    history_ds: list[datetime]
    history: list[float | None]
    ds: list[datetime]
    actual: list[float | None]
    forecast: list[float]
    bands: dict[str, tuple[list[float], list[float]]] = Field(default={})


def example_series(
    ranked: Sequence[tuple[str, float | None]],
    table: pd.DataFrame,
    panel: Panel,
    model: str,
    levels: Sequence[float],
) -> list[ExampleSeries]:
    """The best, the median and the worst of series; or all of few.

    Args:
        ranked: Series and their MASE on the test split, best first.
        table: Forecasts beside their targets, with quantile columns.
        panel: Gives the actuals before the origin.
        model: Column of the point forecasts.
        levels: Of the quantile columns.
    """
    chosen = [("series", *each) for each in ranked]
    if len(ranked) >= 3:
        chosen = [("best", *ranked[0]), ("median", *ranked[len(ranked) // 2]), ("worst", *ranked[-1])]
    return [
        _example(title, unique_id, mase, table, panel, model, levels) for title, unique_id, mase in chosen
    ]


def _example(
    title: str,
    unique_id: str,
    mase: float | None,
    table: pd.DataFrame,
    panel: Panel,
    model: str,
    levels: Sequence[float],
) -> ExampleSeries:
    own = table[table["unique_id"] == unique_id]
    cutoff = own.loc[own["split"] == "test", "cutoff"].max()
    horizon = own[(own["cutoff"] == cutoff) & (own["split"] == "test")]
    origin = Cutoffs(pd.DataFrame({"unique_id": [unique_id], "cutoff": [cutoff]}))
    history = panel.history(origin, HISTORY * len(horizon))
    bounds = intervals(levels)
    kept = [level for at, level in enumerate(bounds) if at == 0 or float(level) == NARROW]
    return ExampleSeries(
        title=title,
        unique_id=unique_id,
        mase=mase,
        cutoff=cutoff.to_pydatetime(),
        model=model,
        history_ds=_times(history),
        history=_targets(history),
        ds=_times(horizon),
        actual=_targets(horizon),
        forecast=horizon[model].tolist(),
        bands={
            level: (
                horizon[quantile_column(bounds[level][0])].tolist(),
                horizon[quantile_column(bounds[level][1])].tolist(),
            )
            for level in kept
        },
    )


def _times(rows: pd.DataFrame) -> list[Any]:
    return [moment.to_pydatetime() for moment in rows["ds"]]


def _targets(rows: pd.DataFrame) -> list[float | None]:
    return [finite(value) for value in rows["y"]]
