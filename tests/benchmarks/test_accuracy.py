"""How benchmarks/accuracy.py scores forecasts and compares methods."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks import accuracy
from benchmarks.accuracy import Task

SIZE, HELD_OUT, HORIZON = 60, 20, 4


def task(stride: int = 4) -> Task:
    """Two daily series with a week's season, the second ten times the first."""
    ds = pd.date_range("2024-01-01", periods=SIZE, freq="D")
    y = np.arange(SIZE) % 7 + np.arange(SIZE) / 10
    rows = pd.concat(
        [
            pd.DataFrame({"unique_id": key, "ds": ds, "y": y * scale})
            for key, scale in (("a", 1.0), ("b", 10.0))
        ],
        ignore_index=True,
    )
    train = rows[rows["ds"] < ds[SIZE - HELD_OUT]]
    return Task("demand", rows, train, "D", [7], HORIZON, [2, 4], stride)


def forecasts(given: Task, error: float) -> pd.DataFrame:
    """The truth, off by so many scales at the first lead and by twice as many at each later one."""
    table = given.origins.merge(given.rows, on="unique_id")
    table = table[table["ds"] > table["cutoff"]].copy()
    lead = table.groupby(["unique_id", "cutoff"]).cumcount()
    off = table["unique_id"].map(given.scales) * np.where(lead == 0, error, 2 * error)
    return table[lead < given.horizon].assign(yhat=table["y"] + off).drop(columns="y")


def kept(errors: list[float], seconds: float = 10.0) -> dict[str, Any]:
    return {"seconds": seconds, "cpu": 5.0, "limit": 300, "errors": {"2": errors, "4": errors}}


def test_origins_are_strides_from_the_last_training_row_with_a_whole_horizon() -> None:
    given = task()
    of_a = given.origins[given.origins["unique_id"] == "a"]["cutoff"]

    assert of_a.iloc[0] == given.train["ds"].max()
    assert (of_a.diff().dropna() == pd.Timedelta(days=4)).all()
    assert of_a.iloc[-1] + pd.Timedelta(days=HORIZON) <= given.rows["ds"].max()
    assert len(task(stride=0).origins) == 2


def test_errors_are_in_scales_of_the_training_rows_and_by_leading_steps() -> None:
    given = task()
    errors = accuracy.scaled_errors(given, forecasts(given, 0.5))

    assert len(errors["4"]) == len(given.origins)
    np.testing.assert_allclose(errors["2"], 0.75)
    np.testing.assert_allclose(errors["4"], 0.875)
    later = given.rows.assign(y=given.rows["y"].where(given.rows["ds"].isin(given.train["ds"]), 1e6))
    pd.testing.assert_series_equal(replace(given, rows=later).scales, given.scales)


def test_a_forecast_that_is_missing_is_no_score() -> None:
    given = task()
    with pytest.raises(ValueError, match=r"demand: 1 forecasts are missing"):
        accuracy.scaled_errors(given, forecasts(given, 0.5).iloc[1:])


def test_better_is_written_only_where_the_interval_excludes_0() -> None:
    given = task(stride=0)
    noise = np.random.default_rng(0).normal(0, 1, 40)
    results = {
        "kubecast": [kept([0.5] * 40), kept([0.7] * 40)],
        "mstl_arima": [kept([0.9] * 40)],
        "patchtst": [kept([0.1] * 40)],
        "seasonal_naive": [kept((0.6 + noise - noise.mean()).tolist())],
    }
    rows = {row["method"]: row for row in accuracy.result_tables(given, results)[0].rows}

    assert rows["kubecast"]["MASE"] == "0.6000 (0.5000 to 0.7000)"
    assert rows["mstl_arima"]["difference (95 %)"] == "-0.3000 (-0.3000 to -0.3000)"
    verdicts = {method: row["kubecast is"] for method, row in rows.items()}
    assert verdicts == {
        "kubecast": "",
        "mstl_arima": "better",
        "patchtst": "worse",
        "seasonal_naive": "not shown to differ",
    }


def test_neighbouring_origins_are_drawn_together() -> None:
    values = np.repeat(np.random.default_rng(0).normal(size=30), 4)  # errors that neighbours share
    together, apart = accuracy.mean_interval(values, 4), accuracy.mean_interval(values, 1)

    assert together[1] - together[0] > 1.5 * (apart[1] - apart[0])


def test_seconds_over_the_limit_are_marked() -> None:
    assert accuracy.seconds_text([kept([1.0]), kept([1.0], 301.0)]) == "301, over 300"
    assert accuracy.seconds_text([kept([1.0])]) == "10"


def test_bars_are_of_the_mean_and_of_the_best_peer() -> None:
    given = replace(task(), horizon=48, leads=[48])

    def scored(*errors: float) -> list[dict[str, Any]]:
        return [kept([error]) | {"errors": {"48": [error]}} for error in errors]

    own = {"kubecast": scored(0.4, 0.6)}
    peers = {name: scored(0.8) for name in accuracy.PEERS} | {"mstl_arima": scored(0.625)}
    time, bar = accuracy.comparison_bars(given, own | peers)
    assert (time.value, time.most) == (10.0, 300)
    assert (bar.value, bar.most, bar.met) == (pytest.approx(0.8), 0.9, True)
    _, unknown = accuracy.comparison_bars(given, own | {"patchtst": scored(0.8)})
    assert (unknown.value, unknown.met) == (None, False)  # the best of some is not the best
    assert [bar.value for bar in accuracy.comparison_bars(replace(given, name="m4"), own)] == [10.0, 0.5]


def test_a_result_that_is_there_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(accuracy, "OUTPUT", tmp_path)
    given = argparse.Namespace(
        config=Path("configs/balanced"), cores=2, limit=300, seeds=2, methods=["seasonal_naive"]
    )
    accuracy.run_once(task(), "seasonal_naive", 1, given)
    (file,) = tmp_path.iterdir()
    first = json.loads(file.read_text())
    capsys.readouterr()
    file.write_text(json.dumps(first | {"seconds": 123.0}))
    accuracy.run_once(task(), "seasonal_naive", 1, given)

    assert capsys.readouterr().out == ""
    assert accuracy.read_results("demand", given)["seasonal_naive"] == [first | {"seconds": 123.0}]
    assert set(first["errors"]) == {"2", "4"}

    other = replace(task(), rows=task().rows.assign(y=lambda rows: rows["y"] + rows.index % 3))
    accuracy.run_once(other, "seasonal_naive", 1, given)
    assert "seasonal_naive seed 1" in capsys.readouterr().out
    assert accuracy.read_results("demand", given)["seasonal_naive"][0]["seconds"] == 0.0


def test_a_result_rests_on_settings_and_cores(tmp_path: Path) -> None:
    config = tmp_path / "own"
    config.mkdir()
    (config / "arima.yaml").write_text("arima: {}")
    given = argparse.Namespace(config=config, cores=2, limit=300)
    first = accuracy.task_digest(task(), "kubecast", given)
    assert accuracy.task_digest(task(), "kubecast", given) == first
    assert (
        accuracy.task_digest(task(), "kubecast", argparse.Namespace(config=config, cores=1, limit=300))
        != first
    )
    of_peer = accuracy.task_digest(task(), "patchtst", given)
    (config / "arima.yaml").write_text("arima: {n_models: 2}")
    assert accuracy.task_digest(task(), "kubecast", given) != first
    assert accuracy.task_digest(task(), "patchtst", given) == of_peer


@pytest.mark.parametrize("folder", ["src", "pipelines", "components"])
def test_a_result_rests_on_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.setattr(accuracy, "ROOT", tmp_path)
    given = argparse.Namespace(config=tmp_path / "configs", cores=2, limit=300)
    first = accuracy.task_digest(task(), "kubecast", given)
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "own.py").write_text("x = 1")
    assert accuracy.task_digest(task(), "kubecast", given) != first
