"""The engines, each by the orders that it searches and repeats."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubecast.data.panel import Cutoffs
from kubecast.models.arima import estimation
from kubecast.models.arima.filter import Arima
from kubecast.models.arima.settings import ArimaSettings
from kubecast.models.arima.trainer import ArimaTrainer
from kubecast.models.base import FitPlan
from tests.support.panels import hourly
from tests.unit.models.arima.support import MakePanel, errors


@pytest.mark.long
@pytest.mark.parametrize("engine", ["css", "pmdarima", "statsforecast"])
def test_seasonal_orders_are_searched_and_replayed(make_panel: MakePanel, engine: str) -> None:
    random = np.random.default_rng(0)
    ds = pd.date_range("2000-01-01", periods=140, freq="MS")
    y = 50 + 0.2 * np.arange(140) + 10 * np.tile([1, 3, -2, 0], 35) + random.normal(size=140)
    panel = make_panel(pd.DataFrame({"ds": ds, "y": y}), season_lengths=[4], frequency="MS")
    trainer = ArimaTrainer(ArimaSettings(engine=engine, max_order=[1, 1, 0], seasonal=True), "arima")
    forecaster, log = trainer.fit(panel, panel.train_end, FitPlan())
    recipe = forecaster.models["series"][0].recipe
    assert recipe.start == 0
    assert any(recipe.seasonal)
    forecasts = forecaster.forecast(panel, panel.split("test"))["arima"].to_numpy()
    assert errors(panel, forecasts, panel.split("test")) < 3
    _, replayed = trainer.fit(panel, panel.ends, FitPlan(fixed_fit=log.fixed_fit))
    assert (replayed.fixed_fit, replayed.stopped, replayed.fallbacks) == (log.fixed_fit, "replayed", {})


@pytest.mark.parametrize("rows", [20, 30, 47])
def test_fewer_rows_than_two_seasons_are_not_differenced_by_it(make_panel: MakePanel, rows: int) -> None:
    panel = make_panel(hourly(series=1, rows=400))
    early = panel.frame.groupby("unique_id").nth(rows - 1)[["unique_id", "ds"]]
    trainer = ArimaTrainer(ArimaSettings(engine="css", max_order=[1, 1, 1], seasonal=True), "arima")
    forecaster, log = trainer.fit(panel, Cutoffs.from_frame(early, "ds"), FitPlan())
    assert not log.fallbacks
    assert forecaster.models["s0"][0].recipe.seasonal[1] == 0


@pytest.mark.parametrize(
    ("rows", "settings", "engine"),
    [
        (150, {}, "statsforecast"),
        (151, {}, "css"),
        (150, {"engine": "css"}, "css"),
        (151, {"engine": "pmdarima"}, "pmdarima"),
    ],
)
def test_auto_engine(
    make_panel: MakePanel,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    settings: dict[str, Any],
    engine: str,
) -> None:
    panel = make_panel(hourly(series=1, rows=rows + 40))
    early = panel.frame.groupby("unique_id").nth(rows - 1)[["unique_id", "ds"]]
    trainer = ArimaTrainer(ArimaSettings(max_order=[1, 1, 1], **settings), "arima")
    _, log = trainer.fit(panel, Cutoffs.from_frame(early, "ds"), FitPlan())
    assert log.fixed_fit["engine"] == engine
    refit, used = estimation.refit, []

    def recorded(values: Any, recipe: Any, period: int, engine: str) -> Arima:
        used.append(engine)
        return refit(values, recipe, period, engine)  # type: ignore[arg-type]

    monkeypatch.setattr(estimation, "refit", recorded)
    trainer.fit(panel, panel.ends, FitPlan(fixed_fit=log.fixed_fit))
    assert set(used) == {engine}
