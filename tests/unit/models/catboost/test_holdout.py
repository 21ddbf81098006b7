"""The tail that stops a fit early."""

from collections.abc import Callable

import numpy as np

from kubecast.data.panel import Panel
from kubecast.models.base import FitPlan
from kubecast.models.catboost.features import design
from kubecast.models.catboost.holdout import tail_lengths
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.models.catboost.weighting import tail_origins
from tests.support.panels import hourly
from tests.unit.models.catboost.support import trainer


def test_the_tail_is_a_tenth_of_the_rows_that_are_kept(make_panel: Callable[..., Panel]) -> None:
    panel = make_panel(hourly(series=1, rows=400))
    spec = design(panel, panel.ends, CatBoostSettings(), [24])
    lengths = np.array([400, 30, 30, 30, 30])  # the short ones are not fitted to and take no share
    assert tail_lengths(panel, lengths, spec, 200).tolist() == [20, 6, 6, 6, 6]
    assert len(tail_origins(panel, panel.ends, spec, 200))
    assert not len(tail_origins(panel, panel.ends, spec, 8))  # no horizon fits into the tail


def test_few_rows_of_each_of_many_series_are_still_split(panel: Panel) -> None:
    horizon, series = panel.spec.horizon, len(panel.ids)
    forecaster, log = trainer(max_rows=series * horizon).fit(panel, panel.train_end, FitPlan())
    assert not log.fallbacks
    assert np.isfinite(forecaster.forecast(panel, panel.split("test"))["catboost"]).all()


def test_the_tail_of_a_short_history_leaves_two_thirds_of_the_rows(make_panel: Callable[..., Panel]) -> None:
    panel = make_panel(hourly(series=3).groupby("unique_id").head(18), season_lengths=[1])
    assert panel.spec.splits.rung == "no_validation"
    spec = design(panel, panel.train_end, CatBoostSettings(), [1])
    assert spec.needed == 3
    assert tail_lengths(panel, np.array([2, 3, 12, 30]), spec, 200).tolist() == [0, 0, 3, 6]
