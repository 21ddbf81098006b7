"""Forecasts at a changed level: what a model sees, what comes back, and nothing else touched."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pytest

from kubecast.data.levels import (
    LevelChanges,
    ScaleLevels,
    forecast_at_present_level,
    level_shifts,
    values_at_present_level,
    with_level_ratio,
)
from kubecast.data.panel import KEYS, Cutoffs, Panel
from kubecast.models.seasonal_naive import SeasonalNaive, season_before
from tests.support.detections import recorded_detections
from tests.support.panels import hourly

Make = Callable[..., Panel]
ROW = 300  # of s1, where it changes


def changed(factor: float, stop: int | None = None, added: float = 0.0, start: int = ROW) -> pd.DataFrame:
    """Three series, of which ``s1`` has other values in its rows from ``start`` to ``stop``."""
    rows, count = hourly(rows=480), hourly(rows=480).groupby("unique_id").cumcount()
    inside = (rows["unique_id"] == "s1") & (count >= start) & (count < (stop or len(rows)))
    return rows.assign(y=rows["y"].where(~inside, rows["y"] * factor + added))


@dataclass
class Profile:
    """The mean of each hour of the day in the first 200 rows of each series: it follows nothing.

    Attributes:
        calls: Panels and origins that it was asked for.
    """

    fitted: pd.DataFrame
    calls: list[tuple[Panel, Cutoffs]] = field(default_factory=list)

    @classmethod
    def of(cls, rows: pd.DataFrame) -> "Profile":
        first = rows[rows.groupby("unique_id").cumcount() < 200]
        means = first.groupby(["unique_id", first["ds"].dt.hour])["y"].mean()
        return cls(means.rename("yhat").rename_axis(["unique_id", "hour"]).reset_index())

    def forecast(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        self.calls.append((panel, origins))
        grid = panel.grid(origins).assign(hour=lambda table: table["ds"].dt.hour)
        return grid.merge(self.fitted, on=["unique_id", "hour"], how="left").drop(columns="hour")


def present(panel: Panel, origins: Cutoffs, model: "Profile | SeasonalNaive") -> pd.DataFrame:
    return forecast_at_present_level(panel, LevelChanges.find(panel, origins), model.forecast)


def origins_of(panel: Panel, rows: dict[str, list[int]]) -> Cutoffs:
    own = [panel.frame[panel.frame["unique_id"] == name].iloc[numbers] for name, numbers in rows.items()]
    return Cutoffs.from_frame(pd.concat(own).sample(frac=1, random_state=0), "ds")


def ratio(panel: Panel, forecasts: pd.DataFrame, name: str = "yhat") -> "pd.Series[float]":
    """Mean forecast over mean target, by series."""
    table = forecasts.merge(panel.frame[["unique_id", "ds", "y"]], on=["unique_id", "ds"])
    sums = table.groupby("unique_id")[[name, "y"]].sum()
    return sums[name] / sums["y"]


def test_series_that_have_not_changed_are_forecast_as_ever(panel: Panel) -> None:
    model, origins = Profile.of(panel.frame), Cutoffs(panel.origins[["unique_id", "cutoff"]])
    forecasts = present(panel, origins, model)
    ((seen, asked),) = model.calls
    assert (seen, asked) == (panel, origins)
    pd.testing.assert_frame_equal(forecasts, model.forecast(panel, origins))


@pytest.mark.parametrize("factor", [0.4, 2.5, 1000])
def test_forecasts_follow_a_shift_after_two_seasons(make_panel: Make, factor: float) -> None:
    panel, model = make_panel(changed(factor)), Profile.of(hourly(rows=480))
    origins = origins_of(panel, {"s0": [250, 350], "s1": [250, ROW + 47, ROW + 60, ROW + 100], "s2": [350]})
    forecasts = present(panel, origins, model)
    pd.testing.assert_frame_equal(forecasts[KEYS], panel.grid(origins))
    np.testing.assert_allclose(ratio(panel, forecasts), 1, atol=0.05)
    seen = [frame["y"].max() for frame in (panel.history(origins) for panel, origins in model.calls)]
    assert max(seen) < 450  # s2 is around 300, and s1, of 200, is seen as it was


def test_a_call_for_each_level_sees_no_series_that_has_not_changed(make_panel: Make) -> None:
    panel, model = make_panel(changed(2.0)), Profile.of(hourly(rows=480))
    origins = origins_of(panel, {"s0": [250, 350], "s1": [250, ROW + 60, ROW + 90, ROW + 120]})
    levels = LevelChanges.find(panel, origins).shifts["change"].nunique()
    present(panel, origins, model)
    steady, *others = model.calls
    assert (steady[0], len(steady[1])) == (panel, 3)
    assert [list(seen.ids) for seen, _ in others] == [["s1"]] * levels
    assert levels > 1


def test_shift_is_not_followed_before_two_seasons(make_panel: Make) -> None:
    panel, model = make_panel(changed(2.0)), Profile.of(hourly(rows=480))
    early = origins_of(panel, {"s1": [ROW + 46]})
    assert ratio(panel, present(panel, early, model))["s1"] < 0.6


def test_shift_of_values_below_zero_moves_by_the_difference(make_panel: Make) -> None:
    rows = changed(1.0, added=80)
    panel = make_panel(rows.assign(y=rows["y"] - 250))
    model = Profile.of(panel.frame)
    origins = origins_of(panel, {"s0": [350], "s1": [ROW + 60]})
    assert level_shifts(panel, origins)["is_ratio"].tolist() == [False]
    table = present(panel, origins, model).merge(panel.frame, on=["unique_id", "ds"])
    means = table.groupby("unique_id")[["yhat", "y"]].mean()
    np.testing.assert_allclose(means["yhat"], means["y"], atol=8)


def test_pulse_is_not_forecast_again(make_panel: Make) -> None:
    panel, model = make_panel(changed(2.0, ROW + 12)), SeasonalNaive(24, "naive")
    origins = origins_of(panel, {"s1": [ROW + 19], "s0": [ROW + 19]})
    plain = ratio(panel, model.forecast(panel, origins), "naive")
    assert plain["s1"] > 1.15
    forecasts = present(panel, origins, model)
    np.testing.assert_allclose(ratio(panel, forecasts, "naive"), 1, atol=0.06)


@pytest.mark.parametrize("below", [0, 250])
def test_rows_come_to_the_present_level_as_forecasts_that_repeat_them(make_panel: Make, below: int) -> None:
    rows = changed(2.0, ROW + 12)
    rows = rows.assign(y=rows["y"] - below)
    late = (rows["unique_id"] == "s2") & (rows.groupby("unique_id").cumcount() >= ROW)
    rows["y"] = rows["y"].where(~late, rows["y"] + 400).where(np.arange(len(rows)) % 11 != 5)
    panel = make_panel(rows)
    origins = origins_of(panel, {"s0": [350], "s1": [250, ROW + 19], "s2": [250, ROW + 60, ROW + 100]})
    changes = LevelChanges.find(panel, origins)
    assert (len(changes.shifts), len(changes.pulses)) == (2, 1)
    expected = present(panel, origins, SeasonalNaive(48, "naive"))["naive"]
    values = values_at_present_level(panel, changes, season_before(panel, origins, 48))
    np.testing.assert_array_equal(values.ravel(), expected)


def test_targets_after_an_origin_change_nothing(make_panel: Make) -> None:
    panel, model = make_panel(changed(1.7)), SeasonalNaive(24, "naive")
    for row in range(ROW - 20, ROW + 120, 35):
        origins = origins_of(panel, {"s1": [row], "s2": [row]})
        later = panel.frame.merge(origins.frame, on="unique_id", how="left")
        later = (later["ds"] > later["cutoff"]).to_numpy()
        altered = replace(panel, frame=panel.frame.assign(y=panel.frame["y"].where(~later, -9.0)))
        pd.testing.assert_frame_equal(
            present(altered, origins, model),
            present(panel, origins, model),
        )


def test_changes_are_told(make_panel: Make, caplog: pytest.LogCaptureFixture) -> None:
    model = SeasonalNaive(24, "naive")
    with caplog.at_level(logging.INFO):
        for rows in (changed(2.0), changed(2.0, ROW + 12)):
            panel = make_panel(rows)
            present(panel, origins_of(panel, {"s1": [ROW + 60]}), model)
    assert "1 series, s1 first: the level has shifted; forecasts follow it" in caplog.text
    assert "1 series, s1 first: a pulse has ended; forecasts do not repeat it" in caplog.text


def test_level_ratio_stands_beside_the_rows_of_its_origins(make_panel: Make) -> None:
    panel = make_panel(changed(2.0))
    origins = origins_of(panel, {"s0": [350], "s1": [250, ROW + 60]})
    table = with_level_ratio(panel.grid(origins), LevelChanges.find(panel, origins), ScaleLevels())
    pd.testing.assert_frame_equal(table[KEYS], panel.grid(origins))
    late = (table["unique_id"] == "s1") & (table["cutoff"] > panel.frame["ds"].iloc[ROW])
    np.testing.assert_allclose(table["level_ratio"], np.where(late, 2.0, 1.0), rtol=0.03)


@pytest.mark.parametrize(
    ("factor", "added", "below"), [(2.5, 0, 0), (0.4, 0, 0), (1, 300, 250), (1, -300, 250)]
)
def test_widths_are_in_units_of_the_scale_at_one_level(
    make_panel: Make, factor: float, added: float, below: float
) -> None:
    rows, plain = changed(factor, added=added, start=220), hourly(rows=480)
    panel, usual = (make_panel(each.assign(y=each["y"] - below)) for each in (rows, plain))
    assert list(ScaleLevels.find(panel).ratios) == ["s1"]
    assert ScaleLevels.find(usual) == ScaleLevels()
    origins = origins_of(panel, {"s1": [340, 400], "s2": [400]})
    table = with_level_ratio(panel.grid(origins), LevelChanges.find(panel, origins), ScaleLevels.find(panel))
    table = table.merge(panel.series, on="unique_id").merge(usual.series, on="unique_id")
    scale = table["scale_x"] * table["level_ratio"]
    expected = table["scale_y"] * np.where(table["unique_id"] == "s1", factor, 1.0)
    np.testing.assert_allclose(scale, expected, rtol=0.06)
    assert not np.allclose(table["scale_x"], expected, rtol=0.3)


def test_jump_at_the_end_of_the_training_rows_is_seen_with_the_validation_split_and_no_later(
    make_panel: Make,
) -> None:
    plain = make_panel(hourly(rows=480))
    train_end = int(plain.row_index(plain.train_end)[1] - plain.indptr[1])
    panel = make_panel(changed(2.5, start=train_end - 20))
    assert list(ScaleLevels.find(panel).ratios) == ["s1"]
    assert ScaleLevels.find(make_panel(changed(2.5, start=train_end + 1))) == ScaleLevels()
    late = panel.frame["ds"] > panel.frame["unique_id"].map(
        panel.series.set_index("unique_id")["validation_end"]
    )
    altered = replace(panel, frame=panel.frame.assign(y=panel.frame["y"].where(~late, -9.0)))
    assert ScaleLevels.find(altered) == ScaleLevels.find(panel)


@pytest.mark.parametrize(("factor", "added", "below"), [(2.5, 0, 0), (1, 300, 250)])
def test_quantiles_are_as_wide_as_at_the_usual_level_and_by_the_ratio_wider(
    make_panel: Make, factor: float, added: float, below: float
) -> None:
    rows = changed(factor, added=added, start=220)
    panel = make_panel(rows.assign(y=rows["y"] - below))
    origins = origins_of(panel, {"s1": [210, 400]})

    def forecast(panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        return panel.grid(origins).assign(yhat=5.0, **{"q0.9": 5.0 + 3.0})

    levels = ScaleLevels({"s1": 3.0}, {"s1": factor})
    table = forecast_at_present_level(panel, LevelChanges.find(panel, origins), forecast, levels)
    widths = (table["q0.9"] - table["yhat"]).groupby(table["cutoff"]).mean()
    np.testing.assert_allclose(widths, [3.0, factor], rtol=0.06)  # where no shift is seen, as they are


@pytest.mark.parametrize("saved_before", [False, True])
def test_widths_stand_where_a_ratio_at_the_fit_is_seen_as_a_difference_since(
    make_panel: Make, saved_before: bool
) -> None:
    rows = hourly(series=1, rows=600)
    late = np.arange(600) >= 200
    panel = make_panel(rows.assign(y=rows["y"].where(~late, rows["y"] * 10)))
    levels = ScaleLevels.find(panel)
    assert levels.changes["s0"] == pytest.approx(10, rel=0.05)
    if saved_before:  # the ratio of the levels, which the scale was taken to be at
        levels = ScaleLevels(levels.changes)
    negative = panel.frame["y"].where(np.arange(600) != 595, -0.01)
    seen = replace(panel, frame=panel.frame.assign(y=negative))
    changes = LevelChanges.find(seen, seen.ends)
    assert changes.shifts["is_ratio"].tolist() == [False]

    def forecast(panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        return panel.grid(origins).assign(yhat=5.0, **{"q0.9": 5.0 + panel.series["scale"].item()})

    table = forecast_at_present_level(seen, changes, forecast, levels)
    ratio = with_level_ratio(seen.grid(seen.ends), changes, levels)["level_ratio"]
    usual = make_panel(rows).series["scale"].item() * 10
    expected = panel.series["scale"].item() if saved_before else usual
    np.testing.assert_allclose(table["q0.9"] - table["yhat"], expected, rtol=0.06)
    np.testing.assert_allclose(panel.series["scale"].item() * ratio, expected, rtol=0.06)


def test_changes_are_looked_for_once_for_all_models(
    make_panel: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel, looks = make_panel(changed(2.0)), recorded_detections(monkeypatch)
    changes = LevelChanges.find(panel, origins_of(panel, {"s0": [350], "s1": [250, ROW + 60]}))
    assert len(looks) == len(set(looks)) == 4  # shifts and pulses in two series
    for model in (Profile.of(panel.frame), SeasonalNaive(24, "naive")):
        forecast_at_present_level(panel, changes, model.forecast)
    assert len(looks) == 4


def test_changes_that_some_of_the_origins_see(make_panel: Make) -> None:
    panel = make_panel(changed(2.0))
    changes = LevelChanges.find(panel, origins_of(panel, {"s0": [350], "s1": [250, ROW + 60, ROW + 90]}))
    some = Cutoffs(changes.origins.frame.sample(frac=0.7, random_state=2).reset_index(drop=True))
    own, expected = changes.only(some), LevelChanges.find(panel, some)
    pd.testing.assert_frame_equal(own.shifts, expected.shifts)
    pd.testing.assert_frame_equal(own.pulses, expected.pulses)
    assert 0 < len(own.shifts) < len(changes.shifts)


def test_shifts_are_of_the_panels_season_lengths(make_panel: Make) -> None:
    panel = make_panel(changed(2.0))
    assert len(level_shifts(panel, panel.ends)) == 1
    none = replace(panel, spec=panel.spec.model_copy(update={"season_lengths": [1]}))
    assert level_shifts(none, none.ends).empty
