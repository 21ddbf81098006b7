"""The time grid: its frequency, every series on it without a hole, and the seasons that go with it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.offsets import BaseOffset, Tick, Week

from kubecast.config.training import TrainingSettings
from kubecast.data.calendars import (
    WEEKDAYS,
    frequency_in,
    known_frequency,
    offset_of,
    steps_a_year,
    usual_seasons,
)
from kubecast.data.findings import Notes
from kubecast.data.periods import Coverage, note_partial, partial_periods, period_labels, without_targets
from kubecast.data.row_blocks import Rows, concat_rows
from kubecast.errors import ConfigError, DataError

_DAYS_OF_A_YEAR = 366


def find_frequency(rows: Rows, settings: TrainingSettings) -> str:
    """The frequency of the settings, else that of the data's most common step.

    Args:
        rows: ``unique_id`` and ``ds``, in order.
        settings: Holds the frequency, if it is set.

    Raises:
        ConfigError: The frequency of the settings is not one.
        DataError: It does not follow from the data.
    """
    if settings.frequency is not None:
        return known_frequency(settings.frequency)
    steps = _steps(rows())
    if steps.empty:
        raise DataError(
            "no series has two rows, so the frequency is not known; allowed: set training.frequency"
        )
    frequency = frequency_in(steps)
    if frequency is None:
        raise DataError(
            "the frequency does not follow from the data; allowed: set training.frequency, e.g. MS or D"
        )
    return frequency


def _steps(blocks: Iterator[pd.DataFrame]) -> pd.DataFrame:
    """Two times of neighbouring rows of a series, and how many have them; series share most of theirs."""
    steps = pd.DataFrame({"ds": [], "next": [], "rows": []})
    for frame in blocks:
        ds, same = frame["ds"].to_numpy(), np.diff(frame["unique_id"].cat.codes) == 0
        same &= ds[1:] > ds[:-1]  # a time may be there twice where rows are brought together
        own = pd.DataFrame({"ds": ds[:-1][same], "next": ds[1:][same], "rows": 1})
        steps = concat_rows([steps, own]).groupby(["ds", "next"])["rows"].sum().reset_index()
    return steps


def complete_grids(
    rows: Rows, frequency: str, settings: TrainingSettings, notes: Notes
) -> Iterator[pd.DataFrame]:
    """Give every series a row for each step between its first and its last, a block of series at a time.

    Args:
        rows: ``unique_id`` (categorical), ``ds`` and the rest, in order.
        frequency: Of the grid.
        settings: Say how rows off the grid are brought onto it, if at all.
        notes: Resampling is noted when all are done.

    Raises:
        DataError: Rows are off the grid, or that of a block would be out of all proportion to all rows.
    """
    if settings.data.resample is None or not any(
        _is_finer(each, frequency, settings, rows) for each in rows()
    ):
        yield from (_complete(frame, frequency, settings, rows) for frame in rows())
        return
    coverage, before, after, partial = Coverage.of(rows()), 0, 0, []
    for frame in rows():
        steps = _resampled(frame, frequency, settings, coverage.earliest)
        before, after = before + len(frame), after + len(steps)
        partial.append(partial_periods(frame, frequency, settings.data.empty, coverage))
        yield _complete(without_targets(steps, partial[-1]), frequency, settings, rows)
    detail = f"{before} rows were brought onto the grid of {frequency}, {after} steps"
    notes.add("resampled", f"{detail}: {settings.data.resample}", count=before)
    note_partial(pd.concat(partial), notes)


def _is_finer(frame: pd.DataFrame, frequency: str, settings: TrainingSettings, rows: Rows) -> bool:
    """Whether rows are off the grid, or several of one time."""
    _, off = _positions(frame, frequency, settings, rows)
    return bool(off.any() or frame.duplicated(["unique_id", "ds"]).any())


def _complete(frame: pd.DataFrame, frequency: str, settings: TrainingSettings, rows: Rows) -> pd.DataFrame:
    step, off = _positions(frame, frequency, settings, rows)
    if off.any() and settings.data.resample is None:
        row = frame[off].iloc[0]
        week = _anchor(frame, row["unique_id"], frequency)
        raise DataError(
            f"series {row['unique_id']}: {row['ds']} is off the grid of {frequency} ({off.sum()} so);"
            f" allowed: regular steps, another training.frequency{week}, or"
            " training.data.resample, e.g. mean"
        )
    starts, stops = series_bounds(frame)
    sizes = step[stops - 1] + 1
    total = int(sizes.sum())
    if total == len(frame):
        return frame.reset_index(drop=True)
    own = np.repeat(np.cumsum(sizes) - sizes, stops - starts) + step
    full = frame.set_axis(own).reindex(np.arange(total))
    full["unique_id"] = frame["unique_id"].array.take(np.repeat(starts, sizes))
    full["ds"] = _times(frame["ds"].to_numpy()[starts], sizes, frequency)
    if settings.data.empty == "zero":
        goes_on = full["y"].notna()[::-1].groupby(full["unique_id"], observed=True).cummax().sort_index()
        full.loc[goes_on & ~full.index.isin(own), "y"] = 0.0  # never after a series' last target
    return full


def series_bounds(frame: pd.DataFrame) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first row of each series, and the row after its last, in a frame that is in order of series."""
    starts = np.flatnonzero(np.append(True, np.diff(frame["unique_id"].cat.codes) != 0))
    return starts, np.append(starts[1:], len(frame))


def _positions(
    frame: pd.DataFrame, frequency: str, settings: TrainingSettings, rows: Rows
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The step of each row from its series' first, and whether the row is off the grid that begins there.

    Args:
        frame: A block.
        frequency: Of the grid.
        settings: Say whether rows may be off it.
        rows: Of all blocks, to which a grid may not be out of all proportion.
    """
    ds, (starts, stops) = frame["ds"].to_numpy(), series_bounds(frame)
    counts = stops - starts
    offset = offset_of(frequency)
    if isinstance(offset, Tick):
        since = (ds - np.repeat(ds[starts], counts)).astype(np.int64)
        step, off = since // offset.nanos, since % offset.nanos != 0
    else:
        step, off = _calendar_positions(ds, np.repeat(ds[starts], counts), offset)
    total = int(step[starts + counts - 1].sum()) + len(starts)
    is_gappy = total > _most_steps(len(frame)) and (settings.data.resample is None or not off.any())
    if is_gappy and total > _most_steps(sum(map(len, rows()))):
        row = int(np.argmax(np.where(np.diff(frame["unique_id"].cat.codes) == 0, np.diff(step), 0)))
        raise DataError(
            f"series {frame['unique_id'].iloc[row]}: a gap from {frame['ds'].iloc[row]} to"
            f" {frame['ds'].iloc[row + 1]} makes {total} steps of {frequency} of {len(frame)} rows; allowed:"
            " a frequency that fits the data, and no gap longer than training.data.max_gap"
        )
    return step, off


def _most_steps(rows: int) -> int:
    return 50 * rows + 1_000_000


def _calendar_positions(
    ds: NDArray[Any], first: NDArray[Any], offset: BaseOffset
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    step, off = np.zeros(len(ds), dtype=np.int64), np.ones(len(ds), dtype=bool)
    begins, group = np.unique(first, return_inverse=True)
    for number, begin in enumerate(begins):
        rows = np.flatnonzero(group == number) if len(begins) > 1 else np.arange(len(ds))
        times = pd.date_range(begin, ds[rows].max(), freq=offset).to_numpy()
        if len(times) and times[0] == begin:
            step[rows] = np.minimum(np.searchsorted(times, ds[rows]), len(times) - 1)
            off[rows] = times[step[rows]] != ds[rows]
    return step, off


def _times(first: NDArray[Any], sizes: NDArray[np.int64], frequency: str) -> NDArray[Any]:
    offset = offset_of(frequency)
    if isinstance(offset, Tick):
        step = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return np.asarray(np.repeat(first, sizes) + step * np.timedelta64(offset.nanos, "ns"))
    longest = {begin: int(sizes[first == begin].max()) for begin in np.unique(first)}
    times = {
        begin: pd.date_range(begin, periods=size, freq=offset).to_numpy() for begin, size in longest.items()
    }
    return np.concatenate([times[begin][:size] for begin, size in zip(first, sizes, strict=True)])


def _resampled(
    frame: pd.DataFrame, frequency: str, settings: TrainingSettings, earliest: pd.Timestamp
) -> pd.DataFrame:
    """Bring rows onto the grid; of the covariates a sum makes no sense, so theirs is the mean."""
    static, how = settings.data.covariates.static, settings.data.resample
    labelled = frame.assign(ds=period_labels(frame["ds"], frequency, earliest))
    groups = labelled.groupby(["unique_id", "ds"], sort=True, observed=True)
    numbers = [name for name in frame.columns[2:] if name not in static]
    out = groups[numbers].agg("last" if how == "last" else "mean")
    if how == "sum":
        out["y"] = groups["y"].sum(min_count=1)  # of no value at all, no value
    out[static] = groups[static].first()
    return out.reset_index()[list(frame.columns)]


def _anchor(frame: pd.DataFrame, series: str, frequency: str) -> str:
    """The week that the rows of a series keep, where it is another than the frequency's."""
    days = frame.loc[frame["unique_id"] == series, "ds"].dt.weekday.unique()
    if not isinstance(offset_of(frequency), Week) or len(days) > 1:
        return ""
    return f" (all its rows are on one weekday: W-{WEEKDAYS[days[0]]})"


def season_lengths(longest: int, frequency: str, settings: TrainingSettings, notes: Notes) -> list[int]:
    """The season lengths of the settings, else the usual ones that the data shows three times.

    Args:
        longest: Rows of the longest series.
        frequency: Of the grid.
        settings: Hold the season lengths, if they are set.
        notes: Receives where there is no season.

    Raises:
        ConfigError: One of the settings is too long for the data.
    """
    if settings.season_lengths is None:
        return _usual_seasons(frequency, longest, notes)
    for length in settings.season_lengths:
        if 2 * length > longest:
            raise ConfigError(
                f"training.season_lengths: {length} needs {2 * length} rows of a series, found {longest};"
                " allowed: shorter ones"
            )
    return list(dict.fromkeys(settings.season_lengths))


def _usual_seasons(frequency: str, longest: int, notes: Notes) -> list[int]:
    """The usual seasons that the longest series shows; a finding says where there is none, or none exact."""
    usual, year = usual_seasons(frequency), round(steps_a_year(frequency))
    shown = [length for length in usual if 3 * length <= longest]
    if shown or year <= 1:
        return shown or [1]
    allowed = "allowed: training.season_lengths"
    if usual:
        needed = f"the season of {usual[0]} needs {3 * usual[0]} rows of a series, found {longest}"
        notes.add("season", f"{needed}: none is taken; {allowed}")
    elif year <= _DAYS_OF_A_YEAR and 3 * year <= longest:
        notes.add("season", f"a year has no whole number of steps of {frequency}: {year} is taken; {allowed}")
        return [year]
    else:
        notes.add("season", f"no season of {frequency} is known: none is taken; {allowed}")
    return [1]
