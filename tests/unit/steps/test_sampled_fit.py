"""A model of many series is fitted to a sample of them, and forecasts all."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kubecast.data import parquet
from kubecast.data.panel import Panel
from kubecast.evaluation.leaderboard import Evaluation
from kubecast.models import blocks
from kubecast.models.artifact import FORECASTS, PRODUCTION, load_model, read_card
from kubecast.models.base import Sample
from kubecast.models.blocks import fitted_series
from kubecast.steps.stack import stack_ensemble
from kubecast.steps.train import train_model
from tests.support.panels import hourly
from tests.support.runs import CATBOOST, prepare, register, run, train

pytestmark = pytest.mark.slow

SERIES, ROWS = 8, 700  # of which the sample's training rows are about a third
SAMPLED = json.dumps(json.loads(CATBOOST) | {"max_rows": ROWS})


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return hourly(series=SERIES, rows=500)


@pytest.fixture(scope="module")
def done(rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sampled") / "run"
    return run(rows, folder, parameters={"catboost_settings": SAMPLED})


def sample_of(folder: Path) -> "pd.Series[int]":
    return fitted_series(Panel.load(folder / "panel").series, ROWS)


def test_card_says_how_many_series_it_was_fitted_to(done: Path) -> None:
    chosen = sample_of(done)
    assert 1 < len(chosen) < SERIES
    expected = Sample(series=len(chosen), of_series=SERIES, rows=int(chosen.sum()))
    for model in ("evaluated", "final"):
        assert read_card(done / model).log.sample == expected
    assert Evaluation.read(done / "evaluation/leaderboard.json").fits["catboost"].sample == expected


def test_every_series_is_forecast(done: Path) -> None:
    panel, table = Panel.load(done / "panel"), pd.read_parquet(done / "evaluated" / FORECASTS)
    evaluated = table[table["split"] != PRODUCTION]
    keys = ["unique_id", "cutoff", "split", "fold"]
    pd.testing.assert_frame_equal(evaluated[keys].drop_duplicates(ignore_index=True), panel.origins[keys])
    assert set(table.loc[table["split"] == PRODUCTION, "unique_id"]) == set(panel.ids)
    assert np.isfinite(table["catboost"]).all()


def test_rows_of_other_series_do_not_enter_the_fit(done: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    chosen, panel = sample_of(done), Panel.load(done / "panel")
    inside = rows["unique_id"].isin(chosen.index)
    altered = rows.assign(y=rows["y"].where(inside, -rows["y"]))  # which keeps their strata
    folder = train(altered, tmp_path / "run", parameters={"catboost_settings": SAMPLED})
    pd.testing.assert_series_equal(sample_of(folder), chosen)
    before, after = (load_model(each / "evaluated") for each in (done, folder))
    origins = panel.split("test")
    pd.testing.assert_frame_equal(before.forecast(panel, origins), after.forecast(panel, origins))


def test_later_targets_change_neither_sample_nor_model(
    done: Path, rows: pd.DataFrame, tmp_path: Path
) -> None:
    panel = Panel.load(done / "panel")
    ends = rows["unique_id"].map(panel.series.set_index("unique_id")["train_end"])
    is_late = rows["ds"] > ends
    altered = rows.assign(y=rows["y"].where(~is_late, -rows["y"] * (rows["ds"].dt.hour % 3)))
    changed = prepare(altered, tmp_path / "run", parameters={"catboost_settings": SAMPLED})
    pd.testing.assert_series_equal(fitted_series(Panel.load(changed).series, ROWS), sample_of(done))
    train_model("catboost", changed, tmp_path / "evaluated")
    before, after = (load_model(each / "evaluated") for each in (done, tmp_path))
    origins = panel.split("test")
    pd.testing.assert_frame_equal(before.forecast(panel, origins), after.forecast(panel, origins))


@pytest.mark.parametrize("size", [100, 1_200])
def test_blocks_of_series_change_no_forecast(
    done: Path, tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "BLOCK_ROWS", size)
    monkeypatch.setattr(blocks, "FORECAST_ROWS", size)
    Panel.load(done / "panel").save(tmp_path / "panel")
    (tmp_path / "panel" / "run.json").write_bytes((done / "panel" / "run.json").read_bytes())
    train_model("catboost", tmp_path / "panel", tmp_path / "evaluated")
    train_model("catboost", tmp_path / "panel", tmp_path / "final", fitted=tmp_path / "evaluated")
    for model in ("evaluated", "final"):
        before, after = (pd.read_parquet(each / model / FORECASTS) for each in (done, tmp_path))
        pd.testing.assert_frame_equal(after, before, check_exact=True)
    stack_ensemble(tmp_path / "panel", {"catboost": tmp_path / "evaluated"}, "", tmp_path / "ensemble")
    register(tmp_path)
    for path in (f"ensemble/{FORECASTS}", "forecast.parquet"):
        before, after = (pd.read_parquet(each / path) for each in (done, tmp_path))
        pd.testing.assert_frame_equal(after, before, rtol=1e-12)


def test_page_is_about_the_series_of_the_sample(done: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    train_model("catboost", done / "panel", tmp_path / "evaluated", report=page)
    chosen = sample_of(done)
    assert f"Fitted to a sample of {len(chosen)} of {SERIES} series with {chosen.sum():,} training rows" in (
        page.read_text()
    )
