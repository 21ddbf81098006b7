"""Series that ended before the others: named, and forecast, marked or left out as the settings say."""

import pandas as pd
import pytest

from kubecast.data.history import history_panel
from kubecast.data.panel import Panel
from kubecast.data.preparation import build_panel
from kubecast.data.stale import treat_stale
from tests.support.panels import hourly, small_settings


@pytest.fixture
def rows() -> pd.DataFrame:
    rows = hourly(series=3)
    return rows[(rows["unique_id"] != "s1") | (rows["ds"] <= rows["ds"].max() - pd.Timedelta(hours=7))]


@pytest.fixture
def panel(rows: pd.DataFrame) -> Panel:
    return build_panel(rows, small_settings())


def forecasts(panel: Panel) -> pd.DataFrame:
    return panel.grid(panel.ends).assign(yhat=1.0)


def test_they_are_named_when_a_version_forecasts(
    rows: pd.DataFrame, panel: Panel, caplog: pytest.LogCaptureFixture
) -> None:
    history_panel(rows, small_settings(), panel.spec)
    assert "stale: s1: the last target is older than 2024-01-17 15:00:00" in caplog.text
    caplog.clear()
    history_panel(rows[rows["unique_id"] != "s1"], small_settings(), panel.spec)
    assert "stale" not in caplog.text


def test_they_are_forecast_marked_or_left_out(panel: Panel) -> None:
    table = forecasts(panel)
    pd.testing.assert_frame_equal(treat_stale(table, panel, "forecast"), table)
    marked = treat_stale(table, panel, "mark")
    assert marked.groupby("unique_id")["stale"].first().to_dict() == {"s0": False, "s1": True, "s2": False}
    left = treat_stale(table, panel, "leave_out")
    assert set(left["unique_id"]) == {"s0", "s2"}


@pytest.mark.parametrize("hours", [0, 6])
def test_series_that_end_within_a_horizon_of_most_go_on(hours: int) -> None:
    rows = hourly(series=3)
    late = (rows["unique_id"] == "s1") & (rows["ds"] > rows["ds"].max() - pd.Timedelta(hours=hours))
    panel = build_panel(rows[~late], small_settings())
    assert not treat_stale(forecasts(panel), panel, "mark")["stale"].any()


def test_one_series_with_a_date_of_the_future_makes_no_other_stale() -> None:
    rows = hourly(series=5)
    rows.loc[rows.index[rows["unique_id"] == "s0"], "ds"] += pd.Timedelta(days=300)
    panel = build_panel(rows, small_settings())
    assert not treat_stale(forecasts(panel), panel, "mark")["stale"].any()
