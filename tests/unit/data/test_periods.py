"""Rows brought together in periods: whose day it is, what repeats, what is absent, what is not over."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubecast.data.calendars import offset_of
from kubecast.data.history import history_panel
from kubecast.data.panel import Panel
from kubecast.data.periods import period_bounds, period_labels
from kubecast.data.preparation import build_panel, newest_time
from kubecast.errors import DataError
from tests.support.panels import small_settings

NEW_YORK = "America/New_York"


def settings(frequency: str = "D", **data: Any) -> Any:
    data = {"min_samples": 1, "resample": "sum", **data}
    return small_settings(horizon=2, frequency=frequency, season_lengths=None, data=data)


def lines(days: int = 60) -> pd.DataFrame:
    """Ticket lines, several in a minute, some of them equal; none on the fifth day."""
    random = np.random.default_rng(5)
    dates = pd.date_range("2024-01-01", periods=days).delete(4)
    dates = dates.repeat(6 + 2 * (dates.weekday >= 5))
    minutes = pd.to_timedelta(random.choice([480, 481, 600, 720], len(dates)), "min")
    return pd.DataFrame(
        {"unique_id": "till", "ds": dates + minutes, "y": random.choice([3.5, 5.0], len(dates))}
    )


def hourly_of(zone: str, hours: int = 24 * 60) -> pd.DataFrame:
    ds = pd.date_range("2024-02-20", periods=hours, freq="h", tz=zone)
    return pd.DataFrame({"unique_id": "s", "ds": ds, "y": np.where(ds.hour >= 18, 10.0 + ds.dayofweek, 1.0)})


def daily_sums(rows: pd.DataFrame) -> "pd.Series[float]":
    return rows.groupby(rows["ds"].dt.tz_localize(None).dt.normalize())["y"].sum()


def targets(panel: Panel) -> "pd.Series[float]":
    observed = panel.frame[panel.frame["observed"]]
    return observed.set_index("ds")["y"]


def found(panel: Panel, what: str) -> list[str]:
    return [finding.detail for finding in panel.report.findings if finding.what == what]


def test_equal_lines_of_one_minute_are_added_up_and_not_left_out() -> None:
    rows = lines().assign(y=1.0)
    assert rows.duplicated().any()
    visits = targets(build_panel(rows, settings()))
    assert visits.tolist() == [6.0 + 2.0 * (day.weekday() >= 5) for day in visits.index]


@pytest.mark.parametrize("how", ["sum", "mean", "last"])
def test_lines_that_have_dates_alone_are_brought_together_too(how: str) -> None:
    rows = lines()
    days = rows["ds"].dt.normalize()
    expected = rows.groupby(days)["y"].agg(how)
    found_sums = targets(build_panel(rows.assign(ds=days.dt.date.astype(str)), settings(resample=how)))
    pd.testing.assert_series_equal(found_sums, expected, check_names=False, check_freq=False)


def test_step_without_a_row_is_missing_or_zero_as_the_settings_say() -> None:
    closed = pd.Timestamp("2024-01-05")
    assert closed not in targets(build_panel(lines(), settings())).index
    assert targets(build_panel(lines(), settings(empty="zero")))[closed] == 0
    gap = lines().loc[lambda rows: ~rows["ds"].dt.month.eq(2) | (rows["ds"].dt.day > 25)]
    with pytest.raises(DataError, match=r"training.data.max_gap = 21, or training.data.empty: zero"):
        build_panel(gap, settings())
    assert (targets(build_panel(gap, settings(empty="zero"))) == 0).sum() == 26


def test_value_that_is_given_as_empty_stays_missing() -> None:
    rows = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=60), "y": 1.0 + np.arange(60) % 7})
    rows.loc[30, "y"] = np.nan
    panel = build_panel(rows.drop(index=20), settings(resample=None, empty="zero"))
    assert panel.frame.loc[panel.frame["y"] == 0, "ds"].tolist() == [pd.Timestamp("2024-01-21")]
    assert panel.frame.loc[~panel.frame["observed"], "ds"].tolist() == [pd.Timestamp("2024-01-31")]


@pytest.mark.parametrize("zone", [NEW_YORK, "Asia/Kolkata", "Pacific/Auckland", "UTC"])
@pytest.mark.parametrize("written", ["zone", "offsets", "clock"])
def test_days_are_those_of_the_local_clock_however_it_is_written(zone: str, written: str) -> None:
    rows = hourly_of(zone)
    text = {
        "zone": rows["ds"],
        "offsets": rows["ds"].map(pd.Timestamp.isoformat),
        "clock": rows["ds"].dt.tz_localize(None),
    }[written]
    panel = build_panel(rows.assign(ds=text), settings(timezone=zone if written == "clock" else None))
    sums = daily_sums(rows)
    whole = (
        sums[:-1] if zone in (NEW_YORK, "Pacific/Auckland") else sums
    )  # a clock change moves the last hour
    pd.testing.assert_series_equal(targets(panel), whole, check_names=False, check_freq=False)
    assert panel.spec.timezone is None


@pytest.mark.parametrize(
    ("frequency", "first", "last", "labels"),
    [
        ("D", "2024-03-04 00:00", "2024-06-09 23:00", ("2024-03-04", "2024-06-09")),
        ("D", "2024-03-04 05:00", "2024-06-09 22:00", ("2024-03-05", "2024-06-08")),
        ("W-SUN", "2024-03-04 00:00", "2024-06-09 23:00", ("2024-03-10", "2024-06-09")),
        ("W-SUN", "2024-03-04 01:00", "2024-06-09 12:00", ("2024-03-17", "2024-06-02")),
        ("7D", "2024-03-04 00:00", "2024-06-08 23:00", ("2024-03-04", "2024-05-27")),
        ("MS", "2022-03-01 00:00", "2024-06-30 23:00", ("2022-03-01", "2024-06-01")),
        ("MS", "2022-03-02 00:00", "2024-06-30 22:00", ("2022-04-01", "2024-05-01")),
        ("ME", "2022-03-01 00:00", "2024-06-30 23:00", ("2022-03-31", "2024-06-30")),
        ("ME", "2022-03-01 01:00", "2024-06-30 22:00", ("2022-04-30", "2024-05-31")),
        ("SME-15", "2022-03-15 00:00", "2024-06-20 22:00", ("2022-03-15", "2024-05-31")),
        ("QE-DEC", "2020-01-01 00:00", "2024-06-30 22:00", ("2020-03-31", "2024-03-31")),
    ],
)
def test_period_that_is_begun_or_not_over_is_left_out_and_forecast(
    frequency: str, first: str, last: str, labels: tuple[str, str]
) -> None:
    ds = pd.date_range(first, last, freq="h")
    rows = pd.DataFrame({"ds": ds, "y": 1.0 + (ds.dayofyear % 5)})
    panel = build_panel(rows, settings(frequency))
    times = targets(panel).index
    assert (times[0], times[-1]) == tuple(map(pd.Timestamp, labels))
    assert len(found(panel, "partial")) == (first[-5:] != "00:00") + (last[-5:] != "23:00") + (
        (frequency, last) == ("7D", "2024-06-08 23:00")
    ) + ((frequency, first) == ("MS", "2022-03-02 00:00"))
    assert panel.grid(panel.ends)["ds"].iloc[0] > times[-1]


@pytest.mark.parametrize(("empty", "last"), [("missing", "2024-03-03"), ("zero", "2024-03-10")])
def test_a_series_that_stops_before_the_others_has_no_sum_of_half_a_week(empty: str, last: str) -> None:
    days = pd.date_range("2023-10-02", "2024-04-07")
    rows = pd.concat([pd.DataFrame({"unique_id": name, "ds": days, "y": days.day}) for name in "ab"])
    rows = rows[(rows["unique_id"] == "a") | (rows["ds"] <= "2024-03-06")]  # a Wednesday
    panel = build_panel(rows, settings("W-SUN", empty=empty))
    ends = panel.frame.groupby("unique_id")["ds"].max()
    assert (ends["a"], ends["b"]) == (pd.Timestamp("2024-04-07"), pd.Timestamp(last))


@pytest.mark.parametrize(
    ("last", "on_saturdays", "newest"),
    [
        ("2024-03-08 19:00", 19, "2024-03-08"),
        ("2024-03-08 17:00", 19, "2024-03-07"),
        ("2024-03-09 15:00", 15, "2024-03-09"),
    ],
)
def test_a_day_is_over_when_the_shop_closes(last: str, on_saturdays: int, newest: str) -> None:
    hours = pd.date_range("2024-01-01", last, freq="h")
    closes = np.where(hours.weekday == 5, on_saturdays, 19)
    rows = pd.DataFrame({"ds": hours, "y": hours.day})[(hours.hour >= 8) & (hours.hour <= closes)]
    days = build_panel(rows, settings()).frame["ds"]
    assert (days.min(), days.max()) == (pd.Timestamp("2024-01-01"), pd.Timestamp(newest))


def test_a_week_is_over_before_its_closed_day() -> None:
    days = pd.date_range("2023-10-02", "2024-03-09")  # a Saturday
    rows = pd.DataFrame({"ds": days, "y": days.day})[days.weekday != 6]
    assert build_panel(rows, settings("W-SUN")).frame["ds"].max() == pd.Timestamp("2024-03-10")
    friday = rows[rows["ds"] < "2024-03-09"]
    assert build_panel(friday, settings("W-SUN")).frame["ds"].max() == pd.Timestamp("2024-03-03")


PERIODS = [
    *("D", "2D", "7D", "B", "C-MON-TUE-WED-THU-FRI-SAT", "C-MON-SUN", "W-SUN", "W-WED", "2W-SAT"),
    *("MS", "ME", "2MS", "BMS", "BME", "SMS-15", "SME-15", "SMS-10"),
    *("QS-OCT", "QE-NOV", "BQE-DEC", "YS-JUL", "YE-DEC"),
]


@pytest.mark.parametrize("frequency", PERIODS)
@pytest.mark.parametrize("begin", ["2023-01-01", "2023-03-15 07:00"])
def test_every_row_lies_in_the_period_that_it_is_brought_to(frequency: str, begin: str) -> None:
    rows = pd.DataFrame({"ds": pd.date_range(begin, periods=24 * 700, freq="h")})
    label = period_labels(rows["ds"], frequency, rows["ds"].min())
    labels = rows.groupby(label)["ds"].agg(["min", "max"])
    start, end = period_bounds(labels.index.to_series(), frequency)
    assert (start <= labels["min"]).all()
    assert (labels["max"] < end).all()
    assert (end[:-1] <= start[1:]).all()
    times = pd.date_range(labels.index[0], labels.index[-1], freq=offset_of(frequency))
    assert labels.index.isin(times).all()


def test_period_is_over_where_rows_come_at_no_regular_step() -> None:
    rows = lines()
    assert targets(build_panel(rows, settings())).sum() == rows["y"].sum()
    assert not found(build_panel(rows, settings()), "partial")


def test_scoring_leaves_the_unfinished_day_out_as_training_does() -> None:
    rows = hourly_of(NEW_YORK)
    spec = build_panel(rows, settings()).spec
    later = hourly_of(NEW_YORK, hours=24 * 65 + 5)
    panel = history_panel(later, settings(), spec)
    ends = panel.ends.frame["cutoff"].iloc[0]
    assert ends == later["ds"].iloc[-1].tz_localize(None).normalize() - pd.Timedelta(days=1)
    earlier = history_panel(later, settings(), spec, as_of=ends)
    assert earlier.frame["ds"].max() < ends


def test_zeros_end_with_the_targets_where_covariates_are_known_beyond_them() -> None:
    days = pd.date_range("2024-01-01", periods=70)
    rows = pd.DataFrame({"ds": days, "y": 1.0 + np.arange(70) % 7, "price": 1.0})
    rows.loc[60:, "y"] = np.nan
    changes = {"resample": None, "empty": "zero", "covariates": {"future": ["price"]}}
    panel = build_panel(rows.drop(index=[30, 62]), settings(**changes))
    assert panel.frame["ds"].iloc[-1] == days[59]
    assert panel.frame.loc[panel.frame["y"] == 0, "ds"].tolist() == [days[30]]
    earlier = build_panel(rows.drop(index=[30, 50]), settings(**changes), as_of=days[45])
    assert earlier.frame["ds"].iloc[-1] == days[45]


def test_equal_lines_are_added_up_beside_a_file_of_future_covariates() -> None:
    table = lines().assign(price=1.0)
    data = {"covariates": {"future": ["price"]}}
    spec = build_panel(table, settings(**data)).spec
    ahead = pd.DataFrame({"unique_id": "till", "ds": pd.date_range("2024-02-28", periods=9), "price": 2.0})
    panel = history_panel(table, settings(**data), spec, future=ahead)
    assert targets(panel).sum() == table["y"].sum()


def test_offset_of_a_format_is_read() -> None:
    rows = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=60), "y": 1.0 + np.arange(60) % 7})
    text = rows["ds"].dt.strftime("%d/%m/%Y %H:%M+0000")
    panel = build_panel(rows.assign(ds=text), settings(resample=None, timestamp_format="%d/%m/%Y %H:%M%z"))
    assert panel.frame["ds"].tolist() == rows["ds"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Pacific/Auckland", "UTC"])
@pytest.mark.parametrize("written", ["zone", "offsets", "clock"])
def test_moment_in_utc_hides_every_later_row_on_whatever_clock_it_is_written(zone: str, written: str) -> None:
    rows = hourly_of(zone)
    moment = rows["ds"].iloc[-30].tz_convert("UTC").tz_localize(None)
    late = rows["ds"].dt.tz_convert("UTC").dt.tz_localize(None) > moment
    text = {
        "zone": rows["ds"],
        "offsets": rows["ds"].map(pd.Timestamp.isoformat),
        "clock": rows["ds"].dt.tz_localize(None),
    }[written]
    given = settings(timezone=zone if written == "clock" else None)
    rows = rows.assign(ds=text)
    altered = rows.assign(y=rows["y"].where(~late, 1e6))
    spec = build_panel(rows, given).spec
    seen, other, cut = (
        targets(history_panel(table, given, spec, as_of=moment)) for table in (rows, altered, rows[~late])
    )
    pd.testing.assert_series_equal(seen, other)
    pd.testing.assert_series_equal(seen, targets(history_panel(rows[~late], given, spec)))
    pd.testing.assert_series_equal(seen, cut)
    newest = newest_time(lambda: iter([rows]), given, moment)
    pd.testing.assert_series_equal(seen, targets(build_panel(rows, given, as_of=newest)))
    assert seen.max() < 1e6
