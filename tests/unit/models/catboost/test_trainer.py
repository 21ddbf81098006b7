"""CatBoost: what is its own; what every model must do is in test_every_model."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from catboost import CatBoostError, CatBoostRegressor

from kubecast.data.panel import Cutoffs, Panel
from kubecast.errors import IntegrityError, ModelError
from kubecast.models.averaging import inverse_error_weights
from kubecast.models.base import FitPlan
from kubecast.models.catboost import trainer as module
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.models.catboost.trainer import CatBoostForecaster, CatBoostTrainer
from kubecast.models.seasonal_naive import seasonal_naive
from tests.conftest import hourly

SMALL = {"iterations": 20, "depth": 3, "differences": [24]}


def trainer(**settings: object) -> CatBoostTrainer:
    return CatBoostTrainer(CatBoostSettings.model_validate({**SMALL, **settings}), "catboost")


def error_of(panel: Panel, found: pd.DataFrame) -> float:
    joined = found.merge(panel.targets(panel.part("test")), on=["unique_id", "cutoff", "ds"])
    return float((joined["y"] - joined["catboost"]).abs().mean())


@pytest.fixture(scope="module")
def fitted(panel: Panel) -> CatBoostForecaster:
    return trainer().fit(panel, panel.train_end, FitPlan())[0]


def test_beats_the_seasonal_naive_forecast(panel: Panel) -> None:
    forecaster, _ = trainer(iterations=100).fit(panel, panel.train_end, FitPlan())
    origins = panel.part("test")
    found = forecaster.forecast(panel, origins)
    naive = found.assign(catboost=seasonal_naive(panel, origins, 24).ravel())
    assert error_of(panel, found) < 0.9 * error_of(panel, naive)


def test_every_setting_reaches_catboost(panel: Panel) -> None:
    settings = {"learning_rate": 0.3, "l2_leaf_reg": 5.0, "bagging_temperature": 0.5, "od_wait": 7}
    forecaster, _ = trainer(**settings, loss_function="MAE", eval_metric="RMSE").fit(
        panel, panel.train_end, FitPlan(seed=11)
    )
    found = forecaster.members[0].model.get_params()
    expected = {**settings, "iterations": 20, "depth": 3, "bootstrap_type": "Bayesian", "od_type": "Iter"}
    expected |= {"loss_function": "MAE", "eval_metric": "RMSE", "random_seed": 11}
    assert expected.items() <= found.items()
    assert "early_stopping_rounds" not in found


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
    found = forecaster.members[0].model.get_params()
    assert found["od_pval"] > 0
    assert "bagging_temperature" not in found


def test_stops_early_and_keeps_the_best_iteration(panel: Panel) -> None:
    forecaster, log = trainer(iterations=500, learning_rate=0.5, od_wait=5).fit(
        panel, panel.train_end, FitPlan()
    )
    assert log.stopped == "early_stopping"
    assert log.best == int(np.argmin(log.curves["validation"]))
    assert log.replay == {
        "members": [
            {"iterations": forecaster.members[0].model.tree_count_, "differences": [24], "weight": 1.0}
        ]
    }


def test_replay_grows_the_same_number_of_trees_without_a_tail(panel: Panel) -> None:
    replay = {"members": [{"iterations": 7, "differences": [1], "weight": 1.0}]}
    forecaster, log = trainer().fit(panel, panel.ends, FitPlan(replay=replay))
    assert forecaster.members[0].model.tree_count_ == 7
    assert forecaster.members[0].spec.differences == [1]
    assert list(log.curves) == ["train"]


@pytest.mark.parametrize(
    "replay",
    [
        {"members": [{"iterations": 7}]},
        {"members": [{"iterations": "7", "differences": [1]}]},
        {"members": []},
        {"orders": []},
    ],
)
def test_foreign_replay_is_refused(panel: Panel, replay: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="allowed: members with iterations"):
        trainer().fit(panel, panel.ends, FitPlan(replay=replay))  # type: ignore[arg-type]


def test_auto_differences_by_the_season_of_a_seasonal_series(panel: Panel) -> None:
    forecaster, log = trainer(differences="auto").fit(panel, panel.train_end, FitPlan())
    assert forecaster.members[0].spec.differences == [24]
    assert log.replay["members"][0]["differences"] == [24]


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


def test_no_differences(panel: Panel) -> None:
    forecaster, _ = trainer(differences="none").fit(panel, panel.train_end, FitPlan())
    assert forecaster.members[0].spec.differences == []
    assert np.isfinite(forecaster.forecast(panel, panel.ends)["catboost"]).all()


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
        trainer(iterations=100).fit(panel, panel.train_end, FitPlan(report=report))
    assert len(seen) == 2
    assert seen[0][0] < seen[1][0]
    assert all(loss > 0 for _, loss in seen)


def test_too_short_names_the_minimum(panel: Panel) -> None:
    early = panel.frame.groupby("unique_id").nth(20)[["unique_id", "ds"]]
    with pytest.raises(ModelError, match=r"the longest has 21 training rows; allowed: at least 55 rows"):
        trainer().fit(panel, Cutoffs.of(early, "ds"), FitPlan())
    with pytest.raises(ModelError, match=r"the longest has 0 training rows"):
        trainer(differences="auto").fit(
            panel, Cutoffs(early.iloc[:0].rename(columns={"ds": "cutoff"})), FitPlan()
        )


def test_constant_series_gets_the_fallback_and_is_named(make_panel: Callable[..., Panel]) -> None:
    rows = hourly(series=2)
    rows.loc[rows["unique_id"] == "s1", "y"] = 7.0
    panel = make_panel(rows)
    forecaster, log = trainer().fit(panel, panel.train_end, FitPlan())
    found = forecaster.forecast(panel, panel.ends)
    assert list(log.fallbacks) == ["s1"]
    assert (found.loc[found["unique_id"] == "s1", "catboost"] == 7.0).all()


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


def test_only_its_own_two_files_are_written(fitted: CatBoostForecaster, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["catboost-1.cbm", "catboost.json"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "foreign", "missing", "spec", "not JSON", "large"])
def test_damaged_files_are_refused(
    fitted: CatBoostForecaster, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted.save(tmp_path)
    model, spec = tmp_path / "catboost-1.cbm", tmp_path / "catboost.json"
    content = json.loads(spec.read_text())
    if damage in ("truncated", "empty", "foreign"):
        whole = model.read_bytes()
        model.write_bytes(
            {"truncated": whole[: len(whole) // 2], "empty": b"", "foreign": b"x" * 100}[damage]
        )
    elif damage == "missing":
        model.unlink()
    elif damage == "large":
        monkeypatch.setattr("kubecast.models.catboost.trainer.LARGEST_FILE", 10)
    else:
        spec.write_text("{" if damage == "not JSON" else json.dumps({**content, "more": 1}))
    with pytest.raises(IntegrityError):
        CatBoostForecaster.load(tmp_path)


def test_gap_in_the_history_does_not_spoil_the_choice_of_differences(
    make_panel: Callable[..., Panel],
) -> None:
    rows = hourly(series=1).drop(index=range(240, 270))
    panel = make_panel(rows)
    forecaster, _ = trainer(differences="auto").fit(panel, panel.train_end, FitPlan())
    assert np.isfinite(forecaster.forecast(panel, panel.ends)["catboost"]).all()


def test_averaged_models_differ_in_differences_and_are_replayed_with_their_weights(panel: Panel) -> None:
    several = trainer(differences="auto", averaged=4)
    forecaster, log = several.fit(panel, panel.train_end, FitPlan(seed=3))
    assert [member.spec.differences for member in forecaster.members] == [[24], [1], [24, 1], [24]]
    assert [member.model.get_params()["random_seed"] for member in forecaster.members] == [3, 4, 5, 6]
    weights = [member.weight for member in forecaster.members]
    assert sum(weights) == pytest.approx(1)
    assert len(set(weights)) == 4
    again, replayed = several.fit(panel, panel.ends, FitPlan(seed=3, replay=log.replay))
    assert replayed.replay == log.replay
    assert [member.weight for member in again.members] == pytest.approx(weights)


def test_models_are_weighed_by_more_than_the_tail(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []

    def told(members: Sequence[Any], panel: Panel, origins: Cutoffs) -> np.ndarray:
        judged.append(origins.frame["cutoff"])
        return np.arange(1.0, 1.0 + len(members))

    monkeypatch.setattr(module, "_errors", told)
    forecaster, _ = trainer(differences="auto", averaged=2).fit(panel, panel.train_end, FitPlan())
    tail, later = judged
    end = panel.train_end.frame["cutoff"].max() - pd.Timedelta(hours=panel.spec.horizon)
    assert tail.max() == later.max() == end
    assert later.min() < tail.min()
    assert [member.weight for member in forecaster.members] == pytest.approx([4096 / 4097, 1 / 4097])


def test_rows_too_few_for_an_earlier_fit_weigh_by_the_tail(panel: Panel) -> None:
    early = panel.frame.groupby("unique_id").nth(62)[["unique_id", "ds"]]
    several = trainer(differences="auto", averaged=2)
    forecaster, log = several.fit(panel, Cutoffs.of(early, "ds"), FitPlan())
    assert len({member.weight for member in forecaster.members}) == 2
    assert log.stopped != "time_limit"


def test_where_an_earlier_fit_of_one_is_refused_all_are_weighed_by_the_tail(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit_once, errors, judged = CatBoostTrainer._fit_once, module._errors, []

    def refused_early(self: Any, panel: Panel, until: Cutoffs, *how: Any) -> Any:
        fitted = fit_once(self, panel, until, *how)
        early = (until.frame["cutoff"] < panel.train_end.frame["cutoff"]).all()
        if early and fitted.member.spec.differences == [1]:
            raise ModelError("refused")
        return fitted

    def told(members: Sequence[Any], *where: Any) -> np.ndarray:
        judged.append(errors(members, *where))
        return judged[-1]

    monkeypatch.setattr(CatBoostTrainer, "_fit_once", refused_early)
    monkeypatch.setattr(module, "_errors", told)
    forecaster, _ = trainer(differences="auto", averaged=2).fit(panel, panel.train_end, FitPlan())
    (tail,) = judged
    expected = inverse_error_weights(tail, module.SHARPNESS)
    assert [member.weight for member in forecaster.members] == pytest.approx(expected)


def test_a_tenth_of_the_time_is_left_for_weighing(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    fit_once, stops = CatBoostTrainer._fit_once, []

    def told(self: Any, panel: Panel, until: Cutoffs, plan: FitPlan, *how: Any) -> Any:
        stops.append(plan.deadline)
        return fit_once(self, panel, until, plan, *how)

    monkeypatch.setattr(CatBoostTrainer, "_fit_once", told)
    began = time.monotonic()
    plan = FitPlan(deadline=began + 1000)
    trainer(differences="auto", averaged=2).fit(panel, panel.train_end, plan)
    trainer().fit(panel, panel.train_end, plan)
    full, early, alone = stops[:2], stops[2:4], stops[4:]
    assert full == [pytest.approx(began + 900, abs=10)] * 2
    assert early == [plan.deadline] * 2
    assert alone == [plan.deadline]


def test_no_small_model_is_begun_when_the_time_is_up(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    fit_once, ends = CatBoostTrainer._fit_once, []

    def told(self: Any, panel: Panel, until: Cutoffs, *how: Any) -> Any:
        ends.append(until)
        return fit_once(self, panel, until, *how)

    monkeypatch.setattr(CatBoostTrainer, "_fit_once", told)
    monkeypatch.setattr(module, "_time_left", lambda plan: 0.0)
    trainer(differences="auto", averaged=2).fit(panel, panel.train_end, FitPlan())
    assert [until is panel.train_end or until.frame.equals(panel.train_end.frame) for until in ends] == [
        True
    ] * 2


def test_few_rows_of_each_of_many_series_are_still_split(panel: Panel) -> None:
    horizon, series = panel.spec.horizon, len(panel.ids)
    forecaster, log = trainer(max_rows=series * horizon).fit(panel, panel.train_end, FitPlan())
    assert not log.fallbacks
    assert np.isfinite(forecaster.forecast(panel, panel.part("test"))["catboost"]).all()


def test_a_short_series_is_forecast_by_the_models_that_can(make_panel: Callable[..., Panel]) -> None:
    rows = hourly(series=2, rows=400)
    rows = rows[(rows["unique_id"] != "s1") | (rows.groupby("unique_id").cumcount() >= 330)]
    panel = make_panel(rows)
    members = [{"iterations": 5, "differences": lags, "weight": 0.5} for lags in ([1], [24, 24])]
    forecaster, log = trainer().fit(panel, panel.ends, FitPlan(replay={"members": members}))
    assert not log.fallbacks
    alone = forecaster.members[0].forecast(panel, panel.ends)
    found = forecaster.forecast(panel, panel.ends)["catboost"].to_numpy().reshape(alone.shape)
    np.testing.assert_allclose(found[1], alone[1])
    assert not np.allclose(found[0], alone[0])


def test_a_model_that_the_rows_do_not_suffice_for_is_left_out(panel: Panel) -> None:
    early = panel.frame.groupby("unique_id").nth(62)[["unique_id", "ds"]]
    members = [{"iterations": 5, "differences": lags, "weight": 0.5} for lags in ([24, 24], [1])]
    forecaster, _ = trainer().fit(panel, Cutoffs.of(early, "ds"), FitPlan(replay={"members": members}))
    assert [(member.spec.differences, member.weight) for member in forecaster.members] == [([1], 1.0)]


def test_models_without_weight_are_not_kept(panel: Panel) -> None:
    members = [
        {"iterations": 5, "differences": [lag], "weight": weight} for lag, weight in ((24, 0.0), (1, 1.0))
    ]
    forecaster, _ = trainer().fit(panel, panel.ends, FitPlan(replay={"members": members}))
    assert [member.spec.differences for member in forecaster.members] == [[1]]
    late, _ = trainer().fit(
        panel, panel.ends, FitPlan(replay={"members": members}, deadline=time.monotonic())
    )
    assert [member.weight for member in late.members] == [1.0]


def test_a_model_of_a_few_trees_is_left_out_at_the_deadline(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit_once = CatBoostTrainer._fit_once
    calls = []

    def late_at_last(self: Any, *how: Any) -> Any:
        fitted = fit_once(self, *how)
        calls.append(1)
        return dataclasses.replace(fitted, late=len(calls) == 3)

    monkeypatch.setattr(CatBoostTrainer, "_fit_once", late_at_last)
    forecaster, log = trainer(differences="auto", averaged=4).fit(panel, panel.train_end, FitPlan())
    assert log.stopped == "time_limit"
    assert len(calls) == 3 + 2  # small models of those two are fitted in the time that is left for it
    assert len({member.weight for member in forecaster.members}) == len(forecaster.members) == 2


def test_the_tail_is_a_tenth_of_the_rows_that_are_kept(make_panel: Callable[..., Panel]) -> None:
    panel = make_panel(hourly(series=1, rows=400))
    spec = module.design(panel, panel.ends, CatBoostSettings(), [24])
    lengths = np.array([400, 30, 30, 30, 30])  # the short ones are not fitted to and take no share
    assert module._tail(panel, lengths, spec, 200).tolist() == [20, 6, 6, 6, 6]
    assert len(module._tail_origins(panel, panel.ends, spec, 200))
    assert not len(
        module._tail_origins(panel, panel.ends, spec, 8)
    )  # a tail below the horizon judges nothing


def test_a_late_replay_tells_what_it_fitted(panel: Panel) -> None:
    several = trainer(averaged=3)
    _, log = several.fit(panel, panel.train_end, FitPlan())
    forecaster, late = several.fit(panel, panel.ends, FitPlan(replay=log.replay, deadline=time.monotonic()))
    assert late.stopped == "time_limit"
    assert len(late.replay["members"]) == len(forecaster.members) == 1


def test_deadline_leaves_out_models_that_were_not_begun(panel: Panel) -> None:
    forecaster, log = trainer(averaged=3).fit(panel, panel.train_end, FitPlan(deadline=time.monotonic()))
    assert log.stopped == "time_limit"
    assert [member.weight for member in forecaster.members] == [1.0]
