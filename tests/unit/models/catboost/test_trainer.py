"""CatBoost: what is its own; what every model must do is in test_every_model."""

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from catboost import CatBoostError, CatBoostRegressor

from kubecast.data.panel import Cutoffs, Panel
from kubecast.errors import ModelError
from kubecast.models.base import FitPlan
from kubecast.models.seasonal_naive import seasonal_naive
from tests.support.panels import hourly
from tests.unit.models.catboost.support import trainer


def error_of(panel: Panel, forecasts: pd.DataFrame) -> float:
    joined = forecasts.merge(panel.targets(panel.split("test")), on=["unique_id", "cutoff", "ds"])
    return float((joined["y"] - joined["catboost"]).abs().mean())


@pytest.mark.slow
def test_beats_the_seasonal_naive_forecast(panel: Panel) -> None:
    forecaster, _ = trainer(iterations=100).fit(panel, panel.train_end, FitPlan())
    origins = panel.split("test")
    forecasts = forecaster.forecast(panel, origins)
    naive = forecasts.assign(catboost=seasonal_naive(panel, origins, 24).ravel())
    assert error_of(panel, forecasts) < 0.9 * error_of(panel, naive)


def test_every_setting_reaches_catboost(panel: Panel) -> None:
    settings = {"learning_rate": 0.3, "l2_leaf_reg": 5.0, "bagging_temperature": 0.5, "od_wait": 7}
    forecaster, _ = trainer(**settings, loss_function="MAE", eval_metric="RMSE").fit(
        panel, panel.train_end, FitPlan(seed=11)
    )
    parameters = forecaster.members[0].model.get_params()
    expected = {**settings, "iterations": 20, "depth": 3, "bootstrap_type": "Bayesian", "od_type": "Iter"}
    expected |= {"loss_function": "MAE", "eval_metric": "RMSE", "random_seed": 11}
    assert expected.items() <= parameters.items()
    assert "early_stopping_rounds" not in parameters


def test_both_curves_are_of_the_metric_that_stops_the_fit(panel: Panel) -> None:
    logs = [
        trainer(loss_function="RMSE", eval_metric=metric).fit(panel, panel.train_end, FitPlan())[1]
        for metric in ("MAE", "RMSE")
    ]
    assert logs[0].curves["train"][0] < logs[1].curves["train"][0]  # a mean of absolute errors is smaller
    for log in logs:
        assert log.curves["train"][0] == pytest.approx(log.curves["validation"][0], rel=0.3)


def test_other_bootstrap_and_detector(panel: Panel) -> None:
    forecaster, _ = trainer(bootstrap_type="MVS", od_type="IncToDec").fit(panel, panel.train_end, FitPlan())
    parameters = forecaster.members[0].model.get_params()
    assert parameters["od_pval"] > 0
    assert "bagging_temperature" not in parameters


def test_stops_early_and_keeps_the_best_iteration(panel: Panel) -> None:
    forecaster, log = trainer(iterations=500, learning_rate=0.5, od_wait=5).fit(
        panel, panel.train_end, FitPlan()
    )
    assert log.stopped == "early_stopping"
    assert log.best == int(np.argmin(log.curves["validation"]))
    assert log.fixed_fit == {
        "members": [
            {"iterations": forecaster.members[0].model.tree_count_, "differences": [24], "weight": 1.0}
        ]
    }


def test_replay_grows_the_same_number_of_trees_without_a_tail(panel: Panel) -> None:
    replay = {"members": [{"iterations": 7, "differences": [1], "weight": 1.0}]}
    forecaster, log = trainer().fit(panel, panel.ends, FitPlan(fixed_fit=replay))
    assert forecaster.members[0].model.tree_count_ == 7
    assert forecaster.members[0].spec.differences == [1]
    assert list(log.curves) == ["train"]


@pytest.mark.parametrize(
    "fixed_fit",
    [
        {"members": [{"iterations": 7}]},
        {"members": [{"iterations": "7", "differences": [1]}]},
        {"members": []},
        {"orders": []},
    ],
)
def test_foreign_fixed_fit_is_refused(panel: Panel, fixed_fit: dict[str, object]) -> None:
    with pytest.raises(ModelError, match=r"^fixed_fit .* allowed: members with iterations"):
        trainer().fit(panel, panel.ends, FitPlan(fixed_fit=fixed_fit))  # type: ignore[arg-type]


def test_no_differences(panel: Panel) -> None:
    forecaster, _ = trainer(differences="none").fit(panel, panel.train_end, FitPlan())
    assert forecaster.members[0].spec.differences == []
    assert np.isfinite(forecaster.forecast(panel, panel.ends)["catboost"]).all()


@pytest.mark.slow
def test_deadline_ends_the_fit_between_trees(panel: Panel) -> None:
    started = time.monotonic()
    _, log = trainer(iterations=10**6, od_wait=10**6).fit(
        panel, panel.train_end, FitPlan(deadline=started + 1.5)
    )
    assert log.stopped == "time_limit"
    assert 0 < len(log.curves["train"]) < 10**6


def test_loss_is_reported_and_a_pruned_fit_raises(panel: Panel) -> None:
    class PrunedError(Exception):
        pass

    seen: list[tuple[int, float]] = []

    def report(step: int, loss: float) -> None:
        seen.append((step, loss))
        if len(seen) == 2:
            raise PrunedError

    with pytest.raises(PrunedError):
        trainer(iterations=100).fit(panel, panel.train_end, FitPlan(on_step=report))
    assert len(seen) == 2
    assert seen[0][0] < seen[1][0]
    assert all(loss > 0 for _, loss in seen)


def test_too_short_names_the_minimum(panel: Panel) -> None:
    early = panel.frame.groupby("unique_id").nth(20)[["unique_id", "ds"]]
    with pytest.raises(ModelError, match=r"the longest has 21 training rows; allowed: at least 55 rows"):
        trainer().fit(panel, Cutoffs.from_frame(early, "ds"), FitPlan())
    with pytest.raises(ModelError, match=r"the longest has 0 training rows"):
        trainer(differences="auto").fit(
            panel, Cutoffs(early.iloc[:0].rename(columns={"ds": "cutoff"})), FitPlan()
        )


def test_constant_series_gets_the_fallback_and_is_named(make_panel: Callable[..., Panel]) -> None:
    rows = hourly(series=2)
    rows.loc[rows["unique_id"] == "s1", "y"] = 7.0
    panel = make_panel(rows)
    forecaster, log = trainer().fit(panel, panel.train_end, FitPlan())
    forecasts = forecaster.forecast(panel, panel.ends)
    assert list(log.fallbacks) == ["s1"]
    assert (forecasts.loc[forecasts["unique_id"] == "s1", "catboost"] == 7.0).all()


def test_failure_of_catboost_is_a_model_error(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise CatBoostError("out\nof memory")

    monkeypatch.setattr(CatBoostRegressor, "fit", fail)
    with pytest.raises(ModelError, match="catboost: out of memory"):
        trainer().fit(panel, panel.train_end, FitPlan())


def test_loss_that_is_not_finite_is_a_model_error(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        CatBoostRegressor, "get_evals_result", lambda self: {"learn": {"MAE": [float("nan")]}}
    )
    with pytest.raises(ModelError, match="not finite"):
        trainer().fit(panel, panel.train_end, FitPlan())


@pytest.mark.slow
def test_averaged_models_differ_in_differences_and_are_replayed_with_their_weights(panel: Panel) -> None:
    several = trainer(differences="auto", n_models=4)
    forecaster, log = several.fit(panel, panel.train_end, FitPlan(seed=3))
    assert [member.spec.differences for member in forecaster.members] == [[24], [1], [24, 1], [24]]
    assert [member.model.get_params()["random_seed"] for member in forecaster.members] == [3, 4, 5, 6]
    weights = [member.weight for member in forecaster.members]
    assert sum(weights) == pytest.approx(1)
    assert len(set(weights)) == 4
    again, replayed = several.fit(panel, panel.ends, FitPlan(seed=3, fixed_fit=log.fixed_fit))
    assert replayed.fixed_fit == log.fixed_fit
    assert [member.weight for member in again.members] == pytest.approx(weights)


def test_a_model_that_the_rows_do_not_suffice_for_is_left_out(panel: Panel) -> None:
    early = panel.frame.groupby("unique_id").nth(62)[["unique_id", "ds"]]
    members = [{"iterations": 5, "differences": lags, "weight": 0.5} for lags in ([24, 24], [1])]
    forecaster, _ = trainer().fit(
        panel, Cutoffs.from_frame(early, "ds"), FitPlan(fixed_fit={"members": members})
    )
    assert [(member.spec.differences, member.weight) for member in forecaster.members] == [([1], 1.0)]


@pytest.mark.slow
def test_a_late_replay_tells_what_it_fitted(panel: Panel) -> None:
    several = trainer(n_models=3)
    _, log = several.fit(panel, panel.train_end, FitPlan())
    forecaster, late = several.fit(
        panel, panel.ends, FitPlan(fixed_fit=log.fixed_fit, deadline=time.monotonic())
    )
    assert late.stopped == "time_limit"
    assert len(late.fixed_fit["members"]) == len(forecaster.members) == 1


def test_deadline_leaves_out_models_that_were_not_begun(panel: Panel) -> None:
    forecaster, log = trainer(n_models=3).fit(panel, panel.train_end, FitPlan(deadline=time.monotonic()))
    assert log.stopped == "time_limit"
    assert [member.weight for member in forecaster.members] == [1.0]
