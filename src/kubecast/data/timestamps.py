"""Timestamps as they stand in files, read as UTC."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.config.training import TrainingSettings
from kubecast.data.time_formats import Where, read_local_times, read_times
from kubecast.errors import ConfigError, DataError


@dataclass(frozen=True)
class Timestamps:
    """Timestamps without a zone.

    Attributes:
        values: In UTC where the zone is known, else as written; datetime64[ns], shape (rows,).
        zone: The zone they came from; None where they are as written.
        note: What the user should know about them; may be empty.
        day_zone: The zone whose days they are, where they stay on its clock.
    """

    values: NDArray[Any]
    zone: str | None
    note: str = ""
    day_zone: str | None = None


@dataclass(frozen=True)
class Days:
    """Whether timestamps are those of days or longer steps.

    Attributes:
        are_local: Whether they stay on the local clock, as days do; None: follows from the values.
        are_named: Whether those that do name days, whatever zone stands beside them; None: follows too.
    """

    are_local: bool | None = None
    are_named: bool | None = None


FROM_VALUES = Days()


def parse_timestamps(
    column: "pd.Series[Any]",
    codes: NDArray[np.integer[Any]],
    settings: TrainingSettings,
    where: Where,
    *,
    days: Days = FROM_VALUES,
    ordered: bool = True,
) -> Timestamps:
    """Read a column of timestamps: text, or already of a datetime type.

    Daily and coarser data, which stand at one time of day on the local clock, stay on that clock: in UTC a
    day at a clock change would have 23 or 25 hours.

    Args:
        column: ISO 8601 unless ``training.data.timestamp_format`` says otherwise.
        codes: Each row's series, in the file's order.
        settings: Format and zone.
        where: Names the rows of a mask.
        days: Whether the data is daily or coarser.
        ordered: Whether the order of the rows is that of the source.

    Raises:
        DataError: A timestamp cannot be read, or some have a zone and others not.
        ConfigError: The format or the zone is not known.
    """
    zone, pattern = _known_zone(settings.data.timezone), settings.data.timestamp_format
    times = read_times(column, pattern, where)
    if times.tz is None and zone is None:
        return Timestamps(_nanoseconds(times), None)
    if zone is None and pattern is None and days.are_local is not False:
        written = read_local_times(column, where)
        if written is not None and (days.are_local or _is_one(_times_of_day(written), written)):
            return Timestamps(_nanoseconds(written), None, "ds stays on the clock of its offsets")
    name, local = _on_clock(times, settings)
    if _is_one(_times_of_day(local), local) if days.are_local is None else days.are_local:
        own = times.tz_localize(None)
        if _name_days(own) if days.are_named is None else days.are_named:
            local = own
        note = f"ds stays on the clock of {name}: days and longer steps are local ones"
        return Timestamps(_nanoseconds(local), None, note if name != "UTC" else "", name)
    if times.tz is None:
        if not ordered:
            _refuse_doubled(times, codes, name, where)
        return Timestamps(_to_utc(times, codes, name, where), name)
    return Timestamps(_nanoseconds(times.tz_convert("UTC").tz_localize(None)), name)


def zone_name(zone: tzinfo) -> str:
    """The name of a zone, by which pandas finds it: of a place, UTC, or an offset.

    >>> zone_name(ZoneInfo("Europe/Berlin")), zone_name(pd.Timestamp("2024-01-01T12+05:30").tz)
    ('Europe/Berlin', '+05:30')
    """
    name = getattr(zone, "zone", None) or getattr(zone, "key", None)  # of pytz, of zoneinfo
    return str(name or ("UTC" if zone == UTC else datetime(2000, 1, 1, tzinfo=zone).isoformat()[19:]))


def days_in(columns: Iterable["pd.Series[Any]"], settings: TrainingSettings) -> Days:
    """What follows from the values of a column that comes in blocks.

    Args:
        columns: Each of one datetime type.
        settings: Zone.

    Raises:
        ConfigError: The zone is not known.
    """
    _known_zone(settings.data.timezone)
    clocks: set[np.timedelta64] = set()
    ends: list[pd.Timestamp] = []
    are_named = True
    for column in columns:
        times = pd.DatetimeIndex(column)
        _, local = _on_clock(times, settings)
        clocks.update(_times_of_day(local)[:2])  # a second one is enough to know that they differ
        ends += [local.min(), local.max()]
        are_named = are_named and _name_days(times.tz_localize(None))
    return Days(len(clocks) == 1 and min(ends) < max(ends), are_named)


def _on_clock(times: pd.DatetimeIndex, settings: TrainingSettings) -> tuple[str, pd.DatetimeIndex]:
    """The zone of the settings, else of the times, and the times on its clock."""
    name = settings.data.timezone or zone_name(times.tz or UTC)
    return name, times if times.tz is None else times.tz_convert(name).tz_localize(None)


def _times_of_day(local: pd.DatetimeIndex) -> NDArray[Any]:
    """The different ones."""
    return np.unique((local - local.normalize()).to_numpy())


def _is_one(times_of_day: NDArray[Any], local: pd.DatetimeIndex) -> bool:
    return len(times_of_day) == 1 and local.min() < local.max()


def _name_days(own: pd.DatetimeIndex) -> bool:
    return bool((own == own.normalize()).all())


def parse_time(text: str, what: str) -> pd.Timestamp:
    """Read one moment, e.g. ``as_of``; without a zone it is UTC.

    Returns:
        Naive, in UTC.

    Raises:
        ConfigError: It is not an ISO 8601 date or time.
    """
    try:
        if not text.strip()[:1].isdigit():  # pandas reads "now"
            raise ValueError(text)
        moment = pd.to_datetime([text.strip()], format="ISO8601", utc=True)[0]
    except ValueError as error:
        raise ConfigError(f"{what} {text!r}: allowed: an ISO 8601 date or time, e.g. 2026-01-31") from error
    return pd.Timestamp(moment.tz_localize(None))


def _known_zone(name: str | None) -> ZoneInfo | None:
    try:
        return None if name is None else ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(
            f"training.data.timezone {name!r} is not known; allowed: UTC or an IANA name, e.g. Europe/Berlin"
        ) from error


def _nanoseconds(values: pd.DatetimeIndex) -> NDArray[Any]:
    try:
        return values.as_unit("ns").to_numpy()
    except pd.errors.OutOfBoundsDatetime as error:
        raise DataError(f"ds: {error}; allowed: between 1678 and 2262") from error


def _to_utc(local: pd.DatetimeIndex, codes: NDArray[Any], zone: str, where: Where) -> NDArray[Any]:
    """Local clock time to UTC; in a doubled hour the file's order parts the first time from the second."""
    summer, winter = (
        local.tz_localize(zone, ambiguous=np.full(len(local), first), nonexistent="NaT")
        for first in (True, False)
    )
    lost = np.asarray(summer.isna())
    if lost.any():
        at = local[int(np.flatnonzero(lost)[0])]
        raise DataError(f"{where(lost)}: ds {at} does not exist in {zone}; allowed: local times that exist")
    utc = _nanoseconds(summer.tz_convert("UTC").tz_localize(None))
    doubled = np.asarray(summer != winter)
    if doubled.any():
        late = _nanoseconds(winter.tz_convert("UTC").tz_localize(None))
        second = _second_time(local, codes, doubled, where)
        utc = np.where(second, late, utc)
    return utc


def _refuse_doubled(local: pd.DatetimeIndex, codes: NDArray[Any], zone: str, where: Where) -> None:
    """Refuse two rows of one time in an hour that comes twice, where no order tells which came first."""
    summer = local.tz_localize(zone, ambiguous=np.full(len(local), True), nonexistent="NaT")
    winter = local.tz_localize(zone, ambiguous=np.full(len(local), False), nonexistent="NaT")
    twice = pd.DataFrame({"series": codes, "local": local}).duplicated(keep=False).to_numpy()
    unclear = twice & np.asarray(summer != winter) & np.asarray(summer.notna())
    if unclear.any():
        raise DataError(
            f"{where(unclear)}: ds is in an hour that comes twice in {zone}, and rows of folders, tables and"
            " queries have no order; allowed: timestamps with an offset"
        )


def _second_time(
    local: pd.DatetimeIndex, codes: NDArray[Any], doubled: NDArray[np.bool_], where: Where
) -> NDArray[np.bool_]:
    """Rows of a doubled hour that come after the clock went back.

    Within one series and day the clock went back where a local time is not later than the row
    before; a day that is written newest first is read from its end. A single hour is taken as the first.
    The order of the file tells the two apart only where all rows of that day are in order.
    """
    table = pd.DataFrame({"row": np.arange(len(local)), "series": codes, "local": local, "doubled": doubled})
    table["day"] = table["local"].dt.normalize()
    table["newest_first"] = _seconds(table, ["series"]) < 0
    near = table.merge(table.loc[doubled, ["series", "day"]].drop_duplicates(), on=["series", "day"])
    seconds = _seconds(near, ["series", "day"])
    newest_first = (seconds < 0) | ((seconds == 0) & near["newest_first"])
    near["order"] = near["row"].where(~newest_first, -near["row"])
    near = near.sort_values(["series", "day", "order"])
    step = near.groupby(["series", "day"])["local"].diff()
    back = (step < pd.Timedelta(0)) | ((step == pd.Timedelta(0)) & near["doubled"])
    groups = [near["series"], near["day"]]
    turns = back.astype(int).groupby(groups).cumsum()
    inside = near["doubled"] & near.groupby(["series", "day"])["doubled"].shift(fill_value=False)
    disorder = ((back & ~inside) | (turns > 1)).groupby(groups).transform("any")
    twice = (turns > 0).groupby(groups).transform("any")
    unclear = np.zeros(len(local), dtype=bool)
    unclear[near.loc[near["doubled"] & twice & disorder, "row"]] = True
    if unclear.any():
        raise DataError(
            f"{where(unclear)}: ds is in an hour that comes twice, and the rows are not in order; allowed:"
            " rows in order of time, or timestamps with an offset"
        )
    second = np.zeros(len(local), dtype=bool)
    second[near.loc[near["doubled"] & (turns == 1), "row"]] = True
    return second


def _seconds(table: pd.DataFrame, keys: list[str]) -> "pd.Series[float]":
    """By row, from the first row of its group to the last; negative where they are written newest first."""
    times = table.groupby(keys)["local"]
    return (times.transform("last") - times.transform("first")).dt.total_seconds()
