"""The linear skip: what it is regressed on, and how well it forecasts alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubecast.data.panel import Panel
from kubecast.models.neural.linear_skip import ridge
from kubecast.models.seasonal_naive import SeasonalNaive
from tests.support.panels import hourly
from tests.unit.models.neural.support import fit


@pytest.mark.slow
def test_linear_skip_alone_continues_a_linear_recurrence(make_panel: Callable[..., Panel]) -> None:
    steps = np.arange(400)
    y = 50 + np.sin(2 * np.pi * steps / 24) + np.cos(2 * np.pi * steps / 17)
    ds = pd.date_range("2024-01-01", periods=400, freq="h")
    panel = make_panel(pd.DataFrame({"unique_id": "a", "ds": ds, "y": y}))
    forecaster, log = fit(panel, linear_skip=True, time_limit=1e-3)
    forecasts = forecaster.forecast(panel, panel.split("test"))
    joined = forecasts.merge(panel.frame, on=["unique_id", "ds"])
    np.testing.assert_allclose(joined["lstm"], joined["y"], atol=0.05)
    assert log.fixed_fit["penalty"] == pytest.approx(1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({}, True),
        ({"sequence_length": 24 + 5, "patch_length": 1}, True),
        ({"sequence_length": 24 + 6, "patch_length": 1}, False),
        ({"difference": 6}, False),
    ],
)
def test_linear_skip_sees_phases_where_the_window_does_not_show_a_horizon_of_them(
    covariate_panel: Panel, changes: dict[str, Any], needed: bool
) -> None:
    assert (max(covariate_panel.spec.season_lengths), covariate_panel.spec.horizon) == (24, 6)
    forecaster, _ = fit(covariate_panel, linear_skip=True, time_limit=1e-3, **changes)
    weights, bias = forecaster.network.get_layer("linear_skip").get_weights()
    first = forecaster.spec.sequence_length
    after = first + forecaster.spec.phase_columns
    assert weights[:first].any()
    assert weights[first:after].any() == needed
    assert weights[after:].any(axis=1).all()
    assert bias.any()


def test_ridge_of_each_step_uses_the_rows_where_it_is_observed() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 3)).astype(np.float32)
    y = (x @ random.normal(size=(3, 2))).astype(np.float32)
    weights = np.ones_like(y)
    y[:50, 1], weights[:50, 1] = 1e6, 0
    (coefficients,) = ridge(x, y, weights, (1e-9,))
    np.testing.assert_allclose(coefficients[:, 0], np.linalg.lstsq(x, y[:, 0], rcond=None)[0], rtol=1e-3)
    np.testing.assert_allclose(
        coefficients[:, 1], np.linalg.lstsq(x[50:], y[50:, 1], rcond=None)[0], rtol=1e-3
    )


@pytest.mark.slow
def test_gaps_leave_the_linear_skip_accurate(make_panel: Callable[..., Panel]) -> None:
    rows = hourly(series=1)
    whole, gappy = make_panel(rows), make_panel(rows.drop(index=range(30, 250, 11)))
    for panel in (whole, gappy):
        forecaster, _ = fit(panel, linear_skip=True, time_limit=1e-3)
        forecasts = forecaster.forecast(panel, panel.split("test")).merge(panel.frame, on=["unique_id", "ds"])
        naive = SeasonalNaive(24, "naive").forecast(panel, panel.split("test")).merge(panel.frame)
        error = (forecasts["lstm"] - forecasts["y"]).abs().mean()
        assert error < (naive["naive"] - naive["y"]).abs().mean()
