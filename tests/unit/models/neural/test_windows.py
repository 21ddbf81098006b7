"""Windows: what a network sees of each, and how its outputs become forecasts."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from kubecast.data.panel import Cutoffs, Panel
from kubecast.models.neural.origins import window_origins
from kubecast.models.neural.windows import Windows
from tests.support.panels import WITH_COVARIATES, hourly
from tests.unit.models.neural.support import spec_of


def first_row(panel: Panel, series: int, step: int) -> np.ndarray:
    return np.array([panel.indptr[series] + step])


@pytest.mark.parametrize("residual", ["none", "last", "season"])
@pytest.mark.parametrize("normalization", ["instance", "series", "none"])
@pytest.mark.parametrize("difference", [None, "season", 4])
def test_perfect_outputs_give_the_targets_back(
    panel: Panel, residual: str, normalization: str, difference: int | str | None
) -> None:
    changes = {"residual": residual, "normalization": normalization, "difference": difference}
    spec = spec_of(panel, **changes).model_copy(update={"target_scale": 2.5})
    windows, rows = Windows(panel, spec), np.array([75, 100, 500])
    batch = windows.batch(rows)
    outputs, weights = windows.targets(rows, batch)
    actual = panel.frame["y"].to_numpy()[rows[:, None] + np.arange(1, 7)]
    np.testing.assert_allclose(batch.forecasts(outputs), actual, rtol=1e-4)
    assert weights.all()


def test_target_far_outside_a_flat_window_is_limited(make_panel: Callable[..., Panel]) -> None:
    rows = hourly(series=1)
    rows.loc[rows.index[:101], "y"] = 5.0 + 1e-3 * np.arange(101)
    windows = Windows(make_panel(rows), spec_of(make_panel(rows), residual="last"))
    outputs, _ = windows.targets(np.array([100]), windows.batch(np.array([100])))
    np.testing.assert_array_equal(outputs, np.full((1, 6), 20.0))


def test_instance_normalization_centres_and_scales_each_window(panel: Panel) -> None:
    target = Windows(panel, spec_of(panel)).batch(np.array([60, 500])).inputs.target
    np.testing.assert_allclose(target.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(target.std(axis=1), 1, rtol=1e-4)


def test_a_series_unseen_at_fit_is_normalized_by_its_window(panel: Panel) -> None:
    seen = Cutoffs(panel.ends.frame.iloc[:2])
    windows = Windows(panel, spec_of(panel, seen, normalization="series"))
    rows = np.concatenate([first_row(panel, 0, 60), first_row(panel, 2, 60)])
    known, unseen = windows.batch(rows).inputs.target
    assert abs(float(known.mean())) > 1e-4
    assert abs(float(unseen.mean())) < 1e-5


def test_season_residual_shows_the_change_over_a_season_once_there_is_one(panel: Panel) -> None:
    windows = Windows(panel, spec_of(panel))
    change = windows.batch(first_row(panel, 1, 50)).inputs.extra[0, :, 0]
    assert not change[: 24 - 3].any()  # the window begins on the series' row 3
    y = panel.frame["y"].to_numpy()[panel.indptr[1] :]
    scale = y[3:51].std()
    np.testing.assert_allclose(change[21:], (y[24:51] - y[0:27]) / scale, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("residual", ["none", "last", "season"])
def test_a_differenced_series_is_seen_as_its_changes(panel: Panel, residual: str) -> None:
    spec = spec_of(panel, residual=residual, difference="season", normalization="none")
    assert (spec.difference, spec.history) == (24, 48 + 24)
    batch = Windows(panel, spec).batch(first_row(panel, 1, 100))
    y = panel.frame["y"].to_numpy()[panel.indptr[1] :]
    np.testing.assert_allclose(
        batch.inputs.target[0], (y[53:101] - y[29:77]).astype(np.float32), rtol=1e-4, atol=1e-5
    )
    change = {"none": 0.0, "last": y[100] - y[76], "season": y[77:83] - y[53:59]}[residual]
    np.testing.assert_allclose(batch.base[0], y[77:83] + change)


def test_a_lag_shorter_than_the_horizon_repeats_the_newest_known_values(panel: Panel) -> None:
    spec = spec_of(panel, residual="none", difference=4, normalization="none")
    base = Windows(panel, spec).batch(first_row(panel, 0, 100)).base[0]
    y = panel.frame["y"].to_numpy()
    np.testing.assert_allclose(base, y[[97, 98, 99, 100, 97, 98]])


def test_the_change_of_a_periodic_series_is_constant(make_panel: Callable[..., Panel]) -> None:
    rows = hourly(series=1)
    rows["y"] = 100 + 30 * np.sin(2 * np.pi * np.arange(len(rows)) / 24)
    panel = make_panel(rows)
    windows = Windows(panel, spec_of(panel, difference="season"))
    batch = windows.batch(np.array([200]))
    assert not windows.targets(np.array([200]), batch)[1].any()
    np.testing.assert_allclose(batch.forecasts(np.ones((1, 6), np.float32))[0], rows["y"][201:207], rtol=1e-9)


def test_unobserved_targets_have_no_weight_and_gaps_are_marked(make_panel: Callable[..., Panel]) -> None:
    panel = make_panel(hourly(series=1).drop(index=range(100, 110)))
    windows = Windows(panel, spec_of(panel))
    rows = np.array([96, 105])
    batch = windows.batch(rows)
    outputs, weights = windows.targets(rows, batch)
    np.testing.assert_array_equal(weights, [[1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1]])
    assert not outputs[weights == 0].any()
    np.testing.assert_array_equal(batch.inputs.extra[1, -7:, 1], [1, 0, 0, 0, 0, 0, 0])
    origins = window_origins(panel, panel.ends, windows.spec, hold_out=False)
    # From rows 99 to 103 all six targets lie in the gap.
    np.testing.assert_array_equal(origins.train, np.r_[47:99, 104:394])


def test_constant_window_gives_finite_inputs_and_is_not_fitted_to(make_panel: Callable[..., Panel]) -> None:
    panel = make_panel(
        hourly(series=2).assign(y=lambda rows: rows["y"].where(rows["unique_id"] == "s0", 7.1))
    )
    windows = Windows(panel, spec_of(panel))
    rows = first_row(panel, 1, 60)
    batch = windows.batch(rows)
    assert np.isfinite(batch.inputs.target).all()
    assert not windows.targets(rows, batch)[1].any()
    np.testing.assert_array_equal(batch.forecasts(np.ones((1, 6), dtype=np.float32)), np.full((1, 6), 7.1))


def test_covariates_over_the_window_and_the_horizon(covariate_panel: Panel) -> None:
    panel = covariate_panel
    windows, rows = Windows(panel, spec_of(panel)), np.array([70])
    inputs = windows.batch(rows).inputs
    promotion, visitors = panel.frame["promotion"].to_numpy(), panel.frame["visitors"].to_numpy()
    standard = (promotion - promotion.mean()) / promotion.std()
    np.testing.assert_allclose(inputs.extra[0, :, 2], standard[23:71], rtol=1e-4)
    np.testing.assert_allclose(
        inputs.extra[0, :, 3], ((visitors - visitors.mean()) / visitors.std())[23:71], 1e-4
    )
    np.testing.assert_allclose(inputs.future[0], standard[71:77], rtol=1e-4)
    origin = Cutoffs.from_frame(panel.frame.iloc[rows], "ds")
    given = windows.batch(rows, panel.future(origin)).inputs
    np.testing.assert_array_equal(given.future, inputs.future)


def test_static_covariates_by_level_and_number(make_panel: Callable[..., Panel]) -> None:
    rows = hourly(covariates=True)
    rows["size"] = rows["unique_id"].map({"s0": 1.0, "s1": 3.0, "s2": 5.0})
    covariates = {**WITH_COVARIATES["covariates"], "static": ["region", "size"]}
    data = {"min_samples": 1, "covariates": covariates}
    panel = make_panel(rows, data=data)
    seen = Cutoffs(panel.ends.frame.iloc[:1])
    windows = Windows(panel, spec_of(panel, Cutoffs(panel.ends.frame.iloc[[0, 2]])))
    last = panel.indptr[1:] - 7
    static = windows.batch(last).inputs.context[:, -2:]
    np.testing.assert_allclose(static, [[-1, 1], [0, 0], [1, 1]])  # s1's region was not seen
    assert spec_of(panel, seen).levels == {"region": ["r0"]}


def test_calendar_phase_repeats_each_season(panel: Panel) -> None:
    windows = Windows(panel, spec_of(panel))
    context = windows.batch(np.array([60, 84, 66])).inputs.context
    np.testing.assert_allclose(context[0], context[1], atol=1e-6)
    assert not np.allclose(context[0], context[2])


def test_twelve_months_are_a_year(make_panel: Callable[..., Panel]) -> None:
    ds = pd.date_range("1980-01-01", periods=400, freq="MS")
    rows = pd.DataFrame({"unique_id": "a", "ds": ds, "y": np.random.default_rng(0).normal(size=400)})
    panel = make_panel(rows, frequency="MS", season_lengths=[12])
    context = Windows(panel, spec_of(panel)).batch(np.arange(60, 360, 12)).inputs.context
    assert context.shape == (25, 6)
    np.testing.assert_allclose(context, context[:1].repeat(25, axis=0), atol=0.06)


def test_memory_grows_with_rows_and_not_with_windows(covariate_panel: Panel) -> None:
    windows = Windows(covariate_panel, spec_of(covariate_panel))
    held = sum(value.nbytes for value in vars(windows).values() if isinstance(value, np.ndarray))
    assert held < 64 * len(covariate_panel.frame)
