"""Periods that finer rows are brought together in: those that the rows do not cover have no target."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas import DatetimeIndex
from pandas.tseries.offsets import BaseOffset, SemiMonthEnd, Tick, Week

from kubecast.data.calendars import offset_of
from kubecast.data.findings import Notes

_REGULAR = 0.8  # share of the most common step, from which on rows are expected at each step
_USUAL = 0.9  # quantile over a series' periods: on some days a shop closes earlier
_DAY = pd.Timedelta(days=1)
_NOTHING = pd.Timedelta(0)


def is_coarse(frequency: str) -> bool:
    """Whether the steps are days or longer, which are those of the local clock."""
    offset = offset_of(frequency)
    return not isinstance(offset, Tick) or offset.nanos >= _DAY.value


def period_labels(ds: "pd.Series[Any]", frequency: str, earliest: pd.Timestamp) -> NDArray[Any]:
    """The label of the period of each time: its begin or its end.

    Args:
        ds: Times.
        frequency: Of the periods.
        earliest: Of all rows, in which these are a block.
    """
    offset = offset_of(frequency)
    side: Literal["left", "right"] = "right" if _ends_with_its_label(offset) else "left"
    # Calendar steps are counted from the first time that there is, others from the day of the earliest.
    first = np.array([] if isinstance(offset, Tick) else [earliest], dtype="datetime64[ns]")
    times, at = np.unique(np.append(ds.to_numpy(), first), return_inverse=True)
    grouper = pd.Grouper(key="ds", freq=offset, closed=side, label=side, origin=earliest.normalize())
    groups = pd.DataFrame({"ds": times}).groupby(grouper)
    labels = groups.size().index.to_numpy()[groups.ngroup().to_numpy()]
    return np.asarray(labels[at[: len(ds)]])


def period_bounds(labels: "pd.Series[pd.Timestamp]", frequency: str) -> tuple[DatetimeIndex, DatetimeIndex]:
    """The begin of each period, and its end, which is no longer in it.

    Args:
        labels: From ``period_labels``.
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


class Coverage(NamedTuple):
    """What tells whether the rows of a source cover a period.

    Attributes:
        step: At which they come; None where they come at no regular one.
        newest: The time of the newest target.
        earliest: The time of the earliest row: periods of several steps are counted from there, those of a
            fixed length from the begin of its day.
    """

    step: pd.Timedelta | None
    newest: pd.Timestamp
    earliest: pd.Timestamp

    @classmethod
    def of(cls, blocks: Iterable[pd.DataFrame]) -> Self:
        """Find it in the rows of a source, in order of series and time, a block of series at a time."""
        steps: Counter[pd.Timedelta] = Counter()
        newest, earliest = pd.Timestamp.min, pd.Timestamp.max
        for frame in blocks:
            earliest = min(earliest, frame["ds"].min())
            targets = frame[frame["y"].notna()]
            between = targets.groupby("unique_id", observed=True)["ds"].diff().dropna()
            lengths, counts = np.unique(between[between > _NOTHING].to_numpy(), return_counts=True)
            steps.update(dict(zip(pd.to_timedelta(lengths), counts.tolist(), strict=True)))
            newest = max([newest, *targets["ds"].nlargest(1)])
        common = min(steps, key=lambda step: (-steps[step], step), default=None)
        is_regular = common is not None and steps[common] >= _REGULAR * steps.total()
        return cls(common if is_regular else None, newest, earliest)


def partial_periods(frame: pd.DataFrame, frequency: str, empty: str, coverage: Coverage) -> pd.DataFrame:
    """The period in which a series begins, and the one in which it ends, where its rows do not cover them.

    A period is whole where its first and last row are no further inside than those of the series' other
    periods, opening hours and closed days included. Where the rows come at no regular step, nothing tells
    whether one is lacking, and none is partial.

    Args:
        frame: The rows, in order of series and time.
        frequency: Of the periods.
        empty: ``zero`` where a step without a row is one of 0: a series then ends where the data does.
        coverage: Of all rows.

    Returns:
        ``unique_id`` (text), ``ds`` (the label, see ``period_labels``) and ``what`` the data does inside of
        it: ``begins`` or ``ends``.
    """
    targets = frame[frame["y"].notna()]
    if coverage.step is None or targets.empty:
        return frame[["unique_id", "ds"]].iloc[:0].astype({"unique_id": object}).assign(what="")
    spans = _spans(targets, frequency, empty, coverage)
    begun = spans["is_first"] & (spans["before"] > _usual(spans, "before", ~spans["is_first"], _NOTHING))
    unfinished = spans["is_last"] & (
        spans["after"] > _usual(spans, "after", ~spans["is_last"], coverage.step)
    )
    keys = spans[["unique_id", "ds"]].astype({"unique_id": object})
    return pd.concat([keys[begun].assign(what="begins"), keys[unfinished].assign(what="ends")])


def without_targets(periods: pd.DataFrame, partial: pd.DataFrame) -> pd.DataFrame:
    """Take the targets from partial periods."""
    keys = ["unique_id", "ds"]
    own = pd.MultiIndex.from_frame(periods[keys].astype({"unique_id": object}))
    return periods.assign(y=periods["y"].mask(own.isin(pd.MultiIndex.from_frame(partial[keys]))))


def note_partial(partial: pd.DataFrame, notes: Notes) -> None:
    """Note how many partial periods there are, with an example."""
    for what in ("begins", "ends"):
        found = partial[partial["what"] == what]
        if len(found):
            example = found.iloc[0]
            detail = (
                f"the data {what} inside the period {example['ds']}, e.g. of series {example['unique_id']}"
            )
            notes.add("partial", f"{detail}: left out", count=len(found))


def _spans(targets: pd.DataFrame, frequency: str, empty: str, coverage: Coverage) -> pd.DataFrame:
    """The periods of each series that have a target.

    Returns:
        ``unique_id``, ``ds`` (the label), ``before`` (from the begin to the first row), ``after`` (from the
        last row to the end), ``is_first``, ``is_last`` (of the series).
    """
    label = pd.Series(period_labels(targets["ds"], frequency, coverage.earliest), targets.index, name="label")
    rows = targets.groupby(["unique_id", label], observed=True)["ds"].agg(["min", "max"])
    spans = rows.reset_index(names=["unique_id", "ds"])
    begin, end = period_bounds(spans["ds"], frequency)
    spans["before"], spans["after"] = spans["min"] - begin, end - spans["max"]
    spans["is_first"] = ~spans.duplicated("unique_id")
    spans["is_last"] = ~spans.duplicated("unique_id", keep="last")
    if empty == "zero":
        spans["is_last"] &= (begin <= coverage.newest) & (coverage.newest < end)
        spans["after"] = np.where(spans["is_last"], end - coverage.newest, spans["after"])
    return spans


def _usual(
    spans: pd.DataFrame, side: str, inner: "pd.Series[bool]", of_one: pd.Timedelta
) -> "pd.Series[Any]":
    """How far from a side of its periods a series' rows may be; ``of_one`` where it has no inner period."""
    most = spans[inner].groupby("unique_id", observed=True)[side].quantile(_USUAL, interpolation="higher")
    return spans["unique_id"].astype(object).map(most).fillna(of_one)
