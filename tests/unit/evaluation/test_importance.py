"""What forecasts rest on."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kubecast.data.panel import Cutoffs, Panel
from kubecast.evaluation import importance
from kubecast.evaluation.importance import importance_of, permutation_importance
from kubecast.models import make_trainer
from kubecast.models.base import FitPlan
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.models.seasonal_naive import SeasonalNaive
from tests.support.detections import recorded_detections
from tests.support.panels import WITH_COVARIATES, hourly


@dataclass(frozen=True)
class FromCovariate:
    """Forecasts a known-future covariate's own values."""

    column: str
    name: str = "covariate"

    def forecast(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        rows = panel.row_index(origins)[:, None] + np.arange(1, panel.spec.horizon + 1)
        values = panel.frame[self.column].to_numpy(dtype=np.float64)[rows].ravel()
        return panel.grid(origins).assign(covariate=values)

    def save(self, directory: Path) -> None:
        raise NotImplementedError


@pytest.fixture
def panel(make_panel: Callable[..., Panel]) -> Panel:
    return make_panel(hourly(covariates=True), data=WITH_COVARIATES)


@pytest.mark.slow
def test_model_of_one_covariate_rests_on_that_alone(panel: Panel) -> None:
    column = panel.spec.future[0]
    y = panel.frame["y"].interpolate().bfill()
    known = replace(panel, frame=panel.frame.assign(**{column: y.to_numpy()}))
    first, *others = permutation_importance(known, FromCovariate(column), seed=1)
    assert first.feature == column
    assert first.value > 0.1
    assert first.spread is not None
    assert {each.value for each in others} == {0.0}


@pytest.mark.slow
def test_seasonal_naive_rests_on_the_newest_season(panel: Panel) -> None:
    season = panel.spec.season_lengths[0]
    first, *others = permutation_importance(panel, SeasonalNaive(season, "naive"), seed=1)
    assert first.feature == "target, newest season"
    assert first.value > 0
    assert {each.value for each in others} == {0.0}


@pytest.mark.slow
def test_same_seed_gives_the_same(panel: Panel) -> None:
    model = SeasonalNaive(panel.spec.season_lengths[0], "naive")
    once, again, other = (permutation_importance(panel, model, seed) for seed in (1, 1, 2))
    assert once == again != other


def test_changes_of_level_are_looked_for_once_where_the_target_is_not_shuffled(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importance, "WINDOWS", 1)
    monkeypatch.setattr(importance, "SEASONS", 1)
    looks = recorded_detections(monkeypatch)
    importances = permutation_importance(panel, SeasonalNaive(24, "naive"), 1)
    targets = [each for each in importances if each.feature.startswith("target")]
    assert len(importances) > len(targets) == 2
    assert len(looks) == 2 * len(panel.series) * (1 + len(targets))


def test_changes_of_a_shuffled_target_are_not_logged(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(importance, "WINDOWS", 1)
    monkeypatch.setattr(importance, "SEASONS", 1)
    late = panel.frame.groupby("unique_id", observed=True).cumcount() >= 180
    y = panel.frame["y"].where(~late, panel.frame["y"] * 3)
    shifted = replace(panel, frame=panel.frame.assign(y=y))
    with caplog.at_level(logging.INFO):
        permutation_importance(shifted, SeasonalNaive(24, "naive"), 1)
    assert caplog.text.count("the level has shifted") == 1


def test_gaps_stay_where_they_are(panel: Panel) -> None:
    observed = panel.frame["observed"] & (np.arange(len(panel.frame)) % 5 != 3)
    observed.iloc[panel.indptr[:-1]] = True
    gappy = replace(panel, frame=panel.frame.assign(observed=observed, y=panel.frame["y"].where(observed)))
    shuffled = [each for name, each in importance.shuffled_inputs(gappy, gappy.split("validation"), 1)]
    assert len(shuffled) > 3
    for each in shuffled:
        assert (each.frame["observed"] == observed).all()
        assert (each.frame["y"].notna() == observed).all()
        assert each.frame["observed"].iloc[each.indptr[:-1]].all()
    assert any((each.frame["y"].dropna() != gappy.frame["y"].dropna()).any() for each in shuffled)


@pytest.mark.slow
def test_targets_of_the_test_part_are_not_read(panel: Panel) -> None:
    model = SeasonalNaive(panel.spec.season_lengths[0], "naive")
    ends = panel.frame["unique_id"].map(panel.series.set_index("unique_id")["validation_end"])
    later = panel.frame["y"].where(panel.frame["ds"] <= ends, 1e6)
    altered = replace(panel, frame=panel.frame.assign(y=later))
    assert permutation_importance(altered, model, 1) == permutation_importance(panel, model, 1)


def test_nothing_is_told_where_nothing_can_be_scored(panel: Panel) -> None:
    flat = replace(panel, series=panel.series.assign(scale=float("nan")))
    assert permutation_importance(flat, SeasonalNaive(24, "naive"), 1) == []


def test_model_that_knows_its_own_tells_them(panel: Panel) -> None:
    settings = CatBoostSettings(iterations=5, depth=2)
    forecaster, _ = make_trainer("catboost", settings).fit(panel, panel.train_end, FitPlan())
    importances = importance_of(forecaster, panel, 1)
    assert sum(each.value for each in importances) == pytest.approx(100)
    assert [each.value for each in importances] == sorted((each.value for each in importances), reverse=True)
    assert {each.spread for each in importances} == {None}
