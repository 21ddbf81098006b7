"""The weights of several models."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubecast.data.panel import Cutoffs, Panel
from kubecast.errors import ModelError
from kubecast.models.averaging import inverse_error_weights
from kubecast.models.base import FitPlan
from kubecast.models.catboost import weighting
from kubecast.models.catboost.fitting import fit_member
from kubecast.models.catboost.weighting import SHARPNESS
from tests.unit.models.catboost.support import replace_fit, trainer


@pytest.mark.slow
def test_models_are_weighed_by_more_than_the_tail(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    weighed_by = []

    def recorded(members: Sequence[Any], panel: Panel, origins: Cutoffs) -> np.ndarray:
        weighed_by.append(origins.frame["cutoff"])
        return np.arange(1.0, 1.0 + len(members))

    monkeypatch.setattr(weighting, "backtest_errors", recorded)
    forecaster, _ = trainer(differences="auto", n_models=2).fit(panel, panel.train_end, FitPlan())
    tail, later = weighed_by
    end = panel.train_end.frame["cutoff"].max() - pd.Timedelta(hours=panel.spec.horizon)
    assert tail.max() == later.max() == end
    assert later.min() < tail.min()
    assert [member.weight for member in forecaster.members] == pytest.approx([4096 / 4097, 1 / 4097])


@pytest.mark.slow
def test_rows_too_few_for_an_earlier_fit_weigh_by_the_tail(panel: Panel) -> None:
    early = panel.frame.groupby("unique_id").nth(62)[["unique_id", "ds"]]
    several = trainer(differences="auto", n_models=2)
    forecaster, log = several.fit(panel, Cutoffs.from_frame(early, "ds"), FitPlan())
    assert len({member.weight for member in forecaster.members}) == 2
    assert log.stopped != "time_limit"


@pytest.mark.slow
def test_where_an_earlier_fit_of_one_is_refused_all_are_weighed_by_the_tail(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, weighed_by = weighting.backtest_errors, []

    def refused_early(settings: Any, panel: Panel, until: Cutoffs, *how: Any) -> Any:
        fitted = fit_member(settings, panel, until, *how)
        early = (until.frame["cutoff"] < panel.train_end.frame["cutoff"]).all()
        if early and fitted.member.spec.differences == [1]:
            raise ModelError("refused")
        return fitted

    def recorded(members: Sequence[Any], *where: Any) -> np.ndarray:
        weighed_by.append(errors(members, *where))
        return weighed_by[-1]

    replace_fit(monkeypatch, refused_early)
    monkeypatch.setattr(weighting, "backtest_errors", recorded)
    forecaster, _ = trainer(differences="auto", n_models=2).fit(panel, panel.train_end, FitPlan())
    (tail,) = weighed_by
    expected = inverse_error_weights(tail, SHARPNESS)
    assert [member.weight for member in forecaster.members] == pytest.approx(expected)


@pytest.mark.slow
def test_a_tenth_of_the_time_is_left_for_weighing(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    stops = []

    def recorded(settings: Any, panel: Panel, until: Cutoffs, plan: FitPlan, *how: Any) -> Any:
        stops.append(plan.deadline)
        return fit_member(settings, panel, until, plan, *how)

    replace_fit(monkeypatch, recorded)
    began = time.monotonic()
    plan = FitPlan(deadline=began + 1000)
    trainer(differences="auto", n_models=2).fit(panel, panel.train_end, plan)
    trainer().fit(panel, panel.train_end, plan)
    full, early, single = stops[:2], stops[2:4], stops[4:]
    assert full == [pytest.approx(began + 900, abs=10)] * 2
    assert early == [plan.deadline] * 2
    assert single == [plan.deadline]


@pytest.mark.slow
def test_no_small_model_is_begun_when_the_time_is_up(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = []

    def recorded(settings: Any, panel: Panel, until: Cutoffs, *how: Any) -> Any:
        ends.append(until)
        return fit_member(settings, panel, until, *how)

    replace_fit(monkeypatch, recorded)
    monkeypatch.setattr(weighting, "time_left", lambda plan: 0.0)
    trainer(differences="auto", n_models=2).fit(panel, panel.train_end, FitPlan())
    assert [until is panel.train_end or until.frame.equals(panel.train_end.frame) for until in ends] == [
        True
    ] * 2


@pytest.mark.slow
def test_a_model_of_a_few_trees_is_left_out_at_the_deadline(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def late_at_last(*how: Any) -> Any:
        fitted = fit_member(*how)
        calls.append(1)
        return dataclasses.replace(fitted, late=len(calls) == 3)

    replace_fit(monkeypatch, late_at_last)
    forecaster, log = trainer(differences="auto", n_models=4).fit(panel, panel.train_end, FitPlan())
    assert log.stopped == "time_limit"
    assert len(calls) == 3 + 2  # small models of those two are fitted in the time that is left for it
    assert len({member.weight for member in forecaster.members}) == len(forecaster.members) == 2


def test_models_without_weight_are_not_kept(panel: Panel) -> None:
    members = [
        {"iterations": 5, "differences": [lag], "weight": weight} for lag, weight in ((24, 0.0), (1, 1.0))
    ]
    forecaster, _ = trainer().fit(panel, panel.ends, FitPlan(fixed_fit={"members": members}))
    assert [member.spec.differences for member in forecaster.members] == [[1]]
    late, _ = trainer().fit(
        panel, panel.ends, FitPlan(fixed_fit={"members": members}, deadline=time.monotonic())
    )
    assert [member.weight for member in late.members] == [1.0]
