"""Steps on panels that are too short for the split that the settings ask for."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kubecast.api.tables import metrics_of
from kubecast.data.panel import Panel
from kubecast.data.sample import generate_series
from kubecast.evaluation.leaderboard import Evaluation
from kubecast.models.artifact import FORECASTS
from kubecast.registry import Registry
from kubecast.steps.champion import forecast_champion
from kubecast.steps.stack import stack_ensemble
from kubecast.steps.train import train_model
from kubecast.steps.validate import check_data
from tests.support.panels import hourly, small_settings
from tests.support.runs import prepare, register, train

STRIDE = {"cv_folds": 3, "max_origins": 8, "origin_stride": 3}
ROWS = {  # of each series, by the rung that they reach
    "fewer_origins": 28,
    "overlapping": 24,
    "one_fold": 23,
    "short_leads": 21,
    "no_validation": 18,
    "no_test": 15,
}
SHORT: dict[str, Any] = {"parameters": {"season_lengths": "1"}, "validation": STRIDE}


def first_rows(rows: int) -> pd.DataFrame:
    return hourly().groupby("unique_id").head(rows).reset_index(drop=True)


def stacked(rows: pd.DataFrame, folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    panel = prepare(rows, folder, **SHORT)
    train_model("catboost", panel, folder / "model")
    stack_ensemble(panel, {"catboost": folder / "model"}, "", folder / "ensemble")
    recipe = json.loads((folder / "ensemble" / "recipe.json").read_text())
    return recipe, pd.read_parquet(folder / "ensemble" / FORECASTS)


@pytest.mark.slow
@pytest.mark.parametrize("rung", ROWS)
def test_test_targets_enter_no_model_weight_or_width(rung: str, tmp_path: Path) -> None:
    rows = first_rows(ROWS[rung])
    recipe, table = stacked(rows, tmp_path / "as_is")
    panel = Panel.load(tmp_path / "as_is" / "panel")
    assert panel.spec.splits.rung == rung
    end = panel.series["validation_end"].max()
    assert (table.loc[table["split"] == "validation", "ds"] <= end).all()
    assert set(table["split"]) == set(panel.origins["split"])
    late = rows["ds"] > end
    assert late.any() == panel.spec.splits.is_evaluated
    altered = rows.assign(y=rows["y"].where(~late, rows["y"] * 2 + 50))
    changed, after = stacked(altered, tmp_path / "altered")
    assert changed == recipe
    pd.testing.assert_frame_equal(table.drop(columns="y"), after.drop(columns="y"), check_exact=True)


@pytest.mark.slow
def test_no_later_target_enters_the_forecast_of_a_short_series_beside_long_ones(tmp_path: Path) -> None:
    rows = generate_series(6, [400, 400, 52, 50, 49, 20])

    def forecasts(rows: pd.DataFrame, folder: Path) -> pd.DataFrame:
        panel = prepare(rows, folder)
        train_model("arima", panel, folder / "arima")
        train_model("catboost", panel, folder / "catboost")
        members = {kind: folder / kind for kind in ("arima", "catboost")}
        stack_ensemble(panel, members, "", folder / "ensemble")
        return pd.read_parquet(folder / "ensemble" / FORECASTS)

    table = forecasts(rows, tmp_path / "as_is")
    assert Panel.load(tmp_path / "as_is" / "panel").spec.splits.length == 400
    end = Panel.load(tmp_path / "as_is" / "panel").series["validation_end"].max()
    altered = rows.assign(y=rows["y"].where(rows["ds"] <= end, rows["y"] * 2 + 50))
    after = forecasts(altered, tmp_path / "altered")
    first = table["cutoff"] <= end  # later origins know more
    assert set(table.loc[first, "unique_id"]) == {"s0", "s1", "s2", "s3", "s4"}
    pd.testing.assert_frame_equal(table[first].drop(columns="y"), after[first].drop(columns="y"))


def published(rows: pd.DataFrame, folder: Path, registry: Path, champion: str = "") -> str:
    train(rows, folder, **SHORT)
    status = folder / "champion"
    forecast_champion(folder / "panel", champion, str(registry), "", "inputs", status)
    return register(folder, status, registry, f"inputs of {folder.name}")


@pytest.mark.slow
def test_a_version_without_a_test_split_is_champion_until_one_is_evaluated(tmp_path: Path) -> None:
    registry = Registry.open(str(tmp_path / "registry"))
    first = published(first_rows(14), tmp_path / "first", tmp_path / "registry")
    result = Evaluation.read(tmp_path / "first" / "evaluation/leaderboard.json")
    assert not result.decision.evaluated
    assert {row.mase for row in result.leaderboard} == {None}
    for by in ("lead_time", "series", "fold", "phase"):
        assert metrics_of(result, "test", by).empty
    assert not metrics_of(result, "test", "model").empty
    assert "not evaluated" in (tmp_path / "first" / "report.html").read_text()
    assert registry.resolve("forecaster@champion").id == first.partition("@")[2]

    champion = first.partition("@")[2]
    published(first_rows(15), tmp_path / "second", tmp_path / "registry", champion)
    decision = Evaluation.read(tmp_path / "second" / "evaluation/leaderboard.json").decision
    assert not decision.promote
    assert decision.reasons == [
        f"not evaluated, as the history is too short for a test split: the champion {champion} stays"
    ]
    assert registry.resolve("forecaster@champion").id == champion

    published(first_rows(18), tmp_path / "third", tmp_path / "registry", champion)
    decision = Evaluation.read(tmp_path / "third" / "evaluation/leaderboard.json").decision
    assert decision.compared.startswith(f"none, as the champion {champion} is not evaluated: no origin")
    assert decision.checks
    assert decision.not_comparable == ""


def test_the_rows_that_a_split_is_made_for_are_not_always_those_of_the_median_series(tmp_path: Path) -> None:
    generate_series(6, [400, 400, 52, 50, 49, 20]).to_csv(tmp_path / "data.csv", index=False)
    facts = check_data(str(tmp_path / "data.csv"), small_settings())
    assert (facts["median_length"], facts["split_length"]) == (51, 400)
