"""Series that ended before the others: discontinued items, sensors that were taken down."""

from typing import Any, Literal

import pandas as pd

from kubecast.data.calendars import offset_of
from kubecast.data.columns import listed
from kubecast.data.findings import Notes
from kubecast.data.panel import Panel

Treatment = Literal["forecast", "mark", "leave_out"]


def stale_series(series: pd.DataFrame, frequency: str, horizon: int) -> "tuple[pd.Series[Any], pd.Timestamp]":
    """The series whose last target is more than a horizon older than most others'.

    Args:
        series: ``unique_id``, and ``end``, the time of its last target.
        frequency: Of the grid.
        horizon: Steps.

    Returns:
        Their names, and the time up to which half of all series go on at least.
    """
    usual = pd.Timestamp(series["end"].quantile(0.5, interpolation="higher"))
    return series.loc[series["end"] < usual - horizon * offset_of(frequency), "unique_id"], usual


def note_stale(series: pd.DataFrame, frequency: str, horizon: int, notes: Notes) -> None:
    """Name the series that ended before the others, which ``stale_series`` finds, in one finding."""
    stale, usual = stale_series(series, frequency, horizon)
    if len(stale):
        detail = f"{listed(stale)}: the last target is older than {usual}, where half of the series go on"
        notes.add("stale", detail, count=len(stale))


def treat_stale(table: pd.DataFrame, panel: Panel, how: Treatment) -> pd.DataFrame:
    """Leave the forecasts of series that ended as they are, mark them, or leave them out.

    Args:
        table: Forecasts from the ends of a panel's series: ``unique_id`` and others.
        panel: That panel.
        how: ``training.data.stale``; ``mark`` adds a column ``stale``.
    """
    if how == "forecast":
        return table
    names, _ = stale_series(panel.series, panel.spec.frequency, panel.spec.horizon)
    stale = table["unique_id"].isin(names)
    return table.assign(stale=stale) if how == "mark" else table[~stale].reset_index(drop=True)
