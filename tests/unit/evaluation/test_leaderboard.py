import json

import numpy as np
import pandas as pd
import pytest

from kubecast.data.panel import Panel, PanelSpec
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.ensemble.stacking import stack
from kubecast.evaluation.leaderboard import Evaluation, evaluate
from kubecast.scoring.metrics import ENSEMBLE
from tests.unit.forecast_tables import START, forecasts, scales

KINDS = {"good": "catboost", "bad": "lstm", "naive_5": "seasonal_naive", "naive_9": "seasonal_naive"}
NOISE = {"good": 1.0, "bad": 3.0, "naive_5": 4.0, "naive_9": 2.0}
SETTINGS = EnsembleSettings(quantiles=[0.1, 0.3, 0.5, 0.7, 0.9])


def panel_of(table: pd.DataFrame, align: str = "calendar") -> Panel:
    """A panel of these targets whose training rows are one for each series, at the mean of ``scales``."""
    series = scales(table)
    means = series[["unique_id", "train_mean"]].rename(columns={"train_mean": "y"})
    known = pd.concat([means.assign(ds=START), table[["unique_id", "ds", "y"]]])
    known = known.drop_duplicates(["unique_id", "ds"]).set_index(["unique_id", "ds"])
    hours = pd.date_range(START, table["ds"].max(), freq="h")
    grid = pd.MultiIndex.from_product([series["unique_id"], hours], names=["unique_id", "ds"])
    frame = known.reindex(grid).reset_index()
    frame["observed"] = frame["y"].notna()
    spec = PanelSpec.model_validate(
        {"frequency": "h", "horizon": 5, "season_lengths": [24, 168], "align": align}
    )
    rows = series.drop(columns="train_mean").assign(train_end=START)
    return Panel(frame, pd.DataFrame(), spec, rows, pd.DataFrame())


def judged(table: pd.DataFrame, align: str = "calendar", kinds: dict[str, str] | None = None) -> Evaluation:
    panel = panel_of(table, align)
    recipe, stacked = stack(table, panel.series, SETTINGS, kinds or KINDS, {}, 24)
    return evaluate(stacked, panel, recipe)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return forecasts(NOISE, origins=10)


@pytest.fixture(scope="module")
def found(table: pd.DataFrame) -> Evaluation:
    return judged(table)


def test_leaderboard_has_every_model_and_part_best_first(found: Evaluation) -> None:
    assert [row.part for row in found.leaderboard] == ["test"] * 5 + ["validation"] * 5
    for part in ("test", "validation"):
        mase = [row.mase for row in found.leaderboard if row.part == part]
        assert mase == sorted(mase)
        assert {row.model for row in found.leaderboard if row.part == part} == {*KINDS, ENSEMBLE}


def test_coverage_is_told_by_season_phase(found: Evaluation) -> None:
    rows = [row for row in found.by_phase if row.part == "test"]
    assert {row.model for row in found.by_phase} == {ENSEMBLE}
    assert [row.phase for row in rows] == sorted({row.phase for row in rows})
    assert all(0 <= row.phase < 24 for row in rows)
    whole = found.row(ENSEMBLE, "test")
    assert sum(row.scored for row in rows) == whole.scored
    inside = sum(row.scored * row.coverage["80"] for row in rows) / whole.scored
    assert inside == pytest.approx(whole.coverage["80"], abs=0.05)  # each series weighs the same


def test_figures_are_those_computed_by_hand(found: Evaluation, table: pd.DataFrame) -> None:
    rows = table[table["part"] == "test"]
    errors = (rows["y"] - rows["bad"]).abs() / rows["unique_id"].str[1:].astype(float)
    row = found.row("bad", "test")
    assert row.mase == pytest.approx(errors.groupby(rows["unique_id"]).mean().mean())
    assert row.scored == len(rows)
    assert row.skipped == 0
    assert row.wql is None
    assert row.undefined == {"wql": "a member forecasts points only"}
    assert row.mase_worst_five == pytest.approx(1.0)


def test_skill_is_against_the_naive_that_is_best_on_validation(table: pd.DataFrame) -> None:
    test = table["part"] == "test"
    better_on_test = table.assign(naive_5=table["naive_5"].where(~test, table["y"] + 0.1))
    found = judged(better_on_test)
    assert found.best_naive == "naive_9"
    reference = found.row("naive_9", "test").mase
    assert reference is not None
    for row in found.leaderboard[:5]:
        assert row.mase is not None
        assert row.skill == pytest.approx(1 - row.mase / reference)
    assert found.season_length == 24


def test_no_seasonal_naive_gives_no_skill_and_no_promotion(table: pd.DataFrame) -> None:
    found = judged(table, kinds={"good": "catboost", "bad": "lstm"})
    assert found.best_naive is None
    assert found.row(ENSEMBLE, "test").skill is None
    assert not found.decision.promote


def test_breakdowns_average_to_the_overall_figure(found: Evaluation) -> None:
    for rows in (found.by_lead_time, found.by_series, found.by_block):
        mine = [row for row in rows if row.model == "good" and row.part == "test"]
        assert np.mean([row.mase for row in mine]) == pytest.approx(found.row("good", "test").mase)
        assert sum(row.scored for row in mine) == found.row("good", "test").scored
    assert [row.lead_time for row in found.by_lead_time if row.model == "good"] == [1, 2, 3, 4, 5] * 2
    assert [row.unique_id for row in found.by_series if row.model == "good"] == ["s1", "s2", "s3"] * 2
    assert [row.block for row in found.by_block if row.model == "good"] == [0, 1, 2] * 2


def test_quantile_figures_are_the_ensembles_alone(found: Evaluation) -> None:
    assert set(found.row(ENSEMBLE, "test").coverage) == {"80", "40"}
    assert found.row(ENSEMBLE, "test").wql is not None
    assert found.row("good", "test").coverage == {}


def test_json_is_finite_and_comes_back_the_same(found: Evaluation) -> None:
    text = found.model_dump_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert Evaluation.model_validate_json(text) == found


def test_evaluation_is_deterministic(found: Evaluation, table: pd.DataFrame) -> None:
    assert judged(table).model_dump_json() == found.model_dump_json()


def test_order_of_rows_does_not_matter_between_origins(found: Evaluation, table: pd.DataFrame) -> None:
    groups = [group for _, group in table.groupby(["unique_id", "cutoff"])]
    again = judged(pd.concat(groups[::-1], ignore_index=True))
    assert again.row("bad", "test").mase == pytest.approx(found.row("bad", "test").mase)


def test_summary_shows_the_test_part(found: Evaluation) -> None:
    summary = found.summary()
    assert summary["mase"] == found.row(ENSEMBLE, "test").mase
    assert summary["coverage_80"] == found.row(ENSEMBLE, "test").coverage["80"]
    assert all(np.isfinite(value) for value in summary.values())


def test_unobserved_test_part_is_none_with_the_reason(table: pd.DataFrame) -> None:
    test = table["part"] == "test"
    hidden = table.assign(y=table["y"].where(~test), observed=~test)
    found = judged(hidden)
    row = found.row(ENSEMBLE, "test")
    assert row.mase is None
    assert row.scored == 0
    assert row.skipped == test.sum()
    assert "no observed target" in row.undefined["mase"]
    assert found.paired.difference is None
    assert not found.decision.promote
    json.loads(found.model_dump_json(), parse_constant=lambda name: pytest.fail(name))


def test_constant_series_without_a_scale_is_listed_and_not_scored(table: pd.DataFrame) -> None:
    panel = panel_of(table)
    panel.series.loc[panel.series["unique_id"] == "s2", "scale"] = np.nan
    recipe, stacked = stack(table, panel.series, SETTINGS, KINDS, {}, 24)
    found = evaluate(stacked, panel, recipe)
    row = next(row for row in found.by_series if row.unique_id == "s2" and row.part == "test")
    assert (row.mase, row.scored, row.skipped) == (None, 0, 150)
    assert found.row("good", "test").skipped == 150


def test_perfect_forecasts_have_full_skill() -> None:
    found = judged(forecasts({**NOISE, "good": 0.0}, origins=10))
    assert found.row(ENSEMBLE, "test").skill == 1.0
    assert found.row(ENSEMBLE, "test").mase == 0.0


def test_perfect_naive_leaves_skill_undefined() -> None:
    found = judged(forecasts({**NOISE, "naive_9": 0.0}, origins=10))
    assert found.row(ENSEMBLE, "test").skill is None
    assert found.row(ENSEMBLE, "test").mase_worst_five is None
    assert not found.decision.promote


def test_series_aligned_at_their_ends_share_origins_by_place(table: pd.DataFrame) -> None:
    hours = table["unique_id"].map({"s1": 0, "s2": 1, "s3": 2})
    late = pd.to_timedelta(hours * 10_000, unit="h")
    shifted = table.assign(cutoff=table["cutoff"] + late, ds=table["ds"] + late)
    found, expected = judged(shifted, "series_end").paired, judged(table).paired
    assert found.standard_error == pytest.approx(expected.standard_error)
    assert (found.origins, found.disjoint_origins) == (expected.origins, expected.disjoint_origins)
