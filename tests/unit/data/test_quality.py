"""Everyday faults of data: each is named, and sound series have none."""

import logging
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from kubecast.data.findings import Finding
from kubecast.data.history import history_panel
from kubecast.data.panel import Panel
from kubecast.data.preparation import build_panel
from tests.support.panels import WITH_COVARIATES, hourly, small_settings

Make = Callable[..., Panel]
FUTURE = {"min_samples": 1, "covariates": {"future": ["x"]}}
PAST = {"min_samples": 1, "covariates": {"past": ["x"]}}


def only(panel: Panel, what: str) -> Finding:
    findings = panel.report.findings
    assert [finding.what for finding in findings] == [what]
    return findings[0]


def changed(rows: pd.DataFrame, first: int, factor: float) -> pd.DataFrame:
    """Multiply the rows of ``s1`` from its row ``first`` on."""
    late = (rows["unique_id"] == "s1") & (rows.groupby("unique_id").cumcount() >= first)
    return rows.assign(y=rows["y"].where(~late, rows["y"] * factor))


@pytest.mark.parametrize(
    ("factor", "what"),
    [(1.6, "level_shift"), (0.4, "level_shift"), (1000, "unit_change"), (1 / 60, "unit_change")],
)
def test_level_that_changed_for_good_is_named(make_panel: Make, factor: float, what: str) -> None:
    finding = only(make_panel(changed(hourly(), 250, factor)), what)
    assert finding.count == 1
    assert finding.detail.startswith("s1: ")
    began = hourly().loc[lambda rows: rows["unique_id"] == "s1", "ds"].iloc[250]
    assert f"what it was from {began} on" in finding.detail


def test_stretch_of_one_value_is_named(make_panel: Make) -> None:
    rows = hourly()
    rows.loc[100:150, "y"] = 97.5
    finding = only(make_panel(rows), "flat")
    assert finding.detail == (
        f"s0: one value for more than 2 seasons, e.g. 51 rows of 97.5 from {rows['ds'][100]} on"
    )


def test_values_that_repeat_often_are_not_flat(make_panel: Make) -> None:
    rows = hourly(series=1, rows=2000)
    rows["y"] = (np.random.default_rng(3).random(len(rows)) < 0.03).astype(float)
    assert "flat" not in {finding.what for finding in make_panel(rows).report.findings}


def test_series_with_the_targets_of_another_is_named(make_panel: Make) -> None:
    rows = hourly(series=2)
    rows = pd.concat([rows, rows[rows["unique_id"] == "s0"].assign(unique_id="copy")])
    finding = only(build_panel(rows.sort_values(["unique_id", "ds"]), small_settings()), "duplicate")
    assert (finding.count, finding.detail) == (1, "copy and s0: the same target at every timestamp")


def test_constant_series_are_no_duplicates(make_panel: Make) -> None:
    rows = pd.concat([hourly(series=1), *(hourly(series=1).assign(unique_id=name, y=5.0) for name in "ab")])
    whats = [finding.what for finding in make_panel(rows.sort_values(["unique_id", "ds"])).report.findings]
    assert "duplicate" not in whats


@pytest.mark.parametrize("lead", [0, 1, 6])
@pytest.mark.parametrize("function", [lambda y: y, lambda y: 3 - 2 * y, np.log])
def test_covariate_that_is_the_target_is_named(
    make_panel: Make, lead: int, function: Callable[["pd.Series[float]"], "pd.Series[float]"]
) -> None:
    rows = hourly()
    later = function(rows["y"]).groupby(rows["unique_id"]).shift(-lead)
    finding = only(make_panel(rows.assign(x=later.ffill()), data=PAST), "leak")
    when = f"{lead} steps later" if lead else "at the same time"
    assert finding.detail == f"x moves as the target does {when}: is it known before the target is?"


def test_lags_of_the_target_and_what_drives_it_are_no_leak(make_panel: Make) -> None:
    rows = hourly()
    for x in (
        rows.groupby("unique_id")["y"].shift(1).bfill(),
        rows["y"] * np.random.default_rng(0).normal(1, 0.03, len(rows)),
    ):
        assert make_panel(rows.assign(x=x), data=PAST).report.findings == []


def with_future(values: float) -> pd.DataFrame:
    rows = hourly(series=1).assign(x=np.arange(400) % 7 * 1.0)
    ahead = pd.DataFrame(
        {
            "unique_id": "s0",
            "ds": pd.date_range(rows["ds"].iloc[-1], periods=7, freq="h")[1:],
            "x": np.arange(6) * values,
        }
    )
    return pd.concat([rows, ahead])


def test_covariate_that_is_constant_in_the_future_alone_is_named(make_panel: Make) -> None:
    assert make_panel(with_future(1.0), data=FUTURE).report.findings == []
    finding = only(make_panel(with_future(0.0), data=FUTURE), "constant_future")
    assert finding.detail == "x of s0: one value in all rows after the target's last, never so long before"


def test_forecast_warns_of_a_constant_future(make_panel: Make, caplog: pytest.LogCaptureFixture) -> None:
    panel, rows = make_panel(with_future(1.0), data=FUTURE), with_future(0.0)
    settings = small_settings(data=FUTURE)
    with caplog.at_level(logging.WARNING, "kubecast"):
        history_panel(rows[:400], settings, panel.spec, future=rows[400:].drop(columns="y"))
    assert "constant future: x of s0" in caplog.text


def test_covariate_that_is_often_constant_may_be(make_panel: Make) -> None:
    rows = with_future(0.0)
    rows["x"] = (np.arange(len(rows)) == 50).astype(float)
    assert make_panel(rows, data=FUTURE).report.findings == []


def test_sound_series_have_no_finding(make_panel: Make) -> None:
    assert make_panel(hourly(covariates=True), data=WITH_COVARIATES).report.findings == []


def daily(closed: dict[str, int | None], weeks: int = 30) -> pd.DataFrame:
    """Days of series that each have no row on one weekday from Monday = 0, or on none."""
    ds = pd.date_range("2024-01-01", periods=7 * weeks)
    tables = []
    for number, (name, day) in enumerate(closed.items()):
        noise = np.random.default_rng(number).normal(size=len(ds))
        table = pd.DataFrame({"unique_id": name, "ds": ds, "y": 100 + 10.0 * ds.dayofweek + noise})
        tables.append(table[ds.dayofweek != day])
    return pd.concat(tables, ignore_index=True)


def daily_panel(rows: pd.DataFrame, frequency: str | None = "D", **data: object) -> Panel:
    settings = small_settings(
        horizon=7, frequency=frequency, season_lengths=None, data={"min_samples": 1, **data}
    )
    return build_panel(rows, settings)


def closed_days(panel: Panel) -> list[str]:
    return [finding.detail for finding in panel.report.findings if finding.what == "closed_days"]


SIX_DAYS = "C-MON-TUE-WED-THU-FRI-SAT"
RESAMPLE = "with training.data.resample where rows stand on closed days"


def with_sundays(rows: pd.DataFrame, y: float, count: int) -> pd.DataFrame:
    sundays = pd.date_range("2024-01-07", periods=count, freq="7D")
    return pd.concat([rows, pd.DataFrame({"unique_id": "a", "ds": sundays, "y": y})], ignore_index=True)


@pytest.mark.parametrize(
    ("y", "count"), [(0.0, 0), (9.0, 1), (np.nan, 25)], ids=["no row", "open once", "rows without a target"]
)
def test_weekday_with_hardly_a_target_is_named_and_its_remedy_works(y: float, count: int) -> None:
    rows = with_sundays(daily({"a": 6, "b": 6}), y, count)
    frequency = None if count else "D"  # one row is enough for a step of a day
    (detail,) = closed_days(daily_panel(rows, frequency))
    assert detail == f"hardly a target on SUN; allowed: training.frequency: {SIX_DAYS}, {RESAMPLE}"
    panel = daily_panel(rows, SIX_DAYS, resample="sum" if count else None)
    assert not closed_days(panel)
    assert set(panel.frame["ds"].dt.dayofweek) == set(range(6))


def test_one_open_weekday_is_a_week() -> None:
    rows = daily({"a": None}, weeks=60).loc[lambda rows: rows["ds"].dt.dayofweek == 2]
    (detail,) = closed_days(daily_panel(rows, "D", max_missing=0.9, max_gap=10))
    assert f"allowed: training.frequency: W-WED, {RESAMPLE}" in detail
    assert len(daily_panel(rows, "W-WED").frame) == 60


def test_short_and_sparse_series_leave_the_others_their_remedy() -> None:
    closed, other = daily({f"s{number}": 6 for number in range(12)}), daily({"z": None})
    sparse = other[(other.index % 7 == 6) | (other.index % 5 == 0)]
    for rows in (other.head(7), sparse):
        found = closed_days(daily_panel(pd.concat([closed, rows]), max_missing=0.9, max_gap=20))
        (detail,) = found
        assert detail == (
            "hardly a target on SUN (but some of z: too short or sparse to tell); allowed:"
            f" training.frequency: {SIX_DAYS}, {RESAMPLE}"
        )


@pytest.mark.parametrize("share", [0.08, 0.4])
def test_closed_series_among_sparse_ones_does_not_close_their_day(share: float) -> None:
    sparse = daily({f"s{number}": None for number in range(9)})
    kept = sparse[np.random.default_rng(1).random(len(sparse)) < share]
    rows = pd.concat([kept, daily({"z": 6})])
    (detail,) = closed_days(daily_panel(rows, max_missing=0.95, max_gap=400))
    assert detail.startswith("z: hardly a target on one weekday or more, e.g. SUN, on which other series")


def test_long_closed_series_does_not_close_the_day_of_many_new_ones() -> None:
    new = daily({f"n{number}": None for number in range(3)}, weeks=3)
    new["ds"] += pd.Timedelta(weeks=101)
    (detail,) = closed_days(daily_panel(pd.concat([daily({"a": 6}, weeks=104), new])))
    assert detail.startswith("a: hardly a target on one weekday or more, e.g. SUN, on which other series")


@pytest.mark.parametrize("names", ["a", "abc"])
def test_day_that_is_rarely_open_is_closed_also_where_others_miss_targets(names: str) -> None:
    rows = daily(dict.fromkeys(names), weeks=100)
    sunday, kept = rows["ds"].dt.dayofweek == 6, np.random.default_rng(1).random(len(rows)) < 0.65
    kept[sunday] = (rows.loc[sunday, "ds"].dt.dayofyear // 7 % 13 == 0).to_numpy()
    (detail,) = closed_days(daily_panel(rows[kept], max_missing=0.9, max_gap=40))
    assert detail.startswith("hardly a target on SUN;")


def test_days_of_one_series_are_named_beside_those_of_all() -> None:
    rows = daily({"a": 6, "b": 6, "c": 6})
    rows = rows[(rows["unique_id"] != "c") | (rows["ds"].dt.dayofweek != 0)]
    shared, own = closed_days(daily_panel(rows))
    assert shared.startswith("hardly a target on SUN;")
    assert own.startswith("c: hardly a target on one weekday or more, e.g. MON,")


def test_open_series_among_many_closed_ones_keeps_its_day() -> None:
    rows = daily({**{f"s{number}": 6 for number in range(19)}, "z": None})
    (detail,) = closed_days(daily_panel(rows))
    assert "on which other series have theirs; allowed: training.data.empty: zero" in detail


def test_series_closed_on_weekdays_of_their_own_are_named_and_the_remedy_works() -> None:
    rows = daily({"a": 0, "b": 6, "c": None})
    (detail,) = closed_days(daily_panel(rows))
    assert detail.startswith("a, b: hardly a target on one weekday or more, e.g. MON, on which other series")
    panel = daily_panel(rows, empty="zero")
    assert not closed_days(panel)
    assert panel.frame["observed"].all()


@pytest.mark.parametrize("frequency", ["D", None])
def test_days_that_are_open_or_missing_at_random_are_not_closed(frequency: str | None) -> None:
    rows = daily({"a": None, "b": None})
    assert not closed_days(daily_panel(rows, frequency))
    kept = np.random.default_rng(1).random(len(rows)) < 0.1
    kept[[0, len(rows) // 2 - 1, len(rows) // 2, -1]] = True
    sparse = daily_panel(rows[kept], "D", max_missing=0.95, max_gap=200)
    assert not closed_days(sparse)
