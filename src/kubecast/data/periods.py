"""Periods that finer rows are brought together in: those that the rows do not cover have no target."""

import numpy as np
import pandas as pd
from pandas.tseries.offsets import BaseOffset, SemiMonthEnd, Tick, Week

from kubecast.data.calendars import offset_of
from kubecast.data.findings import Notes

_REGULAR = 0.8  # share of the most common step, from which on rows are expected at each step
_DAY = pd.Timedelta(days=1)


def is_coarse(frequency: str) -> bool:
    """Whether the steps are days or longer, which are those of the local clock."""
    offset = offset_of(frequency)
    return not isinstance(offset, Tick) or offset.nanos >= _DAY.value


def whole_periods(frame: pd.DataFrame, periods: pd.DataFrame, frequency: str, notes: Notes) -> pd.DataFrame:
    """Take the target from a period in which a series begins, and from the one in which the data ends.

    Where the rows come at no regular step, nothing tells whether one is lacking, and every target stays.

    Args:
        frame: The rows, in order of series and time.
        periods: What they were brought together to: ``unique_id`` and ``ds``, the label of the period.
        frequency: Of the periods.
        notes: Receives what is left out.
    """
    targets = frame[frame["y"].notna()]
    step = _common_step(targets)
    if step is None or periods.empty or targets.empty:
        return periods
    begin, end = _bounds(periods["ds"], offset_of(frequency))
    starts = targets.groupby("unique_id", observed=True)["ds"].min()
    first = pd.DatetimeIndex(periods["unique_id"].astype(object).map(starts))
    begun = (begin < first) & (first < end) & (first - begin >= step)
    newest = targets["ds"].max()
    unfinished = (begin <= newest) & (newest < end) & (end - newest > step)
    for mask, what in ((begun, "begins"), (unfinished, "ends")):
        if mask.any():
            example = periods[mask].iloc[0]
            detail = (
                f"the data {what} inside the period {example['ds']}, e.g. of series {example['unique_id']}"
            )
            notes.add("partial", f"{detail}: left out", count=int(mask.sum()))
    return periods.assign(y=periods["y"].mask(begun | unfinished))


def _common_step(rows: pd.DataFrame) -> pd.Timedelta | None:
    """The step at which rows come; None where they come at no regular one."""
    steps = rows.groupby("unique_id", observed=True)["ds"].diff().dropna()
    lengths, counts = np.unique(steps[steps > pd.Timedelta(0)].to_numpy(), return_counts=True)
    if not len(lengths) or counts.max() < _REGULAR * counts.sum():
        return None
    return pd.Timedelta(lengths[np.argmax(counts)])


def _bounds(
    labels: "pd.Series[pd.Timestamp]", offset: BaseOffset
) -> tuple[pd.DatetimeIndex, pd.DatetimeIndex]:
    """The begin of each period, and its end, which is no longer in it."""
    times = pd.DatetimeIndex(labels)
    if _ends_with_its_label(offset):
        return times - offset + _DAY, times + _DAY
    return times, times + offset


def _ends_with_its_label(offset: BaseOffset) -> bool:
    ends = isinstance(offset, Week) or "End" in type(offset).__name__
    return ends and not isinstance(offset, SemiMonthEnd)  # which pandas brings together from its label on
