"""What the report says in words holds together, and claims nothing that is not known."""

from typing import Any

import pytest

from kubecast.evaluation.leaderboard import Evaluation
from kubecast.evaluation.series_facts import SeriesFacts
from kubecast.evaluation.skill import Interval, Skill
from kubecast.reports import render_report
from kubecast.scoring.metrics import ENSEMBLE
from tests.support.forecasts import NOISE, forecasts
from tests.support.pages import render


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return render(forecasts(NOISE, series=2, origins=2))[1]


def page(evaluation: Evaluation, **changes: Any) -> str:
    return render_report(evaluation.model_copy(update=changes))


@pytest.mark.slow
@pytest.mark.parametrize(("mase", "worse"), [(1.04, False), (1.06, True)])
def test_verdict_and_flags_have_one_threshold(evaluation: Evaluation, mase: float, worse: bool) -> None:
    facts = [SeriesFacts(unique_id=name, size=1, mase=mase, naive_mase=1) for name in ("s1", "s2")]
    assert [fact.naive_is_better for fact in facts] == [worse, worse]
    assert ("2 of 2 series are forecast worse than by" in page(evaluation, series=facts)) == worse


def test_distance_of_a_coverage_is_in_points(evaluation: Evaluation) -> None:
    board = [
        row.model_copy(update={"coverage": {"80": 0.723}}) if row.model == ENSEMBLE else row
        for row in evaluation.leaderboard
    ]
    assert "of the actuals: too narrow by 7.7 points" in page(evaluation, leaderboard=board)


def test_interval_is_bound_to_separate_horizons(evaluation: Evaluation) -> None:
    skill = Skill(naive="naive_5", value=0.2, interval=Interval(low=0.1, high=0.3), dates=2)
    assert "on 2 separate horizons" in page(evaluation, skill={"test": skill})


def test_a_version_that_is_not_evaluated_claims_no_evaluation(evaluation: Evaluation) -> None:
    claims = ("how the last evaluated forecast went", "strongest on the same rows")
    assert all(claim in page(evaluation) for claim in claims)
    decision = evaluation.decision.model_copy(update={"evaluated": False})
    text = page(evaluation, decision=decision)
    assert not any(claim in text for claim in claims)
    assert "no error is known, and no skill" in text


def test_flags_that_are_unknown_are_not_told_as_none(evaluation: Evaluation) -> None:
    text = page(evaluation, series=[])
    assert "<dt>Series to look at</dt><dd>unknown</dd>" in text
    assert "nothing is flagged" not in text
