"""What a trial is scored by: folds of the training split, and nothing after it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubecast.config.model import ModelSettings
from kubecast.data.panel import Panel
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.errors import ModelError
from kubecast.models import make_trainer
from kubecast.models.base import FitPlan
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.models.neural.settings import LstmSettings
from kubecast.scoring.metrics import scorable
from kubecast.tuning.ensemble import EnsembleObjective
from kubecast.tuning.objective import ModelObjective, training_folds
from tests.support.detections import recorded_detections
from tests.support.panels import hourly

pytestmark = pytest.mark.slow

TREES = CatBoostSettings(iterations=20, depth=3)
NETWORK = LstmSettings(sequence_length=48, patch_length=4, hidden_units=[8], epochs=3, batch_size=64)


def test_blocks_lie_inside_the_training_part_in_order(panel: Panel) -> None:
    folds = training_folds(panel, 3)
    assert len(folds) == 3
    ends = panel.train_end.frame.set_index("unique_id")["cutoff"]
    step = pd.Timedelta(hours=1)
    for fold, following in zip(folds, [*folds[1:], None], strict=True):
        fitted = fold.until.frame.set_index("unique_id")["cutoff"]
        origins = fold.origins.frame.groupby("unique_id")["cutoff"]
        last_target = origins.max() + panel.spec.horizon * step
        assert (origins.min() == fitted).all()
        assert (
            last_target
            <= (ends if following is None else following.until.frame.set_index("unique_id")["cutoff"])
        ).all()
        assert fold.targets.shape == (len(fold.origins), panel.spec.horizon)


def test_blocks_are_fewer_where_the_rows_before_them_would_not_do(make_panel: Callable[..., Panel]) -> None:
    panel = make_panel(hourly(series=1, rows=150))
    assert 0 < len(training_folds(panel, 10)) < 10


def test_training_part_that_is_too_short_is_refused(make_panel: Callable[..., Panel]) -> None:
    panel = make_panel(hourly(series=1, rows=90), horizon=20)
    with pytest.raises(ModelError, match=r"tuning needs series with \d+ training rows, the median has \d+"):
        training_folds(panel, 3)


def test_series_without_a_scale_do_not_count_and_if_none_has_one_it_is_refused(
    make_panel: Callable[..., Panel],
) -> None:
    rows = hourly()
    rows.loc[rows["unique_id"] == "s1", "y"] = 5.0
    panel = make_panel(rows)
    flat = panel.series.assign(scale=panel.series["scale"].where(panel.series["unique_id"] != "s1"))
    some = Panel(panel.frame, panel.static, panel.spec, flat, panel.origins)
    (fold,) = training_folds(some, 1)
    counted = {some.ids[code] for code in fold.series[np.isfinite(fold.targets).any(axis=1)]}
    assert counted == {"s0", "s2"}
    none = Panel(panel.frame, panel.static, panel.spec, flat.assign(scale=np.nan), panel.origins)
    with pytest.raises(ModelError, match="no target of the training split counts"):
        training_folds(none, 1)


def test_error_is_the_mase_over_every_block(panel: Panel) -> None:
    objective = ModelObjective.from_panel(panel, "catboost", TREES, 2)
    scale = panel.series.set_index("unique_id")["scale"]
    expected = []
    for fold in objective.folds:
        forecaster, _ = make_trainer("catboost", TREES).fit(panel, fold.until, FitPlan(seed=3))
        table = forecaster.forecast(panel, fold.origins).merge(panel.targets(fold.origins))
        table = table[scorable(table, panel.series)]
        error = (table["catboost"] - table["y"]).abs() / table["unique_id"].map(scale)
        expected.append(error.groupby(table["unique_id"]).mean().mean())
    assert objective.error(TREES, 3) == pytest.approx(np.mean(expected), rel=1e-9)


@pytest.mark.parametrize(
    ("kind", "settings", "folds"), [("catboost", TREES, 2), ("lstm", NETWORK, 1)], ids=["catboost", "lstm"]
)
def test_nothing_after_the_training_part_changes_a_trial(
    make_panel: Callable[..., Panel], kind: str, settings: ModelSettings, folds: int
) -> None:
    rows = hourly()
    panel = make_panel(rows)
    ends = panel.train_end.frame.set_index("unique_id")["cutoff"]
    late = rows["ds"] > rows["unique_id"].map(ends)
    assert late.any()
    rows.loc[late, "y"] = rows.loc[late, "y"] * 3 + 1000
    other = make_panel(rows)

    def searched(panel: Panel) -> tuple[float, list[Any]]:
        reports: list[Any] = []
        objective = ModelObjective.from_panel(panel, kind, settings, folds)
        return objective.error(settings, 1, lambda *report: reports.append(report)), reports

    error, reports = searched(panel)
    assert np.isfinite(error)
    again, others = searched(other)
    assert again == pytest.approx(error, rel=1e-5)
    np.testing.assert_allclose(others, reports, rtol=1e-5)


def test_nothing_after_the_training_part_changes_a_trial_of_the_ensemble(
    make_panel: Callable[..., Panel],
) -> None:
    rows = hourly()
    panel = make_panel(rows)
    ends = panel.train_end.frame.set_index("unique_id")["cutoff"]
    late = rows["ds"] > rows["unique_id"].map(ends)
    rows.loc[late, "y"] = rows.loc[late, "y"] * 3 + 1000
    errors = [
        EnsembleObjective(each, {"catboost": TREES}, 2).error(EnsembleSettings(), 1, lambda *_: None)
        for each in (panel, make_panel(rows))
    ]
    assert errors[1] == pytest.approx(errors[0], rel=1e-9)


def test_changes_of_level_are_looked_for_once_for_all_trials_and_members(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = recorded_detections(monkeypatch)
    model = ModelObjective.from_panel(panel, "catboost", TREES, 2)
    ensemble = EnsembleObjective(panel, {"catboost": TREES}, 2)
    looks_at_first = len(looks)
    for seed in (1, 2):
        model.error(TREES, seed, lambda *_: None)
        ensemble.error(EnsembleSettings(), seed, lambda *_: None)
    assert len(looks) == looks_at_first > 0


@pytest.mark.long
def test_network_reports_every_epoch_in_the_units_of_the_result(panel: Panel) -> None:
    objective = ModelObjective.from_panel(panel, "lstm", NETWORK, 2)
    reports: list[tuple[int, float]] = []
    error = objective.error(NETWORK, 1, lambda step, value: reports.append((step, value)))
    assert [step for step, _ in reports] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert objective.steps == 8
    assert objective.trained == 6
    assert reports[-1] == (8, error)
    # The last epoch's report is of the very network that is kept.
    assert reports[2][1] == pytest.approx(reports[3][1])
    assert max(value for _, value in reports) < 10 * error


def test_trees_report_every_block(panel: Panel) -> None:
    objective = ModelObjective.from_panel(panel, "catboost", TREES, 3)
    reports: list[tuple[int, float]] = []
    error = objective.error(TREES, 1, lambda step, value: reports.append((step, value)))
    assert [step for step, _ in reports] == [1, 2, 3]
    assert reports[-1][1] == error
    assert (objective.steps, objective.fitted, objective.trained) == (3, 3, 0)


def test_report_that_raises_ends_the_trial(panel: Panel) -> None:
    class EnoughError(Exception):
        pass

    def report(step: int, value: float) -> None:
        raise EnoughError

    objective = ModelObjective.from_panel(panel, "lstm", NETWORK, 3)
    with pytest.raises(EnoughError):
        objective.error(NETWORK, 1, report)
    assert (objective.fitted, objective.trained) == (1, 1)


@pytest.mark.long
def test_trial_that_takes_too_long_ends_with_what_it_has(panel: Panel) -> None:
    objective = ModelObjective.from_panel(panel, "lstm", NETWORK, 1, limit=0.0)
    error = objective.error(NETWORK, 1)
    assert objective.trained == 0
    assert error > ModelObjective.from_panel(panel, "lstm", NETWORK, 1).error(NETWORK, 1)


def test_ensemble_is_scored_by_its_members_forecasts_of_the_blocks(panel: Panel) -> None:
    objective = EnsembleObjective(panel, {"catboost": TREES}, 1)
    reports: list[tuple[int, float]] = []
    greedy = objective.error(EnsembleSettings(), 1, lambda *report: reports.append(report))
    assert reports == [(1, greedy)]
    assert objective.error(EnsembleSettings(), 1, lambda *_: None) == greedy
    assert objective.error(EnsembleSettings(method="equal"), 1, lambda *_: None) != greedy
    assert objective.error(EnsembleSettings(), 2, lambda *_: None) != greedy


def test_ensemble_goes_on_without_a_member_that_fails(panel: Panel) -> None:
    broken = LstmSettings(sequence_length=2000, hidden_units=[4], epochs=1)
    both = EnsembleObjective(panel, {"catboost": TREES, "lstm": broken}, 2)
    alone = EnsembleObjective(panel, {"catboost": TREES}, 2)
    assert both.error(EnsembleSettings(), 1, lambda *_: None) == alone.error(
        EnsembleSettings(), 1, lambda *_: None
    )


def test_ensemble_wants_two_blocks(make_panel: Callable[..., Panel]) -> None:
    panel = make_panel(hourly(series=1, rows=60))
    assert len(training_folds(panel, 2)) == 1
    with pytest.raises(ModelError, match="the training split holds one fold"):
        EnsembleObjective(panel, {"catboost": TREES}, 1)


def test_origins_are_shared_by_many_series(
    make_panel: Callable[..., Panel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubecast.tuning.objective.ALL_ORIGINS", 6)
    (fold,) = training_folds(make_panel(hourly()), 1)
    assert len(fold.origins) in (3, 6)
