"""The forms in which timestamps are written: ISO 8601, one that the settings name, numbers since 1970."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.errors import ConfigError, DataError

Where = Callable[[NDArray[np.bool_]], str]

EPOCHS: dict[str, Literal["s", "ms"]] = {"epoch seconds": "s", "epoch milliseconds": "ms"}
"""Values of ``training.data.timestamp_format`` for numbers, and pandas' unit."""

OFFSET = r"(Z|[+-]\d\d:?(?:\d\d)?)$"
_TIME = r"[T ]\s*\d[\d:.,\s]*"  # without it the end of 2026-03-31 looks like an offset
_WEEK = r"\d{4}-?W\d\d(?:-?\d)?"  # ISO 8601 week dates, which pandas does not read
_QUARTER = r"\d{4}-?Q[1-4]"
_GUESSES = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 10: "epoch seconds", 13: "epoch milliseconds"}  # by digits


def read_times(column: "pd.Series[Any]", pattern: str | None, where: Where) -> pd.DatetimeIndex:
    """Read timestamps as they are written.

    Args:
        column: Text, whole numbers that are read as their text, or of a datetime type.
        pattern: ``training.data.timestamp_format``; None: ISO 8601.
        where: Names the rows of a mask.

    Returns:
        Without a zone; or in UTC; or with the one offset, or the zone, that all of them have.

    Raises:
        DataError: A timestamp is missing or cannot be read, or some have a zone and others not.
        ConfigError: The format is not one.
    """
    missing = column.isna().to_numpy(dtype=bool)
    if missing.any():
        raise DataError(f"{where(missing)}: ds is empty; allowed: a timestamp in each row")
    if is_datetime(column):
        return pd.DatetimeIndex(column)
    codes, text = _texts(column)  # panels repeat their timestamps
    if pattern in EPOCHS:
        return _since_1970(text, codes, pattern, where)[codes]
    return pd.DatetimeIndex(_from_text(text, codes, pattern, where)[codes])


def read_local_times(column: "pd.Series[Any]", where: Where) -> pd.DatetimeIndex | None:
    """Read ISO 8601 text on the clock of its offsets, which may change; None where it has none."""
    if is_datetime(column):
        return None
    codes, text = _texts(column)
    if not _with_offset(text).any():
        return None
    bare = text.str.replace(OFFSET, "", regex=True)
    return pd.DatetimeIndex(_from_text(bare, codes, None, where)[codes])


def is_datetime(column: "pd.Series[Any]") -> bool:
    """Whether a column is of a datetime type, with or without a zone."""
    return isinstance(column.dtype, np.dtype | pd.DatetimeTZDtype) and column.dtype.kind == "M"


def _texts(column: "pd.Series[Any]") -> tuple[NDArray[np.intp], "pd.Series[str]"]:
    """Each row's place among the different timestamps, and these as text; a whole number has no decimals."""
    codes, names = pd.factorize(column)
    if pd.api.types.is_float_dtype(column) and (np.mod(names, 1) == 0).all():
        names = pd.Index(names).astype(np.int64)
    return codes, pd.Series(pd.Index(names).astype(str)).str.strip()


def _since_1970(
    text: "pd.Series[str]", codes: NDArray[np.intp], pattern: str, where: Where
) -> pd.DatetimeIndex:
    numbers = pd.to_numeric(text, errors="coerce")
    times = pd.to_datetime(numbers, unit=EPOCHS[pattern], utc=True, errors="coerce")
    _refuse_unread(times, text, codes, pattern, where)
    return pd.DatetimeIndex(times)


def _from_text(
    text: "pd.Series[str]", codes: NDArray[np.intp], pattern: str | None, where: Where
) -> pd.DatetimeIndex:
    aware = _aware(text, codes, where) if pattern is None else "%z" in pattern
    try:
        dates = text if pattern else _as_dates(text)
        times = pd.to_datetime(dates, format=pattern or "ISO8601", errors="coerce", utc=aware)
    except ValueError as error:
        raise ConfigError(
            f"training.data.timestamp_format {pattern!r} is not known ({error}); allowed: e.g. %d/%m/%Y, or"
            f" {', '.join(EPOCHS)}"
        ) from error
    if pattern is None:
        times = times.where(text.str[:1].str.isdigit())  # pandas reads "now"
    _refuse_unread(times, text, codes, pattern, where)
    found = pd.DatetimeIndex(times)
    if not aware or pattern is not None:
        return found
    offsets = text.str.extract(OFFSET)[0].unique().tolist()
    return found if len(offsets) > 1 else found.tz_convert(pd.Timestamp(f"2000-01-01T00:00{offsets[0]}").tz)


def _as_dates(text: "pd.Series[str]") -> "pd.Series[str]":
    """Weeks and quarters as the date on which they begin; other text as it is."""
    weeks, quarters = text.str.fullmatch(_WEEK), text.str.fullmatch(_QUARTER)
    if weeks.any():
        text = text.mask(weeks, text[weeks].map(_begin_of_week))
    if quarters.any():
        begins = pd.PeriodIndex(text[quarters], freq="Q").start_time.strftime("%Y-%m-%d")
        text = text.mask(quarters, pd.Series(begins, index=text.index[quarters]))
    return text


def _begin_of_week(text: str) -> str:
    try:
        return datetime.fromisoformat(text).date().isoformat()
    except ValueError:  # week 53 of a year that has 52
        return text


def _aware(text: "pd.Series[str]", codes: NDArray[np.intp], where: Where) -> bool:
    aware = _with_offset(text)
    if aware.any() and not aware.all():
        rows = ~aware[codes]
        first = text[codes[np.flatnonzero(rows)[0]]]
        raise DataError(
            f"{where(rows)}: ds {first[:40]!r} has no time zone and other rows have one; allowed: all or none"
        )
    return bool(aware.any())


def _with_offset(text: "pd.Series[str]") -> NDArray[np.bool_]:
    return text.str.contains(_TIME + OFFSET.replace("(", "(?:", 1)).to_numpy(dtype=bool)


def _refuse_unread(
    times: "pd.Series[Any]",
    text: "pd.Series[str]",
    codes: NDArray[np.intp],
    pattern: str | None,
    where: Where,
) -> None:
    """Name the rows whose text was not read, and the format that it may have."""
    rows = times.isna().to_numpy()[codes]
    if not rows.any():
        return
    first = text[codes[np.flatnonzero(rows)[0]]]
    allowed = f"training.data.timestamp_format {pattern}"
    if pattern is None:
        guess = _GUESSES.get(len(first) if first.isdigit() else 0, "%d/%m/%Y")
        allowed = (
            "ISO 8601, e.g. 2026-01-31T12:00, from 1678 to 2262, or set training.data.timestamp_format, e.g."
            f" {guess}"
        )
    raise DataError(f"{where(rows)}: ds {first[:40]!r} cannot be read; allowed: {allowed}")
