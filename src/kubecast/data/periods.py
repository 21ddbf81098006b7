"""Periods that finer rows are brought together in: those that the rows do not cover have no target."""

from typing import Any, Literal

import numpy as np
import pandas as pd
from pandas import DatetimeIndex
from pandas.tseries.offsets import BaseOffset, SemiMonthEnd, Tick, Week

from kubecast.data.calendars import frequency_in, offset_of
from kubecast.data.findings import Notes

_REGULAR = 0.8  # share of the most common step, from which on rows are expected at each step
_DAY = pd.Timedelta(days=1)


def is_coarse(frequency: str) -> bool:
    """Whether the steps are days or longer, which are those of the local clock."""
    offset = offset_of(frequency)
    return not isinstance(offset, Tick) or offset.nanos >= _DAY.value


def grouper(frequency: str) -> pd.Grouper:
    """Bring the rows of one period together, by ``ds``, under the label of its begin or its end."""
    offset = offset_of(frequency)
    side: Literal["left", "right"] = "right" if _ends_with_its_label(offset) else "left"
    return pd.Grouper(key="ds", freq=offset, closed=side, label=side)


def period_bounds(labels: "pd.Series[pd.Timestamp]", frequency: str) -> tuple[DatetimeIndex, DatetimeIndex]:
    """The begin of each period, and its end, which is no longer in it.

    Args:
        labels: As ``grouper`` makes them.
        frequency: Of the periods.
    """
    offset = offset_of(frequency)
    at, unique = pd.factorize(labels)  # series share most labels, and calendar steps are slow
    times = DatetimeIndex(unique)
    before, after = (DatetimeIndex([time + n * offset for time in times]) for n in (-1, 1))
    if _ends_with_its_label(offset):
        return (before + _DAY)[at], (times + _DAY)[at]
    return times[at], after[at]


def _ends_with_its_label(offset: BaseOffset) -> bool:
    ends = isinstance(offset, Week) or "End" in type(offset).__name__
    return ends and not isinstance(offset, SemiMonthEnd)  # which pandas brings together from its label on


def whole_periods(
    frame: pd.DataFrame, periods: pd.DataFrame, frequency: str, empty: str, notes: Notes
) -> pd.DataFrame:
    """Take the target from a period in which a series begins, and from the one in which it ends.

    Where the rows come at no regular step, nothing tells whether one is lacking, and every target stays.

    Args:
        frame: The rows, in order of series and time.
        periods: What they were brought together to: ``unique_id`` and ``ds``, the label of the period.
        frequency: Of the periods.
        empty: ``zero`` where a step without a row is one of 0: a series then ends where the data does.
        notes: Receives what is left out.
    """
    targets = frame[frame["y"].notna()]
    step = _step_of(targets)
    if step is None or periods.empty or targets.empty:
        return periods
    times = targets.groupby("unique_id", observed=True)["ds"].agg(["min", "max"])
    if empty == "zero":
        times["max"] = times["max"].max()

    def of_its_series(values: "pd.Series[Any]") -> DatetimeIndex:
        return DatetimeIndex(periods["unique_id"].astype(object).map(values))

    begin, end = period_bounds(periods["ds"], frequency)
    first, last = of_its_series(times["min"]), of_its_series(times["max"])
    before, after = of_its_series(_moved(times["min"], -1 * step)), of_its_series(_moved(times["max"], step))
    begun = (begin <= before) & (first < end)
    unfinished = (begin <= last) & (after < end)
    for mask, what in ((begun, "begins"), (unfinished, "ends")):
        if mask.any():
            example = periods[mask].iloc[0]
            detail = (
                f"the data {what} inside the period {example['ds']}, e.g. of series {example['unique_id']}"
            )
            notes.add("partial", f"{detail}: left out", count=int(mask.sum()))
    return periods.assign(y=periods["y"].mask(begun | unfinished))


def _moved(times: "pd.Series[Any]", step: BaseOffset) -> "pd.Series[Any]":
    return pd.Series({name: time + step for name, time in times.items()})


def _step_of(rows: pd.DataFrame) -> BaseOffset | None:
    """The step at which rows come, closed days left out; None where they come at no regular one."""
    times, same = DatetimeIndex(rows["ds"]), np.diff(rows["unique_id"].cat.codes) == 0
    same &= times[1:] > times[:-1]
    steps = np.unique((times[1:] - times[:-1])[same], return_counts=True)[1]
    if not len(steps) or steps.max() < _REGULAR * steps.sum():
        return None
    frequency = frequency_in(times[:-1][same], times[1:][same])
    return None if frequency is None else offset_of(frequency)
