"""The lags that the target is differenced by, where they are automatic."""

from collections.abc import Callable

import numpy as np

from kubecast.data.panel import Panel
from kubecast.models.base import FitPlan
from tests.support.panels import hourly
from tests.unit.models.catboost.support import trainer


def test_auto_differences_by_the_season_of_a_seasonal_series(panel: Panel) -> None:
    forecaster, log = trainer(differences="auto").fit(panel, panel.train_end, FitPlan())
    assert forecaster.members[0].spec.differences == [24]
    assert log.fixed_fit["members"][0]["differences"] == [24]


def test_auto_differences_by_one_step_where_there_is_no_season(make_panel: Callable[..., Panel]) -> None:
    random = np.random.default_rng(0)
    y = np.cumsum(random.normal(size=(2, 400)), axis=1).ravel()
    panel = make_panel(hourly(series=2, rows=400).assign(y=y[:770]))
    forecaster, _ = trainer(differences="auto").fit(panel, panel.train_end, FitPlan())
    assert forecaster.members[0].spec.differences == [1]


def test_auto_leaves_out_a_season_that_history_does_not_hold_twice(make_panel: Callable[..., Panel]) -> None:
    panel = make_panel(hourly(series=1), season_lengths=[24, 168])
    forecaster, _ = trainer(differences="auto").fit(panel, panel.train_end, FitPlan())
    assert forecaster.members[0].spec.differences in ([1], [24])


def test_gap_in_the_history_does_not_spoil_the_choice_of_differences(
    make_panel: Callable[..., Panel],
) -> None:
    rows = hourly(series=1).drop(index=range(240, 270))
    panel = make_panel(rows)
    forecaster, _ = trainer(differences="auto").fit(panel, panel.train_end, FitPlan())
    assert np.isfinite(forecaster.forecast(panel, panel.ends)["catboost"]).all()
