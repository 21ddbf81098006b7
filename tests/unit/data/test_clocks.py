"""The clock of the training data holds at scoring and for future covariates, however these are written."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubecast.data.clock import as_given, as_kubecast
from kubecast.data.history import history_panel
from kubecast.data.panel import PanelSpec
from kubecast.data.preparation import build_panel
from kubecast.errors import DataError
from tests.support.panels import small_settings

BERLIN, KOLKATA, NEW_YORK = "Europe/Berlin", "Asia/Kolkata", "America/New_York"
AHEAD = 24
SETTINGS: dict[str, Any] = {
    "horizon": AHEAD,
    "frequency": None,
    "season_lengths": [24],
    "data": {"min_samples": 1, "covariates": {"future": ["promo"]}},
}


def rows(zone: str | None) -> pd.DataFrame:
    """Promotions at 9 to 11 on the local clock of even days; the newest rows are the future."""
    ds = pd.date_range("2024-05-01", periods=24 * 20, freq="h", tz=zone)
    promo = (np.isin(ds.hour, [9, 10, 11]) & (ds.day % 2 == 0)).astype(float)
    return pd.DataFrame({"unique_id": "a", "ds": ds, "y": 50 + 40 * promo + ds.hour, "promo": promo})


def written(table: pd.DataFrame, how: str) -> pd.DataFrame:
    ds = table["ds"]
    text = {
        "zone": ds,
        "offset": ds.map(pd.Timestamp.isoformat),
        "z": ds.dt.tz_convert("UTC").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "naive": ds.dt.tz_localize(None),
    }[how]
    return table.assign(ds=text)


def promotions(zone: str, trained: str, scored: str, future: str, **data: Any) -> "pd.Series[float]":
    """The covariate over the horizon, by UTC."""
    settings = small_settings(**SETTINGS | {"data": SETTINGS["data"] | data})
    table = rows(zone)
    past, ahead = table.iloc[:-AHEAD], table.iloc[-AHEAD:].drop(columns="y")
    spec = build_panel(written(past, trained), settings).spec
    panel = history_panel(written(past, scored), settings, spec, future=written(ahead, future))
    known = panel.future(panel.ends).set_index("ds")["promo"]
    return known


@pytest.mark.parametrize("zone", [BERLIN, KOLKATA])
@pytest.mark.parametrize("scored", ["zone", "offset", "z", "naive"])
@pytest.mark.parametrize("future", ["zone", "offset", "z", "naive"])
def test_times_without_a_zone_are_on_the_clock_that_the_model_was_trained_on(
    zone: str, scored: str, future: str
) -> None:
    table = rows(zone).iloc[-AHEAD:]
    expected = table.set_index(table["ds"].dt.tz_convert("UTC").dt.tz_localize(None))["promo"]
    known = promotions(zone, "zone", scored, future)
    pd.testing.assert_series_equal(known, expected, check_names=False, check_freq=False)


@pytest.mark.slow
@pytest.mark.parametrize("trained", ["offset", "z"])
@pytest.mark.parametrize(("scored", "future"), [("naive", "z"), ("z", "naive")])
def test_times_without_a_zone_are_refused_where_the_model_knows_offsets_alone(
    trained: str, scored: str, future: str
) -> None:
    what = "the data" if scored == "naive" else "the file of future covariates"
    with pytest.raises(
        DataError, match=f"{what} has times without a zone, .* trained on times of (UTC|.02:00); allowed"
    ):
        promotions(BERLIN, trained, scored, future)
    known = promotions(BERLIN, trained, scored, future, timezone=BERLIN)  # that remedy works
    assert known.sum() == 3


@pytest.mark.parametrize(("scored", "future"), [("zone", "naive"), ("naive", "zone"), ("naive", "z")])
def test_times_of_a_zone_are_refused_where_the_model_knows_none(scored: str, future: str) -> None:
    what = "the data" if scored != "naive" else "the file of future covariates"
    with pytest.raises(DataError, match=f"{what} has times of .* trained on times without a zone; allowed"):
        promotions(BERLIN, "naive", scored, future)


def test_days_need_no_zone() -> None:
    settings = small_settings(horizon=2, frequency="D", season_lengths=[7], data={"min_samples": 1})
    days = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=70), "y": np.arange(70.0) % 7})
    spec = build_panel(days, settings).spec
    zoned = days.assign(ds=days["ds"].dt.tz_localize(BERLIN))
    assert history_panel(zoned, settings, spec).frame["ds"].tolist() == days["ds"].tolist()


@pytest.mark.parametrize("zone", [None, "UTC", BERLIN, "+05:30"])
def test_tables_are_written_on_the_clock_and_under_the_names_of_the_data(zone: str | None) -> None:
    names = {"unique_id": "shop", "ds": "time", "y": "yhat"}  # the last is a column of its own
    spec = PanelSpec(frequency="h", horizon=1, season_lengths=[24], timezone=zone, columns=names)
    times = pd.to_datetime(["2024-03-31T00:00", "2024-03-31T01:00"])
    table = pd.DataFrame({"unique_id": "a", "cutoff": times[0], "ds": times, "y": 1.0, "yhat": 2.0})
    given = as_given(table, spec)
    assert list(given.columns) == ["shop", "cutoff", "time", "y", "yhat"]
    expected = times if zone is None else times.tz_localize("UTC").tz_convert(zone)
    assert list(given["time"]) == list(expected)
    assert str(given["time"].iloc[1])[19:] == str(expected[1])[19:]
    assert given["cutoff"].dtype == given["time"].dtype
    columns = small_settings(data={"columns": names}).data.columns
    pd.testing.assert_frame_equal(as_kubecast(given, columns), table)


@pytest.mark.parametrize("place", ["UTC", "GMT", "Etc/UTC", "Etc/GMT-1", "+02:00"])
def test_a_clock_of_no_place_is_not_put_on_times_without_a_zone(place: str) -> None:
    table = rows(place)
    settings = small_settings(**SETTINGS)
    spec = build_panel(table, settings).spec
    assert spec.timezone == place
    with pytest.raises(
        DataError, match=f"times without a zone, .* trained on times of {place}".replace("+", ".")
    ):
        history_panel(written(table, "naive"), settings, spec)


@pytest.mark.parametrize(
    ("setting", "trained", "scored", "zone"),
    [
        ("UTC", BERLIN, KOLKATA, "UTC"),
        (BERLIN, "UTC", KOLKATA, BERLIN),
        (BERLIN, None, None, BERLIN),
        (None, BERLIN, KOLKATA, BERLIN),
        (None, BERLIN, None, BERLIN),
        (None, "UTC", KOLKATA, KOLKATA),
        (None, "+02:00", "UTC", "UTC"),
        (None, None, None, None),
    ],
)
def test_forecasts_are_on_the_setting_or_the_place_of_training_else_on_the_clock_of_the_data(
    setting: str | None, trained: str | None, scored: str | None, zone: str | None
) -> None:
    settings = small_settings(**SETTINGS | {"data": SETTINGS["data"] | {"timezone": setting}})
    spec = build_panel(rows(trained), settings).spec
    assert history_panel(rows(scored), settings, spec).spec.timezone == zone


def daily_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Sums of local days by a model of New York, from rows however their clock is written."""
    settings = small_settings(
        horizon=2, frequency="D", season_lengths=[7], data={"min_samples": 1, "resample": "sum"}
    )
    spec = build_panel(hours(NEW_YORK), settings).spec
    assert (spec.timezone, spec.day_zone) == (None, NEW_YORK)
    return history_panel(rows, settings, spec).frame[["ds", "y"]]


def hours(zone: str) -> pd.DataFrame:
    ds = pd.date_range("2024-02-01", periods=24 * 60, freq="h", tz=NEW_YORK).tz_convert(zone)
    return pd.DataFrame({"ds": ds, "y": 1.0 + np.arange(len(ds)) % 5})


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["UTC", BERLIN, KOLKATA])
@pytest.mark.parametrize("how", ["zone", "offset", "z"])
def test_days_are_those_of_the_training_data_whatever_zone_the_rows_come_in(zone: str, how: str) -> None:
    expected = daily_of(hours(NEW_YORK))
    pd.testing.assert_frame_equal(daily_of(written(hours(zone), how)), expected)
    pd.testing.assert_frame_equal(daily_of(written(hours(NEW_YORK), "naive")), expected)


@pytest.mark.slow
def test_days_that_are_written_at_midnight_of_another_zone_stay_what_they_say() -> None:
    expected = daily_of(hours(NEW_YORK))
    for zone in ("UTC", BERLIN):
        table = daily_of(expected.assign(ds=expected["ds"].dt.tz_localize(zone)))
        pd.testing.assert_frame_equal(table, expected)


def test_future_covariates_between_the_steps_of_the_data_are_refused_by_their_file() -> None:
    settings = small_settings(**SETTINGS)
    past, ahead = rows(BERLIN).iloc[:-AHEAD], rows(BERLIN).iloc[-AHEAD:].drop(columns="y")
    spec = build_panel(past, settings).spec
    half_an_hour_off = ahead.assign(ds=rows(KOLKATA)["ds"].iloc[-AHEAD:])
    message = r"the file of future covariates, series a: .* is between the steps of the data \(.* such rows\)"
    with pytest.raises(DataError, match=message):
        history_panel(past, settings, spec, future=half_an_hour_off)


def test_data_that_is_off_its_own_grid_is_not_blamed_on_the_future_covariates() -> None:
    settings = small_settings(**SETTINGS)
    past, ahead = rows(BERLIN).iloc[:-AHEAD], rows(BERLIN).iloc[-AHEAD:].drop(columns="y")
    spec = build_panel(past, settings).spec
    late = past.assign(ds=past["ds"].where(past.index != past.index[-1], past["ds"] + pd.Timedelta("20min")))
    with pytest.raises(DataError, match=r"^series a: .* is off the grid of h"):
        history_panel(late, settings, spec, future=ahead)
