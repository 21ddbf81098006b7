"""Series that are fitted in shards: the model of all of them is the one that one fit makes."""

import json
import logging
import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from kubecast.data import parquet
from kubecast.data.panel import Cutoffs, Panel
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.errors import ConfigError, ModelError, ShardError
from kubecast.models.arima.settings import ArimaSettings
from kubecast.models.arima.trainer import ArimaTrainer
from kubecast.models.artifact import FORECASTS, load_model, read_card, read_status
from kubecast.models.base import FitPlan
from kubecast.steps import series_fit as fitting
from kubecast.steps.fit_shard import ShardFit, fit_series, fit_shard
from kubecast.steps.join_shards import join_shards
from kubecast.steps.series_fit import SeriesFit
from kubecast.steps.series_shards import PART, ranges_of_shards
from kubecast.steps.shard_status import ShardStatus
from kubecast.steps.train import train_model
from tests.support.panels import hourly
from tests.support.runs import panel_with, prepare

pytestmark = pytest.mark.slow

SETTINGS = json.dumps({"engine": "css", "max_order": [1, 1, 1]})


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Nine series: one is too short to be fitted, one is constant."""
    many = pd.concat([hourly(series=3).assign(unique_id=lambda t, n=n: n + t["unique_id"]) for n in "abc"])
    short = many["unique_id"].eq("as1") & (many["ds"] < many["ds"].max() - pd.Timedelta(hours=30))
    return many[~short].assign(y=lambda t: t["y"].where(t["unique_id"] != "bs1", 7.0)).reset_index(drop=True)


@pytest.fixture(scope="module")
def panel(rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    parameters = {"arima_settings": SETTINGS}
    return prepare(rows, tmp_path_factory.mktemp("shards") / "run", parameters=parameters)


@pytest.fixture(scope="module")
def whole(panel: Path) -> Path:
    """The models of one fit, and of the final one."""
    folder = panel.parent
    train_model("arima", panel, folder / "evaluated", report=folder / "train.html")
    train_model("arima", panel, folder / "final", fitted=folder / "evaluated", report=folder / "final.html")
    return folder


def fit(panel: Path, into: Path, count: int, fitted: Path | None = None) -> list[Path]:
    """Fit each shard in this process."""
    parts = []
    for number in range(1, count + 1):
        shard, part = f"{number}/{count}", into / f"{number}"
        if number <= len(ranges_of_shards(PanelBlocks.open(panel), count)):
            request = {"kind": "arima", "panel_dir": panel, "shard": shard, "model_dir": part}
            fit_series(ShardFit.model_validate(request | {"settings": "", "fitted": fitted}))
        part.mkdir(parents=True, exist_ok=True)
        ShardStatus(shard=shard).write(part / PART)
        parts.append(part)
    return parts


def lose(part: Path, reason: str = "its process was ended by SIGKILL") -> None:
    ShardStatus(shard=ShardStatus.read(part / PART).shard, reason=reason).write(part / PART)


def assert_same_model(made: Path, expected: Path) -> None:
    tables = [pd.read_parquet(model / FORECASTS) for model in (made, expected)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    cards = [read_card(model) for model in (made, expected)]
    logs = [card.log.model_copy(update={"seconds": 0.0}) for card in cards]
    assert logs[0] == logs[1]
    assert cards[0].model_copy(update={"log": logs[0]}) == cards[1].model_copy(update={"log": logs[1]})
    for name in ("arima.json", "arima.parquet"):
        assert (made / "forecaster" / name).read_bytes() == (expected / "forecaster" / name).read_bytes()


@pytest.mark.parametrize("count", [1, 4, 16])
def test_any_number_of_shards_gives_the_same_model(
    whole: Path, panel: Path, tmp_path: Path, count: int
) -> None:
    evaluated, final = tmp_path / "evaluated", tmp_path / "final"
    parts = fit(panel, tmp_path / "parts", count)
    status = join_shards("arima", panel, parts[::-1], evaluated, 1.0, report=tmp_path / "train.html")
    assert status.state == "ok"
    assert_same_model(evaluated, whole / "evaluated")
    parts = fit(panel, tmp_path / "again", count, evaluated)
    page = tmp_path / "final.html"
    assert join_shards("arima", panel, parts, final, 1.0, fitted=evaluated, report=page).state == "ok"
    assert_same_model(final, whole / "final")
    assert read_status(final / "evaluated").state == "ok"


@pytest.mark.parametrize("final", [False, True])
def test_what_holds_for_all_series_is_decided_on_the_same_ones(
    panel: Path, tmp_path: Path, final: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "EVIDENCE_ROWS", 500)  # of some 1,700
    fitted = None
    for name in ["evaluated", "final"][: 1 + final]:
        train_model("arima", panel, tmp_path / "whole" / name, fitted=fitted and tmp_path / "whole/evaluated")
        parts = fit(panel, tmp_path / f"parts-{name}", 3, fitted)
        join_shards("arima", panel, parts, tmp_path / name, 1.0, fitted=fitted)
        assert_same_model(tmp_path / name, tmp_path / "whole" / name)
        fitted = tmp_path / "evaluated"


def test_series_of_other_shards_show_what_holds_for_all(tmp_path: Path) -> None:
    long = hourly(series=2).assign(unique_id=lambda t: "a" + t["unique_id"])
    short = hourly(series=2).groupby("unique_id").tail(75).assign(unique_id=lambda t: "b" + t["unique_id"])
    # The engine is that of the longest, and the short ones are left to the season that the long ones show.
    settings = json.dumps({"max_order": [1, 1, 1]})
    panel = prepare(pd.concat([long, short]), tmp_path / "run", parameters={"arima_settings": settings})
    train_model("arima", panel, tmp_path / "whole")
    parts = fit(panel, tmp_path / "parts", 4)
    assert {read_card(part).log.fixed_fit["engine"] for part in parts if (part / "model.json").exists()} == {
        "css"
    }
    join_shards("arima", panel, parts, tmp_path / "joined", 1.0)
    assert_same_model(tmp_path / "joined", tmp_path / "whole")


def test_no_block_is_given_the_checkpoint_of_another(
    panel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[FitPlan] = []
    trained = ArimaTrainer.fit

    def record(trainer: ArimaTrainer, series: Panel, until: Cutoffs, plan: FitPlan) -> Any:
        plans.append(plan)
        return trained(trainer, series, until, plan)

    monkeypatch.setattr(ArimaTrainer, "fit", record)
    blocks, settings = PanelBlocks.open(panel), ArimaSettings.model_validate_json(SETTINGS)
    fit = SeriesFit("arima", blocks, settings, 0, tmp_path, checkpoint=tmp_path / "checkpoint", whole=blocks)
    fit.fit(None)
    assert [plan.checkpoint for plan in plans] == [None]


def test_a_shard_of_a_final_fit_holds_the_orders_of_its_own_series(
    whole: Path, panel: Path, tmp_path: Path
) -> None:
    parts = fit(panel, tmp_path / "parts", 4, whole / "evaluated")
    orders = [cast(dict[str, Any], read_card(part).log.fixed_fit["orders"]) for part in parts]
    ranges = ranges_of_shards(PanelBlocks.open(panel), 4)
    assert all(
        own.first <= name <= own.last for own, each in zip(ranges, orders, strict=True) for name in each
    )
    assert sum(map(len, orders)) == len(read_card(whole / "final").log.fixed_fit["orders"])  # type: ignore[arg-type]


def test_the_page_says_that_it_is_about_some_of_the_series(
    panel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "EVIDENCE_ROWS", 500)
    page = tmp_path / "page.html"
    join_shards("arima", panel, fit(panel, tmp_path / "parts", 3), tmp_path / "model", 1.0, report=page)
    text = page.read_text()
    assert "Fitted to each of 8 series. This page is about a sample of " in text
    assert "This task joined the 3 shards, which tasks of their own fitted" in text


def test_a_model_has_a_shard_that_did_not_fail(panel: Path, tmp_path: Path) -> None:
    parts = fit(panel, tmp_path / "parts", 2)
    for part in parts:
        lose(part)
    with pytest.raises(ModelError, match="2 of 2 shards of its series failed; allowed: 1; "):
        join_shards("arima", panel, parts, tmp_path / "model", 1e-12)


def test_a_fit_is_the_same_in_any_blocks(
    whole: Path, panel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "BLOCK_ROWS", 300)
    monkeypatch.setattr(fitting, "FORECAST_ROWS", 500)
    Panel.load(panel).save(tmp_path / "panel")
    (tmp_path / "panel" / "run.json").write_bytes((panel / "run.json").read_bytes())
    assert len(list(PanelBlocks.open(tmp_path / "panel").larger(500))) > 2
    train_model("arima", tmp_path / "panel", tmp_path / "evaluated", report=tmp_path / "page.html")
    train_model("arima", tmp_path / "panel", tmp_path / "final", fitted=tmp_path / "evaluated")
    for name in ("evaluated", "final"):
        assert_same_model(tmp_path / name, whole / name)


def test_later_targets_change_no_shard(whole: Path, panel: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    series = Panel.load(panel).series.set_index("unique_id")
    is_late = rows["ds"] > rows["unique_id"].map(series["train_end"])
    altered = rows.assign(y=rows["y"].where(~is_late, -rows["y"] * (rows["ds"].dt.hour % 3)))
    changed = prepare(altered, tmp_path / "run", parameters={"arima_settings": SETTINGS})
    join_shards("arima", changed, fit(changed, tmp_path / "parts", 4), tmp_path / "model", 1.0)
    origins = Panel.load(panel).split("test")
    before, after = (load_model(each) for each in (whole / "evaluated", tmp_path / "model"))
    old = Panel.load(panel)
    pd.testing.assert_frame_equal(before.forecast(old, origins), after.forecast(old, origins))


def test_series_of_a_shard_that_failed_get_the_fallback(whole: Path, panel: Path, tmp_path: Path) -> None:
    parts = fit(panel, tmp_path / "parts", 4)
    lose(parts[1])
    assert join_shards("arima", panel, parts, tmp_path / "model", 0.75).state == "ok"
    own = ranges_of_shards(PanelBlocks.open(panel), 4)[1]
    table, expected = (
        pd.read_parquet(each / FORECASTS) for each in (tmp_path / "model", whole / "evaluated")
    )
    keys = ["unique_id", "cutoff", "ds", "split", "fold"]
    pd.testing.assert_frame_equal(table[keys], expected[keys])
    lost = table["unique_id"].between(own.first, own.last)
    pd.testing.assert_frame_equal(table[~lost], expected[~lost])
    assert np.isfinite(table["arima"]).all()
    assert not table.loc[lost, "arima"].equals(expected.loc[lost, "arima"])
    reason = "shard 2/4 failed: its process was ended by SIGKILL"
    fallbacks = read_card(tmp_path / "model").log.fallbacks
    assert {name for name, why in fallbacks.items() if why == reason} == set(table.loc[lost, "unique_id"])


@pytest.mark.parametrize("on_failure", ["continue", "stop"])
def test_a_model_of_which_too_many_shards_failed_fails(panel: Path, tmp_path: Path, on_failure: str) -> None:
    own = panel_with(panel, tmp_path / "panel", on_failure=on_failure)
    parts = fit(own, tmp_path / "parts", 4)
    lose(parts[1])
    lose(parts[2])
    said = (
        "2 of 4 shards of its series failed; allowed: 1; the first, series bs0 to bs1 (2): shard 2/4 failed:"
        " its process was ended by SIGKILL"
    )
    if on_failure == "stop":
        with pytest.raises(ModelError) as caught:
            join_shards("arima", own, parts, tmp_path / "model", 0.75)
        assert str(caught.value) == said
    else:
        status = join_shards("arima", own, parts, tmp_path / "model", 0.75)
        assert (status.state, status.reason) == ("failed", said)
        assert pd.read_parquet(tmp_path / "model" / FORECASTS).empty


def test_a_final_fit_of_which_a_shard_failed_is_refused_as_a_whole(
    whole: Path, panel: Path, tmp_path: Path
) -> None:
    parts = fit(panel, tmp_path / "parts", 4, whole / "evaluated")
    lose(parts[3])
    status = join_shards("arima", panel, parts, tmp_path / "model", 0.5, fitted=whole / "evaluated")
    assert status.state == "evaluated"
    assert "final fit refused: 1 of 4 shards" in status.reason
    panels = Panel.load(panel)
    table = pd.read_parquet(tmp_path / "model" / FORECASTS)
    expected = load_model(whole / "evaluated").forecast(panels, panels.ends)
    np.testing.assert_array_equal(table["arima"], expected["arima"])


def test_a_shard_is_fitted_in_a_process_of_its_own(
    whole: Path, panel: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert fit_shard("arima", panel, "2/4", tmp_path / "part", 0, 1.0) == ShardStatus(shard="2/4")
    own = ranges_of_shards(PanelBlocks.open(panel), 4)[1]
    table = pd.read_parquet(tmp_path / "part" / FORECASTS)
    assert (table["unique_id"].min(), table["unique_id"].max()) == (own.first, own.last)
    assert f"shard 2/4: {own}" in caplog.messages


def test_a_shard_that_cannot_be_fitted_says_why(panel: Path, tmp_path: Path) -> None:
    ended = fit_shard("arima", panel, "1/4", tmp_path / "part", 0, 1.0, settings='{"engine": "fast"}')
    assert "arima_settings: engine: " in ended.reason
    assert ShardStatus.read(tmp_path / "part" / PART) == ended


@pytest.mark.parametrize("least", [0.5, 1.0])
def test_a_process_that_dies_ends_the_run_where_no_shard_may_fail(
    panel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: float
) -> None:
    dies = "import os, sys\nif 'kubecast.steps.fit_shard' in sys.orig_argv: os.kill(os.getpid(), 9)\n"
    (tmp_path / "sitecustomize.py").write_text(dies)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    part = tmp_path / "part"
    if least == 1:
        with pytest.raises(ShardError, match=r"shard 2/4, series .*: its process was ended by SIGKILL"):
            fit_shard("arima", panel, "2/4", part, 1, least)
        assert not (part / PART).exists()
    else:
        fit_shard("arima", panel, "2/4", part, 1, least)
        assert ShardStatus.read(part / PART).reason == "its process was ended by SIGKILL"


def test_a_shard_beyond_the_series_is_empty(panel: Path, tmp_path: Path) -> None:
    assert fit_shard("arima", panel, "16/16", tmp_path / "part", 0, 1.0).reason == ""
    assert [path.name for path in (tmp_path / "part").iterdir()] == [PART]


def test_shards_have_as_many_training_rows_each(rows: pd.DataFrame, tmp_path: Path) -> None:
    lengths = {"as0": 40, "as2": 60}  # hours less than the others
    late = rows["ds"] >= rows["ds"].min() + pd.to_timedelta(
        rows["unique_id"].map(lengths).fillna(0), unit="h"
    )
    scales = rows["unique_id"].map({"as0": 1e6, "cs2": 1e-6}).fillna(1.0)
    panel = PanelBlocks.open(prepare(rows[late].assign(y=rows["y"] * scales), tmp_path / "run"))
    ranges = ranges_of_shards(panel, 4)
    assert sum(each.series for each in ranges) == 9
    assert max(each.rows for each in ranges) < 1.5 * min(each.rows for each in ranges)
    assert len(ranges_of_shards(panel, 16)) == 9


@pytest.mark.parametrize("shard", ["", "0/4", "5/4", "1", "1/4/2", "a/b", "1/65"])
def test_another_name_of_a_shard_is_refused(panel: Path, tmp_path: Path, shard: str) -> None:
    with pytest.raises(ConfigError, match="allowed: NUMBER/COUNT"):
        fit_shard("arima", panel, shard, tmp_path / "part", 0, 1.0)
