from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubecast.data.files import read_data
from kubecast.data.history import history_panel
from kubecast.data.panel import Panel
from kubecast.data.preparation import build_panel, newest_time
from kubecast.errors import ConfigError, DataError
from tests.support.panels import WITH_COVARIATES, hourly, small_settings
from tests.unit.data.preparing import data, findings

Make = Callable[..., Panel]


def test_clean_rows_give_a_panel_without_findings(panel: Panel) -> None:
    assert panel.report.findings == []
    assert (panel.report.rows, panel.report.series) == (len(panel.frame), 3)
    assert list(panel.frame.columns) == ["unique_id", "ds", "y", "observed"]
    assert panel.frame["unique_id"].dtype == object


def test_shuffled_rows_with_duplicates_give_the_same_panel(panel: Panel) -> None:
    rows = pd.concat([hourly(), hourly().sample(50, random_state=1)]).sample(frac=1, random_state=2)
    again = build_panel(rows, small_settings())
    pd.testing.assert_frame_equal(again.frame, panel.frame)
    pd.testing.assert_frame_equal(again.origins, panel.origins)
    assert set(findings(again)) == {"sorted", "deduplicated"}


def test_series_without_any_target_is_left_out_and_reported(make_panel: Make) -> None:
    rows = hourly(series=3)
    rows.loc[rows["unique_id"] == "s1", "y"] = np.nan
    panel = make_panel(rows)
    assert findings(panel)["left_out"] == ["s1"]
    assert (
        list(panel.ids) == list(panel.series["unique_id"]) == list(panel.static["unique_id"]) == ["s0", "s2"]
    )


def test_target_that_begins_late_or_ends_early_is_cut_there(make_panel: Make) -> None:
    rows = hourly(series=1)
    rows.loc[rows.index[[0, 1, 2, -1]], "y"] = np.nan
    panel = make_panel(rows)
    assert len(panel.frame) == 396
    assert panel.frame["observed"].all()
    assert panel.future_covariates.empty


def test_missing_rows_and_targets_are_unobserved_and_counted(make_panel: Make) -> None:
    rows = hourly(series=2)
    rows.loc[10:12, "y"] = np.nan
    panel = make_panel(rows.drop(index=[13, 14, 50]))
    findings = [finding for finding in panel.report.findings if finding.what == "missing"]
    assert [(finding.series, finding.count) for finding in findings] == [("s0", 6)]
    assert "5 of them in one gap" in findings[0].detail
    assert panel.frame["y"].isna().sum() == (~panel.frame["observed"]).sum() == 6


def test_intermittent_series_is_reported(make_panel: Make) -> None:
    rows = hourly(series=2)
    rows.loc[(rows["unique_id"] == "s1") & (np.arange(len(rows)) % 3 > 0), "y"] = 0.0
    assert findings(make_panel(rows))["intermittent"] == ["s1"]


def test_past_covariates_are_filled_from_the_past_alone(make_panel: Make) -> None:
    rows = hourly(series=1, covariates=True)
    expected = rows["visitors"].to_numpy().copy()
    rows.loc[[0, 1, 7], "visitors"] = np.nan
    rows.loc[[0, 5], "promotion"] = np.nan
    frame = make_panel(rows, data=WITH_COVARIATES).frame
    np.testing.assert_array_equal(frame["visitors"].head(8), [0, 0, *expected[2:7], expected[6]])
    assert frame["promotion"][0] == rows["promotion"][1]
    assert frame["promotion"][5] == rows["promotion"][4]


def test_static_covariate_has_one_value_for_each_series(make_panel: Make) -> None:
    rows = hourly(series=2, covariates=True)
    rows.loc[3, "region"] = None
    panel = make_panel(rows.drop(index=[10]), data=WITH_COVARIATES)
    assert panel.static["region"].tolist() == ["r0", "r1"]
    rows.loc[3:80, "region"] = "r7"
    with pytest.raises(DataError, match="series s0: static covariate region has 2 values; allowed: one"):
        make_panel(rows, data=WITH_COVARIATES)


def test_rows_after_as_of_change_nothing() -> None:
    moment = pd.Timestamp("2024-01-15T12:00")
    rows = hourly()
    expected = build_panel(rows[rows["ds"] <= moment], small_settings())
    rows.loc[rows["ds"] > moment, "y"] *= 7
    panel = build_panel(rows, small_settings(), as_of=moment)
    pd.testing.assert_frame_equal(panel.frame, expected.frame)
    pd.testing.assert_frame_equal(panel.series, expected.series)
    assert panel.report == expected.report


def test_known_future_covariates_are_seen_after_as_of() -> None:
    moment = pd.Timestamp("2024-01-15T12:00")
    rows = hourly(covariates=True)
    panel = build_panel(rows, small_settings(data=WITH_COVARIATES), as_of=moment)
    assert panel.frame["ds"].max() == moment
    assert len(panel.future(panel.ends)) == 18
    assert set(panel.future_covariates.columns) == {"unique_id", "ds", "promotion"}


def test_as_of_before_all_rows_is_refused() -> None:
    with pytest.raises(DataError, match="no row is at or before as_of 2020-01-01"):
        build_panel(hourly(), small_settings(), as_of=pd.Timestamp("2020-01-01"))


def test_newest_time_is_that_of_the_last_row_at_or_before() -> None:
    for settings in (small_settings(), small_settings(data=WITH_COVARIATES)):
        newest = newest_time(
            lambda: iter([hourly(covariates=True)]), settings, pd.Timestamp("2024-01-05T06:40")
        )
        assert newest == pd.Timestamp("2024-01-05T06:00")


def test_frequency_and_seasons_follow_from_the_data(make_panel: Make) -> None:
    panel = make_panel(hourly(rows=600), frequency=None, season_lengths=None)
    assert (panel.spec.frequency, panel.spec.season_lengths) == ("h", [24, 168])


@pytest.mark.parametrize("frequency", ["ME", "MS", "B", "W-MON", "D"])
def test_calendar_frequencies_make_a_panel(make_panel: Make, frequency: str) -> None:
    rows = hourly(series=2, rows=200)
    grid = pd.date_range("2004-01-01", periods=200, freq=frequency)
    rows["ds"] = np.concatenate([grid, grid[30:]])
    panel = make_panel(rows.drop(index=[20, 21, 250]), frequency=frequency, season_lengths=[5])
    assert len(panel.frame) == len(rows)
    assert panel.spec.align == "calendar"
    assert len(panel.targets(panel.split("test"))) == 6 * len(panel.split("test"))


def test_local_days_are_a_daily_grid_over_a_clock_change(make_panel: Make) -> None:
    rows = hourly(series=1, rows=300)
    rows["ds"] = pd.date_range("2024-01-01", periods=300, freq="D").strftime("%Y-%m-%d")
    panel = make_panel(rows, frequency=None, season_lengths=[7], data=data(timezone="Europe/Berlin"))
    assert len(panel.frame) == 300
    assert findings(panel) == {"timezone": [""]}


def test_panel_without_a_target_up_to_as_of_is_refused() -> None:
    rows = hourly(series=1, covariates=True)
    rows.loc[rows["ds"] <= "2024-01-05", "y"] = np.nan
    with pytest.raises(DataError, match="no series has a target value"):
        build_panel(rows, small_settings(data=WITH_COVARIATES), as_of=pd.Timestamp("2024-01-05"))


def test_horizon_must_be_set() -> None:
    with pytest.raises(ConfigError, match=r"training.horizon is not set"):
        build_panel(hourly(), small_settings(horizon=None))


def test_history_of_new_and_short_series_needs_no_split(covariate_panel: Panel) -> None:
    rows = hourly(series=2, covariates=True).groupby("unique_id").tail(10)
    settings = small_settings(data={**WITH_COVARIATES, "min_samples": 1000})
    panel = history_panel(rows, settings, covariate_panel.spec)
    assert panel.spec == covariate_panel.spec
    assert len(panel.frame) == 20
    assert len(panel.train_end) == len(panel.split("test")) == 0
    assert list(panel.series.columns) == list(covariate_panel.series.columns)
    pd.testing.assert_frame_equal(panel.static, covariate_panel.static.head(2))


def future_of(rows: pd.DataFrame, value: float) -> pd.DataFrame:
    times = [rows["ds"].max() + pd.Timedelta(hours=step) for step in range(-1, 7)]
    return pd.DataFrame({"unique_id": ["s1", "new"] * 8, "ds": np.repeat(times, 2), "promotion": value})


def test_future_covariates_come_from_a_file_of_their_own(covariate_panel: Panel) -> None:
    rows = hourly(series=2, covariates=True)
    settings, spec = small_settings(data=WITH_COVARIATES), covariate_panel.spec
    panel = history_panel(rows, settings, spec, future=future_of(rows, 7.0))
    assert list(panel.ids) == ["s0", "s1"]
    assert panel.future_covariates["unique_id"].tolist() == ["s1"] * 6
    assert panel.future_covariates["promotion"].eq(7.0).all()
    assert panel.frame["promotion"].max() == 1.0
    with pytest.raises(DataError, match="series s0: known-future covariate promotion has no value at"):
        panel.future(panel.ends)


def test_future_of_one_local_day_stays_on_the_local_clock() -> None:
    def days(count: int, start: str, **columns: Any) -> pd.DataFrame:
        return pd.DataFrame(
            {"unique_id": "a", "ds": pd.date_range(start, periods=count).astype(str), **columns}
        )

    rows = days(300, "2024-01-01", y=np.arange(300.0), promotion=0)
    settings = small_settings(
        horizon=1,
        frequency="D",
        season_lengths=[7],
        data=data(timezone="Europe/Berlin", covariates={"future": ["promotion"]}),
    )
    spec = build_panel(rows, settings).spec
    panel = history_panel(rows, settings, spec, future=days(1, "2024-10-27", promotion=5))
    assert panel.future(panel.ends)["promotion"].tolist() == [5.0]


def test_history_as_of_a_moment_ends_there(panel: Panel) -> None:
    history = history_panel(hourly(), small_settings(), panel.spec, as_of=pd.Timestamp("2024-01-15"))
    assert history.frame["ds"].max() == pd.Timestamp("2024-01-15")


def test_parquet_and_csv_make_the_same_panel_and_name_their_rows(tmp_path: Path, panel: Panel) -> None:
    rows = hourly()
    rows.to_parquet(tmp_path / "data.parquet")
    rows.to_csv(tmp_path / "data.csv", index=False)
    for name in ("data.parquet", "data.csv"):
        read = read_data(str(tmp_path / name)).rows
        pd.testing.assert_frame_equal(build_panel(read, small_settings()).frame, panel.frame)
    rows.loc[2, "y"] = np.inf
    rows.to_parquet(tmp_path / "data.parquet")
    with pytest.raises(DataError, match=r"data\.parquet: row 3: y is inf"):
        build_panel(read_data(str(tmp_path / "data.parquet")).rows, small_settings())


def with_size(**sizes: object) -> pd.DataFrame:
    rows = hourly(series=len(sizes))
    return rows.assign(size=rows["unique_id"].map(sizes))


@pytest.mark.parametrize("values", [["south", "north"], [2.0, 1.0]])
def test_a_mistake_in_a_static_covariate_stops_no_panel(values: list[object]) -> None:
    rows = hourly(series=2).assign(size=values[0])
    rows.loc[[3, 40], "size"] = values[1]
    panel = build_panel(rows, small_settings(data=data(covariates={"static": ["size"]})))
    assert panel.static["size"].tolist() == [values[0]] * 2
    (finding,) = (each for each in panel.report.findings if each.what == "static")
    assert finding.detail == "size has several values for s0: the most frequent one is taken"


def test_text_static_covariate_stays_text_where_it_looks_like_numbers() -> None:
    settings = small_settings(data=data(covariates={"static": ["size"]}))
    rows = with_size(s0="1", s1="2", s2="large")
    spec = build_panel(rows, settings).spec
    assert spec.categories == ["size"]
    panel = history_panel(rows[rows["unique_id"] != "s2"], settings, spec)
    assert panel.static["size"].tolist() == ["1", "2"]


def test_text_where_the_fit_saw_a_numeric_static_covariate_is_refused() -> None:
    settings = small_settings(data=data(covariates={"static": ["size"]}))
    spec = build_panel(with_size(s0="1", s1="2"), settings).spec
    assert spec.categories == []
    with pytest.raises(DataError, match="size holds 'large'; allowed: numbers"):
        history_panel(with_size(s0="1", s1="large"), settings, spec)


def test_closed_weekdays_have_no_rows_and_no_forecasts() -> None:
    days = pd.date_range("2022-01-03", periods=300)
    open_days = days[days.weekday != 6].delete([40, 41])
    rows = pd.DataFrame({"unique_id": "a", "ds": open_days, "y": open_days.weekday + 0.1 * open_days.day})
    panel = build_panel(rows, small_settings(frequency=None, season_lengths=None, data=data()))
    assert panel.spec.frequency == "C-MON-TUE-WED-THU-FRI-SAT"
    assert panel.spec.season_lengths == [6]
    assert set(panel.frame["ds"].dt.weekday) == set(range(6))
    assert (~panel.frame["observed"]).sum() == 2
    assert set(panel.grid(panel.ends)["ds"].dt.weekday) <= set(range(6))


@pytest.mark.parametrize("missing", [None, float("nan"), ""])
@pytest.mark.parametrize("sizes", [("1", "2"), ("north", "south")], ids=["numbers", "text"])
def test_static_covariate_that_is_missing_stops_no_other_series(
    sizes: tuple[str, str], missing: object
) -> None:
    settings = small_settings(data=data(covariates={"static": ["size"]}))
    rows = with_size(s0=sizes[0], s1=sizes[1], s2=str(missing))
    rows.loc[rows["unique_id"] == "s2", "size"] = missing
    panel = build_panel(rows, settings)
    assert panel.spec.categories == ([] if sizes[0] == "1" else ["size"])
    assert panel.static["size"].isna().tolist() == [False, False, True]
    (finding,) = (each for each in panel.report.findings if each.what == "static")
    assert finding.detail == "size is missing for s2"
    alone = history_panel(rows[rows["unique_id"] == "s2"], settings, panel.spec)  # at scoring, nothing else
    assert alone.static["size"].isna().tolist() == [True]


def test_series_that_is_left_out_at_scoring_is_told_and_the_others_are_not_touched(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rows = hourly(series=2)
    spec = build_panel(rows, small_settings()).spec
    panel = history_panel(rows.drop(index=range(100, 190)), small_settings(), spec)
    assert panel.ids.tolist() == ["s1"]
    assert [(record.levelname, record.series) for record in caplog.records] == [("WARNING", "s0")]  # type: ignore[attr-defined]


def test_series_that_ended_before_the_others_are_named() -> None:
    rows = hourly(series=3)
    ended = (rows["unique_id"] == "s1") & (rows["ds"] > rows["ds"].max() - pd.Timedelta(hours=7))
    panel = build_panel(rows[~ended], small_settings())
    (finding,) = (each for each in panel.report.findings if each.what == "stale")
    newest = rows["ds"].max()
    assert finding.detail == f"s1: the last target is older than {newest}, where half of the series go on"
    assert "stale" not in findings(build_panel(rows, small_settings()))
