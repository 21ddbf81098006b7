"""Forecasts of fitted ARIMAs from any history, and their file."""

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from kubecast.data.panel import Cutoffs, Panel
from kubecast.errors import DataError
from kubecast.models.arima.filter import Arima
from kubecast.models.arima.forecaster import ArimaForecaster
from kubecast.models.arima.recipe import Recipe, SeriesModel
from kubecast.models.seasonal_naive import seasonal_naive
from tests.support.panels import hourly
from tests.unit.models.arima.support import MakePanel, train


def test_fourier_terms_keep_their_phase_when_the_history_begins_elsewhere(
    make_panel: MakePanel,
) -> None:
    rows = hourly(series=1)
    panel, later = make_panel(rows), make_panel(rows.iloc[31:])
    for fitted, other in ((panel, later), (later, panel)):
        forecaster = train(fitted, deseasonalize="fourier")
        origins = fitted.split("test")
        expected = forecaster.forecast(fitted, origins)["arima"]
        np.testing.assert_allclose(forecaster.forecast(other, origins)["arima"], expected, rtol=0.01)


def test_a_forecast_far_outside_the_history_is_replaced(
    panel: Panel, caplog: pytest.LogCaptureFixture
) -> None:
    rows = panel.frame.copy()
    last = int(panel.indptr[1]) - 1
    trend = Arima([1.0], [1.0], (2, 0), 1)  # a double difference runs away from a jump
    forecaster = train(panel)
    models = {**forecaster.models, "s0": [SeriesModel(Recipe((0, 2, 0)), trend, [], [])]}
    rows.loc[last, "y"] = 1e9
    jumped = Panel(rows, panel.static, panel.spec, panel.series, panel.origins)
    origin = Cutoffs(panel.ends.frame.iloc[:1])
    broken = ArimaForecaster("arima", models, [], [24], 0, 24)
    with caplog.at_level(logging.WARNING):
        forecasts = broken.forecast(jumped, origin)["arima"]
    np.testing.assert_array_equal(forecasts, seasonal_naive(jumped, origin, 24).ravel())
    assert "1 of 1 forecasts were not plausible" in caplog.text


@pytest.mark.slow
def test_forecasting_without_a_covariate_of_the_fit_is_an_error(covariate_panel: Panel, panel: Panel) -> None:
    with pytest.raises(DataError, match="covariate promotion is missing"):
        train(covariate_panel).forecast(panel, panel.ends)


def test_what_is_saved_loads_to_the_same_model(panel: Panel, tmp_path: Path) -> None:
    forecaster = train(panel)
    forecaster.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["arima.json", "arima.parquet"]
    loaded = ArimaForecaster.load(tmp_path)
    assert replace(loaded, models=dict(loaded.models)) == forecaster
    loaded.save(tmp_path / "again")
    for path in tmp_path.glob("arima.*"):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_a_model_whose_series_stand_in_one_json_file_loads(panel: Panel, tmp_path: Path) -> None:
    forecaster = train(panel)
    (tmp_path / "arima.json").write_text(json.dumps(asdict(forecaster)))
    assert ArimaForecaster.load(tmp_path) == forecaster


def test_forecasting_no_origins_gives_no_rows(panel: Panel) -> None:
    assert train(panel).forecast(panel, Cutoffs(panel.ends.frame.iloc[:0])).empty
