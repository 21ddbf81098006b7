"""Features: causal, the same in the fit and in a forecast, and alike for series of every level."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from kubecast.data.panel import Cutoffs, Panel
from kubecast.data.preparation import build_panel
from kubecast.models.catboost.features import (
    FeatureSpec,
    design,
    make_mlforecast,
    recursive_forecast,
    row_scales,
    training_features,
    usable,
)
from kubecast.models.catboost.settings import CatBoostSettings
from tests.support.panels import WITH_COVARIATES, hourly, small_settings


class Recorder:
    """Forecasts zeros and keeps the features of each call, one table for each step."""

    def __init__(self) -> None:
        self.seen: list[pd.DataFrame] = []

    def predict(self, features: pd.DataFrame) -> np.ndarray:
        self.seen.append(features.reset_index(drop=True))
        return np.zeros(len(features))


def spec_of(panel: Panel, differences: list[int], **settings: object) -> FeatureSpec:
    return design(panel, panel.ends, CatBoostSettings.model_validate(settings), differences)


def seen(panel: Panel, origins: Cutoffs, spec: FeatureSpec) -> list[pd.DataFrame]:
    recorder = Recorder()
    recursive_forecast(panel, origins, spec, recorder)
    return recorder.seen


@pytest.mark.parametrize("differences", [[], [1], [24], [1, 24]])
def test_features_of_the_first_step_are_those_of_the_fit(
    covariate_panel: Panel, differences: list[int]
) -> None:
    spec = spec_of(covariate_panel, differences)
    origins = covariate_panel.split("test")
    features, _, rows = training_features(covariate_panel, covariate_panel.ends, spec, 10_000)
    first = seen(covariate_panel, origins, spec)[0]
    at = pd.Index(rows).get_indexer(pd.Index(covariate_panel.row_index(origins) + 1))
    assert (at >= 0).all()
    assert list(first.columns) == list(features.columns)
    np.testing.assert_allclose(first, features.iloc[at], rtol=1e-6, atol=1e-9)


def test_later_steps_see_known_future_values_and_only_old_values_of_past_covariates(
    covariate_panel: Panel,
) -> None:
    spec = spec_of(covariate_panel, [1])
    origins = Cutoffs(covariate_panel.split("test").frame.iloc[:1])
    steps = pd.concat(seen(covariate_panel, origins, spec), ignore_index=True)
    row = int(covariate_panel.row_index(origins)[0])
    frame, horizon = covariate_panel.frame, covariate_panel.spec.horizon
    promotion, visitors = frame["promotion"].to_numpy(), frame["visitors"].to_numpy()
    np.testing.assert_array_equal(steps["promotion:lag0"], promotion[row + 1 : row + horizon + 1])
    np.testing.assert_array_equal(steps["promotion:lag1"], promotion[row : row + horizon])
    assert spec.past_lags == [6, 24]
    np.testing.assert_array_equal(steps["visitors:lag6"], visitors[row - horizon + 1 : row + 1])


def test_a_change_after_the_origin_changes_no_feature_of_it(covariate_panel: Panel) -> None:
    origins = covariate_panel.split("validation")
    cut = origins.frame["cutoff"].max()
    rows = hourly(covariates=True)
    late = rows["ds"] > cut
    rows.loc[late, "y"] *= -5.0
    rows.loc[late, "visitors"] = 99.0
    changed = build_panel(rows, small_settings(data=WITH_COVARIATES))
    spec = spec_of(covariate_panel, [24])
    for before, after in zip(seen(covariate_panel, origins, spec), seen(changed, origins, spec), strict=True):
        pd.testing.assert_frame_equal(before, after, check_exact=True)


def test_series_that_differ_in_level_alone_have_equal_features(make_panel: Callable[..., Panel]) -> None:
    small = hourly(series=1)
    large = small.assign(unique_id="large", y=small["y"] * 1e6)
    panel = make_panel(pd.concat([small, large]))
    features, target, rows = training_features(panel, panel.ends, spec_of(panel, [24]), 10_000)
    one = panel.series_codes[rows] == 0
    np.testing.assert_allclose(features[one], features[~one], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(target[one], target[~one], rtol=1e-6, atol=1e-9)


def test_unobserved_targets_are_not_fitted_to(make_panel: Callable[..., Panel]) -> None:
    rows = hourly(series=2).drop(index=range(100, 110))
    panel = make_panel(rows)
    _, target, used = training_features(panel, panel.ends, spec_of(panel, [1]), 10_000)
    assert panel.frame["observed"].to_numpy()[used].all()
    assert np.isfinite(target).all()
    assert 120 in used


def test_the_newest_rows_are_kept_and_have_the_features_of_a_full_fit(panel: Panel) -> None:
    spec = spec_of(panel, [24])
    some, _, rows = training_features(panel, panel.ends, spec, 30)
    every, _, all_rows = training_features(panel, panel.ends, spec, 10_000)
    assert len(rows) == 90
    assert set(panel.series_codes[rows]) == {0, 1, 2}
    assert (rows[:30] == np.arange(370, 400)).all()
    at = pd.Index(all_rows).get_indexer(pd.Index(rows))
    np.testing.assert_allclose(some, every.iloc[at], rtol=1e-6, atol=1e-9)


def test_first_jump_of_a_series_that_hardly_moved_is_limited(make_panel: Callable[..., Panel]) -> None:
    rows = hourly(series=1)
    rows.loc[:99, "y"] = np.arange(100) % 2 * 1e-9
    panel = make_panel(rows)
    _, target, _ = training_features(panel, panel.ends, spec_of(panel, [1]), 10_000)
    assert np.abs(target).max() == 100


def test_rows_after_the_cutoff_and_series_without_one_are_left_out(panel: Panel) -> None:
    until = Cutoffs(panel.train_end.frame.iloc[:2])
    _, _, rows = training_features(panel, until, spec_of(panel, [1]), 10_000)
    assert set(panel.series_codes[rows]) == {0, 1}
    assert rows[panel.series_codes[rows] == 0].max() == panel.row_index(until)[0]


def test_scale_is_the_mean_absolute_difference_so_far(panel: Panel) -> None:
    y = panel.filled[panel.indptr[1] : panel.indptr[2]]
    expected = np.abs(y[24:] - y[:-24])
    scales = row_scales(panel, [24])[panel.indptr[1] : panel.indptr[2]]
    assert np.isnan(scales[:24]).all()
    np.testing.assert_allclose(scales[24:], np.cumsum(expected) / np.arange(1, len(expected) + 1))


def test_short_and_constant_histories_are_not_usable(make_panel: Callable[..., Panel]) -> None:
    rows = hourly(series=2)
    rows.loc[rows["unique_id"] == "s1", "y"] = 7.0
    panel = make_panel(rows)
    spec = spec_of(panel, [24])
    assert spec.needed == 48
    ds = panel.frame["ds"].iloc[[46, 47, int(panel.indptr[2]) - 1]]
    origins = Cutoffs(pd.DataFrame({"unique_id": ["s0", "s0", "s1"], "cutoff": ds.to_numpy()}))
    assert usable(panel, origins, spec).tolist() == [False, True, False]


def test_long_lags_of_a_short_history_are_missing(panel: Panel) -> None:
    spec = spec_of(panel, [1], lags=[1, 300])
    ds = panel.frame["ds"].iloc[[60]].to_numpy()
    table = seen(panel, Cutoffs(pd.DataFrame({"unique_id": ["s0"], "cutoff": ds})), spec)[0]
    assert table["lag300"].isna().all()
    assert table["lag1"].notna().all()


def test_forecasts_add_up_to_the_level_of_the_series(panel: Panel) -> None:
    origins = panel.split("test")
    forecasts = recursive_forecast(panel, origins, spec_of(panel, [24]), Recorder())
    ends = panel.row_index(origins)
    expected = panel.filled[ends[:, None] - 23 + np.arange(panel.spec.horizon)]
    np.testing.assert_allclose(forecasts, expected)


@pytest.mark.slow
def test_many_origins_are_forecast_in_chunks(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    origins, spec = panel.split("test"), spec_of(panel, [24])
    whole = recursive_forecast(panel, origins, spec, Recorder())
    monkeypatch.setattr("kubecast.models.catboost.features.CHUNK_CELLS", 1)
    np.testing.assert_array_equal(recursive_forecast(panel, origins, spec, Recorder()), whole)


def test_no_origins_give_no_forecasts(panel: Panel) -> None:
    none = Cutoffs(panel.split("test").frame.iloc[:0])
    assert recursive_forecast(panel, none, spec_of(panel, [24]), Recorder()).shape == (0, 6)


def test_static_text_is_a_category_known_at_the_fit(make_panel: Callable[..., Panel]) -> None:
    rows = hourly(covariates=True)
    rows["size"] = rows["unique_id"].str[1:].astype(float)
    data = {"min_samples": 1, "covariates": {"static": ["region", "size"]}}
    panel = make_panel(rows, data=data)
    spec = design(panel, Cutoffs(panel.ends.frame.iloc[[0, 2]]), CatBoostSettings(), [1])
    assert spec.levels == {"region": ["r0"]}
    table = seen(panel, panel.ends, spec)[0]
    assert table["static:region"].tolist() == [0, -1, 0]
    assert table["static:size"].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("frequency", "names"),
    [
        ("30min", ["time", "weekday"]),
        ("h", ["time", "weekday"]),
        ("D", ["weekday", "day", "month"]),
        ("B", ["weekday", "day", "month"]),
        ("W-SUN", ["week"]),
        ("MS", ["month"]),
        ("QE-DEC", ["month"]),
    ],
)
def test_calendar_follows_from_the_frequency(panel: Panel, frequency: str, names: list[str]) -> None:
    changed = Panel(
        panel.frame,
        panel.static,
        panel.spec.model_copy(update={"frequency": frequency}),
        panel.series,
        panel.origins,
    )
    assert spec_of(changed, [1]).calendar == names


def test_monthly_panel_is_forecast_without_warnings(make_panel: Callable[..., Panel]) -> None:
    ds = pd.date_range("2000-01-01", periods=200, freq="MS")
    y = 10 + np.sin(np.arange(200) * np.pi / 6) + np.random.default_rng(0).normal(0, 0.1, 200)
    panel = make_panel(pd.DataFrame({"ds": ds, "y": y}), frequency="MS", season_lengths=[12])
    steps = seen(panel, panel.ends, spec_of(panel, [12]))
    assert [int(step["calendar:month"].iloc[0]) for step in steps] == [9, 10, 11, 12, 1, 2]


def test_calendar_is_that_of_the_data_zone(make_panel: Callable[..., Panel]) -> None:
    data = {"min_samples": 1, "timezone": "America/New_York"}
    panel = make_panel(hourly(series=1), data=data)
    step = seen(panel, panel.ends, spec_of(panel, [1]))[0]
    local = panel.ends.frame["cutoff"].dt.tz_localize("UTC").dt.tz_convert("America/New_York").iloc[0]
    assert step["calendar:time"].iloc[0] == ((local.hour + 1) % 24) * 60


def test_settings_choose_lags_and_windows(panel: Panel) -> None:
    spec = spec_of(panel, [1], lags=[3, 1], rolling_windows=[12])
    assert (spec.lags, spec.windows) == ([1, 3], [12])
    assert spec.reach == 14
    assert list(make_mlforecast(spec).ts.transforms) == [
        "lag1",
        "lag3",
        "rolling_mean_lag1_window_size12_min_samples1",
    ]
