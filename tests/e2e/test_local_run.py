"""The command and the compiled pipeline, through KFP's local runner, in processes of their own."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support.commands import arguments, executed, kubecast, kubecast_here

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def finished(folder: Path) -> "subprocess.CompletedProcess[str]":
    """One run of all four models, with its cache kept."""
    done = kubecast(*arguments(folder, "out", "--resume"))
    assert done.returncode == 0, done.stderr + (folder / "out" / "run.log").read_text()[-3000:]
    return done


def test_run_writes_what_the_readme_lists(finished: Any, folder: Path) -> None:
    out = folder / "out"
    board = json.loads((out / "leaderboard.json").read_text())
    models = {row["model"] for row in board["leaderboard"] if row["split"] == "test"}
    assert models == {
        "arima",
        "lstm",
        "transformer",
        "catboost",
        "seasonal_naive_24",
        "seasonal_naive_1",
        "ensemble",
    }
    forecasts = pd.read_parquet(out / "forecasts.parquet")
    assert list(forecasts.columns) == ["unique_id", "ds", "yhat", *(f"q0.{level}" for level in range(1, 10))]
    assert forecasts.groupby("unique_id").size().to_dict() == {"s0": 6, "s1": 6, "s2": 6}
    backtest = pd.read_parquet(out / "backtest.parquet")
    assert {"y", "observed", "split", "fold", "ensemble", "q0.5", "catboost"} <= set(backtest.columns)
    assert "<html" in (out / "report.html").read_text()
    for model in ("arima", "lstm", "transformer", "catboost"):
        assert f"<h1>train-{model}</h1>" in (out / f"training-{model}.html").read_text()
    assert "published  forecaster@" in finished.stdout
    assert (
        "compared   none, as there is no champion from other data or settings" in finished.stdout.splitlines()
    )
    assert "promoted   champion" in finished.stdout.splitlines()
    assert re.search(r"^\[\d+/14\] train-arima  \d+ s", finished.stderr, re.MULTILINE)


def test_second_run_on_unchanged_data_runs_only_resolve_inputs(finished: Any, folder: Path) -> None:
    again = kubecast(*arguments(folder, "out", "--resume"))
    assert again.returncode == 0, again.stderr
    assert executed(folder, "out") == ["resolve-inputs"]
    assert again.stdout.splitlines()[-1] == finished.stdout.splitlines()[-1]


def test_forecast_in_a_new_process_equals_the_production_forecast(finished: Any, folder: Path) -> None:
    registry, data, output = (
        str(folder / "out" / "registry"),
        str(folder / "data.csv"),
        folder / "new.parquet",
    )
    done = kubecast(
        *("forecast", "--registry", registry, "--model", "forecaster", "--data", data, "--horizon", "6"),
        *("--output", str(output)),
    )
    assert done.returncode == 0, done.stderr
    written = pd.read_parquet(folder / "out" / "forecasts.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(output), written, rtol=1e-6, atol=1e-6)


def test_models_list_and_show_in_json(finished: Any, folder: Path) -> None:
    registry = str(folder / "out" / "registry")
    listed = json.loads(kubecast_here("models", "list", "--registry", registry, "--json").stdout)
    assert [row["model"] for row in listed] == ["forecaster"]
    shown = json.loads(kubecast_here("models", "show", "--registry", registry, "forecaster", "--json").stdout)
    assert shown["version"] == listed[0]["version"]
    assert {"production/ensemble.json", "evaluated/ensemble.json", "production_forecast.parquet"} <= set(
        shown["files"]
    )
    assert shown["metadata"]["data_digest"]


def test_backtest_is_refused_before_what_the_version_has_seen(finished: Any, folder: Path) -> None:
    registry, data = str(folder / "out" / "registry"), str(folder / "data.csv")
    words = ("backtest", "--registry", registry, "--model", "forecaster", "--data", data, "--stride", "3")
    early = kubecast_here(*words, "--from", "2024-01-05")
    assert early.returncode == 2
    assert "up to which the model was fitted or chosen; allowed: a later start" in early.stderr
    done = kubecast_here(*words, "--json", "--output", str(folder / "backtest.csv"))
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    table = pd.read_csv(folder / "backtest.csv")
    assert summary["origins"] == len(table[["unique_id", "cutoff"]].drop_duplicates())
    assert 0 < summary["mase"] < 2


@pytest.mark.parametrize(
    ("break_it", "status", "message"),
    [
        (["--horizon", "0"], 2, "training.horizon"),
        (["--set", "lstm.epoch=5"], 2, "did you mean epochs?"),
        (["--models", "prophet"], 2, "--models: unknown kind 'prophet'; allowed: arima"),
        (["--set", "training.model_name=../x"], 2, "model name '../x' is not allowed"),
        (["--data", "nowhere.csv"], 2, "nowhere.csv"),
        (["--horizon", "500"], 2, "allowed: longer series or a shorter horizon"),
        (["--registry", "ftp://host/models"], 2, "registry ftp://"),
        (["--registry", "file://me:s3cret@host/x"], 2, "registry 'file://***@host/x'"),
        (["--season-length", "day"], 2, "season_lengths 'day'; allowed: whole numbers"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(
    folder: Path, break_it: list[str], status: int, message: str
) -> None:
    done = kubecast_here(*arguments(folder, "wrong", *break_it))
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.returncode, len(errors)) == (status, 1), done.stderr
    assert message in errors[0]
    assert "Traceback" not in done.stderr
