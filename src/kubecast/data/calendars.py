"""Frequencies: what is known by their text, found in timestamps, and how many steps a week or a year has.

A frequency is a pandas offset alias, or ``C-`` with the open weekdays of a week that has closed ones:
``C-MON-TUE-WED-THU-FRI-SAT``.
"""

import re
import warnings
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.frequencies import to_offset
from pandas.tseries.offsets import (
    BaseOffset,
    BMonthBegin,
    BMonthEnd,
    BusinessDay,
    CustomBusinessDay,
    MonthBegin,
    MonthEnd,
    SemiMonthBegin,
    SemiMonthEnd,
    Tick,
    Week,
)
from utilsforecast.processing import offset_times, time_ranges

from kubecast.errors import ConfigError

WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_OPEN_DAYS = re.compile(rf"C((?:-(?:{'|'.join(WEEKDAYS)}))+)")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_YEAR = 365.2425 * _DAY
_MONTHLY: tuple[tuple[BaseOffset, str], ...] = (
    (MonthBegin(), "MS"),
    (MonthEnd(), "ME"),
    (BMonthBegin(), "BMS"),
    (BMonthEnd(), "BME"),
)
_SHORTEST_MONTH = 28
_WEEKS_SEEN = 4  # a weekday without a row in so many weeks is closed
_STEPS_SEEN = 3  # equal steps of weeks are a frequency from here on


def offset_of(frequency: str) -> BaseOffset:
    """The pandas offset of a frequency; an old spelling such as ``H`` is understood.

    Raises:
        ValueError: It is no frequency.

    >>> offset_of("C-MON-WED").weekmask
    'Mon Wed'
    """
    if match := _OPEN_DAYS.fullmatch(frequency.upper()):
        days = match[1].strip("-").split("-")
        return CustomBusinessDay(weekmask=" ".join(map(str.capitalize, days)))  # type: ignore[call-arg]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return to_offset(frequency)


def known_frequency(text: str) -> str:
    """Return a frequency as it is spelt today.

    Raises:
        ConfigError: It is none, or does not go forward.
    """
    try:
        offset = offset_of(text)
    except ValueError as error:
        raise ConfigError(
            f"training.frequency {text!r} is not known; allowed: a pandas offset alias, e.g. h, 30min, D, MS,"
            " or C- with the open weekdays, e.g. C-MON-TUE-WED-THU-FRI-SAT"
        ) from error
    if offset.n < 1:
        raise ConfigError(f"training.frequency {text!r} does not go forward; allowed: e.g. h, 30min, D, MS")
    return _open_days(open_weekdays(offset)) if _is_custom(offset) else str(offset.freqstr)


def frequency_in(steps: pd.DataFrame) -> str | None:
    """The frequency of timestamps; None where it does not follow from them.

    Args:
        steps: ``ds``, the time of a row, ``next``, that of the next row of its series, which is later, and
            ``rows``, how many rows have these two.
    """
    lengths = (steps["next"] - steps["ds"]).to_numpy()
    step = pd.Timedelta(_most_common(lengths, steps["rows"].to_numpy()))
    days = pd.DatetimeIndex(np.unique(np.concatenate([steps["ds"], steps["next"]])))
    if step == pd.Timedelta(days=1) and (weekdays := _closed_week(days)):
        return weekdays
    if step < pd.Timedelta(days=13):
        return _name(to_offset(step))  # type: ignore[call-overload]
    return _in_months(steps, days) or _in_steps(lengths, int(steps["rows"].sum()), step)


def _most_common(values: NDArray[Any], rows: NDArray[np.int64]) -> Any:
    """The value that most rows have; the first of several."""
    different, at = np.unique(values, return_inverse=True)
    return different[np.argmax(np.bincount(at, rows))]


def _closed_week(days: pd.DatetimeIndex) -> str | None:
    """The open days of a week that has closed ones; ``B`` for Monday to Friday."""
    rows = np.bincount(days.weekday, minlength=7)
    if len(days) >= 10 and not rows[5:].any():
        return "B"
    is_open = rows > 0
    enough = days[-1] - days[0] >= pd.Timedelta(weeks=_WEEKS_SEEN)
    return None if is_open.all() or not enough else _open_days([int(day) for day in np.flatnonzero(is_open)])


def _open_days(weekdays: list[int]) -> str:
    return "-".join(["C", *(WEEKDAYS[day] for day in weekdays)])


def open_weekdays(offset: BaseOffset) -> list[int]:
    """The weekdays, from 0 for Monday, on which an offset by days has steps."""
    if _is_custom(offset):
        named = cast(Any, offset).weekmask.upper().split()
        return [day for day, name in enumerate(WEEKDAYS) if name in named]
    return list(range(5 if isinstance(offset, BusinessDay) else 7))


def _is_custom(offset: BaseOffset) -> bool:
    return isinstance(offset, CustomBusinessDay)


def _in_months(steps: pd.DataFrame, days: pd.DatetimeIndex) -> str | None:
    """A frequency by months, half months, quarters or years on which all the days lie."""
    for offset, alias in (*_MONTHLY, *_half_months(days)):
        if all(offset.is_on_offset(day) for day in days):
            grid = pd.date_range(days[0], days[-1], freq=offset)
            lengths = np.searchsorted(grid, steps["next"]) - np.searchsorted(grid, steps["ds"])
            n = int(_most_common(lengths, steps["rows"].to_numpy()))
            return _by_months(alias, n, days[-1]) if (lengths % n == 0).all() else None
    return None


def _half_months(days: pd.DatetimeIndex) -> list[tuple[BaseOffset, str]]:
    """Half months of which one begins, or ends, on the earliest of the days that lies inside a month."""
    inside = [day for day in np.unique(days.day) if 1 < day < _SHORTEST_MONTH]
    if not inside or len(days) <= _STEPS_SEEN:
        return []
    begin, end = SemiMonthBegin(day_of_month=inside[0]), SemiMonthEnd(day_of_month=inside[0])
    return [(begin, f"SMS-{inside[0]}"), (end, f"SME-{inside[0]}")]


def _by_months(alias: str, n: int, day: pd.Timestamp) -> str:
    """The name of a frequency of ``n`` months, after its quarters or its year where these are anchored."""
    if alias.startswith("S"):
        return _name(offset_of(f"{n}{alias}"))
    month = day.strftime("%b").upper()
    if n % 12 == 0:
        return _name(offset_of(f"{n // 12}{alias.replace('M', 'Y')}-{month}"))
    if n == 3:
        last = ("OCT", "NOV", "DEC")[(day.month - 1) % 3]  # as pandas names quarters
        return _name(offset_of(f"{alias.replace('M', 'Q')}-{last}"))
    return _name(offset_of(f"{n}{alias}"))


def _in_steps(lengths: NDArray[Any], rows: int, step: pd.Timedelta) -> str | None:
    """A fixed step of which all are multiples: 28 days, 13 weeks."""
    if rows < _STEPS_SEEN or (lengths % step.to_timedelta64()).any():
        return None
    return _name(to_offset(step))  # type: ignore[call-overload]


def _name(offset: BaseOffset) -> str:
    return str(offset.freqstr)


def usual_seasons(frequency: str) -> list[int]:
    """The seasons that data of a frequency usually has, in steps, the shortest first.

    >>> usual_seasons("h"), usual_seasons("28D"), usual_seasons("2MS"), usual_seasons("YS")
    ([24, 168], [13], [6], [])
    """
    offset = offset_of(frequency)
    if isinstance(offset, Tick):
        return _seasons_of_tick(offset.nanos / 1e9)
    if isinstance(offset, Week):
        return _whole(52, offset.n)
    if isinstance(offset, BusinessDay | CustomBusinessDay):
        return _whole(len(open_weekdays(offset)), offset.n)
    return _whole(round(steps_a_year(frequency) * offset.n), offset.n)


def _whole(steps: int, n: int) -> list[int]:
    return [steps // n] if steps % n == 0 and steps > n else []


def _seasons_of_tick(step: float) -> list[int]:
    if step < _DAY:
        spans = [_MINUTE, _HOUR] if step < _MINUTE else [_HOUR, _DAY] if step == _MINUTE else [_DAY, 7 * _DAY]
    else:
        spans = [7 * _DAY, 365 * _DAY] if step == _DAY else [364 * _DAY, 365 * _DAY]
    return [int(span // step) for span in spans if span % step == 0 and span > step][:2]


def steps_a_year(frequency: str) -> float:
    """The mean number of steps in a year.

    >>> [round(steps_a_year(each), 1) for each in ("D", "W-SUN", "10D", "BME", "SMS", "YS")]
    [365.2, 52.2, 36.5, 12.0, 24.0, 1.0]
    """
    offset = offset_of(frequency)
    if isinstance(offset, Tick):
        return _YEAR / (offset.nanos / 1e9)
    if isinstance(offset, Week | BusinessDay | CustomBusinessDay):
        days = 1 if isinstance(offset, Week) else len(open_weekdays(offset))
        return _YEAR / (7 * _DAY) * days / offset.n
    years = 336  # whole for steps of up to eight years
    begin = pd.Timestamp(1800, 1, 1)
    return len(pd.date_range(begin, begin + pd.DateOffset(years=years, days=-1), freq=offset)) / years


def steps_after(cutoffs: "pd.Series[Any]", steps: int, frequency: str) -> NDArray[Any]:
    """The grid's next timestamps after each cut-off.

    Args:
        cutoffs: Timestamps on the grid.
        steps: How many after each.
        frequency: Of the grid, see above.

    Returns:
        datetime64[ns] of shape (cut-offs, steps).

    >>> steps_after(pd.Series(pd.to_datetime(["2024-01-31"])), 2, "ME").astype("datetime64[D]").tolist()
    [[datetime.date(2024, 2, 29), datetime.date(2024, 3, 31)]]
    """
    # Series share most of their cut-offs, and calendar steps are slow.
    offset = offset_of(frequency)
    unique, position = np.unique(cutoffs.to_numpy(dtype="datetime64[ns]"), return_inverse=True)
    times = time_ranges(offset_times(pd.Index(unique), offset, 1), offset, steps)
    return np.asarray(times.to_numpy().reshape(len(unique), steps)[position])
