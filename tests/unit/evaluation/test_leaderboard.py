import json

import numpy as np
import pandas as pd
import pytest

from kubecast.ensemble.stacking import stack
from kubecast.errors import IntegrityError
from kubecast.evaluation.leaderboard import Evaluation, evaluate
from kubecast.scoring.metrics import ENSEMBLE, METRICS
from tests.support.forecasts import KINDS, NOISE, SETTINGS, forecasts, panel_of


def evaluated(
    table: pd.DataFrame, align: str = "calendar", kinds: dict[str, str] | None = None
) -> Evaluation:
    panel = panel_of(table, align)
    recipe, stacked = stack(table, panel.series, SETTINGS, kinds or KINDS, {}, 24)
    return evaluate(stacked, panel, recipe)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return forecasts(NOISE, origins=10)


@pytest.fixture(scope="module")
def evaluation(table: pd.DataFrame) -> Evaluation:
    return evaluated(table)


def test_leaderboard_has_every_model_and_part_best_first(evaluation: Evaluation) -> None:
    assert [row.split for row in evaluation.leaderboard] == ["test"] * 5 + ["validation"] * 5
    for split in ("test", "validation"):
        mase = [row.mase for row in evaluation.leaderboard if row.split == split]
        assert mase == sorted(mase)
        assert {row.model for row in evaluation.leaderboard if row.split == split} == {*KINDS, ENSEMBLE}


def test_coverage_is_told_by_season_phase(evaluation: Evaluation) -> None:
    rows = [row for row in evaluation.by_phase if row.split == "test"]
    assert {row.model for row in evaluation.by_phase} == {ENSEMBLE}
    assert [row.phase for row in rows] == sorted({row.phase for row in rows})
    assert all(0 <= row.phase < 24 for row in rows)
    whole = evaluation.row(ENSEMBLE, "test")
    assert sum(row.scored for row in rows) == whole.scored
    inside = sum(row.scored * row.coverage["80"] for row in rows) / whole.scored
    assert inside == pytest.approx(whole.coverage["80"], abs=0.05)  # each series weighs the same


def test_figures_are_those_computed_by_hand(evaluation: Evaluation, table: pd.DataFrame) -> None:
    rows = table[table["split"] == "test"]
    errors = (rows["y"] - rows["bad"]).abs() / rows["unique_id"].str[1:].astype(float)
    row = evaluation.row("bad", "test")
    assert row.mase == pytest.approx(errors.groupby(rows["unique_id"]).mean().mean())
    assert row.scored == len(rows)
    assert row.skipped == 0
    assert row.wql is None
    assert row.undefined == {"wql": "a member forecasts points only"}
    assert row.mase_worst_five == pytest.approx(1.0)


def test_skill_is_against_the_naive_that_is_best_on_validation(table: pd.DataFrame) -> None:
    test = table["split"] == "test"
    better_on_test = table.assign(naive_5=table["naive_5"].where(~test, table["y"] + 0.1))
    evaluation = evaluated(better_on_test)
    assert evaluation.best_naive == "naive_9"
    reference = evaluation.row("naive_9", "test").mase
    assert reference is not None
    for row in evaluation.leaderboard[:5]:
        assert row.mase is not None
        assert row.skill == pytest.approx(1 - row.mase / reference)
    assert evaluation.season_length == 24


def test_no_seasonal_naive_gives_no_skill_and_no_promotion(table: pd.DataFrame) -> None:
    evaluation = evaluated(table, kinds={"good": "catboost", "bad": "lstm"})
    assert evaluation.best_naive is None
    assert evaluation.row(ENSEMBLE, "test").skill is None
    assert not evaluation.decision.promote


def test_breakdowns_average_to_the_overall_figure(evaluation: Evaluation) -> None:
    for rows in (evaluation.by_lead_time, evaluation.by_series, evaluation.by_fold):
        mine = [row for row in rows if row.model == "good" and row.split == "test"]
        assert np.mean([row.mase for row in mine]) == pytest.approx(evaluation.row("good", "test").mase)
        assert sum(row.scored for row in mine) == evaluation.row("good", "test").scored
    assert [row.lead_time for row in evaluation.by_lead_time if row.model == "good"] == [1, 2, 3, 4, 5] * 2
    assert [row.unique_id for row in evaluation.by_series if row.model == "good"] == ["s1", "s2", "s3"] * 2
    assert [row.fold for row in evaluation.by_fold if row.model == "good"] == [0, 1, 2] * 2


def test_quantile_figures_are_the_ensembles_alone(evaluation: Evaluation) -> None:
    assert set(evaluation.row(ENSEMBLE, "test").coverage) == {"80", "40"}
    assert evaluation.row(ENSEMBLE, "test").wql is not None
    assert evaluation.row("good", "test").coverage == {}


def test_metrics_stand_together_in_the_order_of_their_table(evaluation: Evaluation) -> None:
    row = json.loads(evaluation.model_dump_json())["leaderboard"][0]
    assert list(row)[: 2 + len(METRICS)] == ["model", "split", *METRICS]


@pytest.mark.parametrize("extra", [{"mape": 0.1}, {"wape": "low"}])
def test_figures_of_no_known_metric_are_refused(evaluation: Evaluation, extra: dict[str, object]) -> None:
    document = json.loads(evaluation.model_dump_json())
    document["leaderboard"][0] |= extra
    with pytest.raises(IntegrityError, match="not a leaderboard of this version"):
        Evaluation.parse(json.dumps(document).encode(), "leaderboard.json")


def test_json_is_finite_and_comes_back_the_same(evaluation: Evaluation) -> None:
    text = evaluation.model_dump_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert Evaluation.model_validate_json(text) == evaluation


def test_evaluation_is_deterministic(evaluation: Evaluation, table: pd.DataFrame) -> None:
    assert evaluated(table).model_dump_json() == evaluation.model_dump_json()


def test_order_of_rows_does_not_matter_between_origins(evaluation: Evaluation, table: pd.DataFrame) -> None:
    groups = [group for _, group in table.groupby(["unique_id", "cutoff"])]
    again = evaluated(pd.concat(groups[::-1], ignore_index=True))
    assert again.row("bad", "test").mase == pytest.approx(evaluation.row("bad", "test").mase)


def test_summary_shows_the_test_part(evaluation: Evaluation) -> None:
    summary = evaluation.summary()
    assert summary["mase"] == evaluation.row(ENSEMBLE, "test").mase
    assert summary["coverage_80"] == evaluation.row(ENSEMBLE, "test").coverage["80"]
    assert all(np.isfinite(value) for value in summary.values())


def test_unobserved_test_part_is_none_with_the_reason(table: pd.DataFrame) -> None:
    test = table["split"] == "test"
    hidden = table.assign(y=table["y"].where(~test), observed=~test)
    evaluation = evaluated(hidden)
    row = evaluation.row(ENSEMBLE, "test")
    assert row.mase is None
    assert row.scored == 0
    assert row.skipped == test.sum()
    assert "no observed target" in row.undefined["mase"]
    assert evaluation.paired.difference is None
    assert not evaluation.decision.promote
    json.loads(evaluation.model_dump_json(), parse_constant=lambda name: pytest.fail(name))


def test_constant_series_without_a_scale_is_listed_and_not_scored(table: pd.DataFrame) -> None:
    panel = panel_of(table)
    panel.series.loc[panel.series["unique_id"] == "s2", "scale"] = np.nan
    recipe, stacked = stack(table, panel.series, SETTINGS, KINDS, {}, 24)
    evaluation = evaluate(stacked, panel, recipe)
    row = next(row for row in evaluation.by_series if row.unique_id == "s2" and row.split == "test")
    assert (row.mase, row.scored, row.skipped) == (None, 0, 150)
    assert evaluation.row("good", "test").skipped == 150


def test_perfect_forecasts_have_full_skill() -> None:
    evaluation = evaluated(forecasts({**NOISE, "good": 0.0}, origins=10))
    assert evaluation.row(ENSEMBLE, "test").skill == 1.0
    assert evaluation.row(ENSEMBLE, "test").mase == 0.0


def test_perfect_naive_leaves_skill_undefined() -> None:
    evaluation = evaluated(forecasts({**NOISE, "naive_9": 0.0}, origins=10))
    assert evaluation.row(ENSEMBLE, "test").skill is None
    assert evaluation.row(ENSEMBLE, "test").mase_worst_five is None
    assert not evaluation.decision.promote


def test_series_aligned_at_their_ends_share_origins_by_place(table: pd.DataFrame) -> None:
    hours = table["unique_id"].map({"s1": 0, "s2": 1, "s3": 2})
    late = pd.to_timedelta(hours * 10_000, unit="h")
    shifted = table.assign(cutoff=table["cutoff"] + late, ds=table["ds"] + late)
    evaluation, expected = evaluated(shifted, "series_end").paired, evaluated(table).paired
    assert evaluation.standard_error == pytest.approx(expected.standard_error)
    assert (evaluation.origins, evaluation.disjoint_origins) == (expected.origins, expected.disjoint_origins)
