"""One peer's forecasts, in the peers' own environment, which lacks kubecast: called by `benchmarks.accuracy`.

Reads a job from the JSON file that is named and writes the forecasts as CSV: unique_id, cutoff, ds, yhat. A
peer is fitted to the rows before the held-out ones; from a later origin it sees the rows up to it and nothing
after.
"""

import json
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

PRETRAINED = ["Chronos", "Chronos2", "Toto", "Toto2"]
NEWEST = 5_000
"""Rows of an origin's history that MSTL + AutoARIMA, which is fitted at each, sees: all but ETTh1's."""


def main() -> None:
    """Run one job."""
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning").setLevel(logging.ERROR)
    job = json.loads(Path(sys.argv[1]).read_text())
    train = pd.read_csv(job["train"], parse_dates=["ds"])
    histories = _histories(pd.read_csv(job["rows"], parse_dates=["ds"]), job)
    began = time.monotonic()
    if job["method"] == "mstl_arima":
        forecasts, fit_seconds = _mstl_arima(histories, job), 0.0
    else:
        forecasts, fit_seconds = _autogluon(train, histories, job, began)
    forecasts.to_csv(job["output"], index=False)
    times = {"fit_seconds": fit_seconds or time.monotonic() - began, "seconds": time.monotonic() - began}
    Path(job["output"]).with_suffix(".json").write_text(json.dumps(times))


def _histories(rows: pd.DataFrame, job: dict[str, Any]) -> pd.DataFrame:
    """Every origin's history as a series of its own, ``series@cutoff``."""
    origins = pd.read_csv(job["origins"], parse_dates=["cutoff"])
    parts = []
    for unique_id, cutoff in origins[["unique_id", "cutoff"]].itertuples(index=False):
        part = rows[(rows["unique_id"] == unique_id) & (rows["ds"] <= cutoff)]
        parts.append(part.assign(origin=f"{unique_id}@{cutoff.isoformat()}"))
    return pd.concat(parts, ignore_index=True)


def _split_origin(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Split ``origin`` into ``unique_id`` and ``cutoff``."""
    names = forecasts["origin"].str.split("@", expand=True)
    return forecasts.assign(unique_id=names[0], cutoff=names[1])[["unique_id", "cutoff", "ds", "yhat"]]


def _mstl_arima(histories: pd.DataFrame, job: dict[str, Any]) -> pd.DataFrame:
    from statsforecast import StatsForecast
    from statsforecast.models import MSTL, AutoARIMA, SeasonalNaive

    newest = histories.groupby("origin", sort=False).tail(NEWEST)
    model = MSTL(season_length=job["seasons"], trend_forecaster=AutoARIMA(), alias="yhat")
    forecaster = StatsForecast(
        [model], freq=job["frequency"], n_jobs=job["cores"], fallback_model=SeasonalNaive(job["seasons"][0])
    )
    table = newest[["origin", "ds", "y"]].rename(columns={"origin": "unique_id"})
    forecasts = forecaster.forecast(df=table, h=job["horizon"]).reset_index()
    return _split_origin(forecasts.rename(columns={"unique_id": "origin"}))


def _autogluon(
    train: pd.DataFrame, histories: pd.DataFrame, job: dict[str, Any], began: float
) -> tuple[pd.DataFrame, float]:
    """Forecast as a user would call it: the preset, the metric that is scored, the time that everyone has."""
    from autogluon.timeseries import TimeSeriesDataFrame, TimeSeriesPredictor

    predictor = TimeSeriesPredictor(
        prediction_length=job["horizon"],
        freq=job["frequency"],
        eval_metric="MASE",
        eval_metric_seasonal_period=job["seasons"][0],
        path=job["folder"],
        verbosity=2,
    )
    data = TimeSeriesDataFrame.from_data_frame(
        train.rename(columns={"y": "target"}), id_column="unique_id", timestamp_column="ds"
    )
    predictor.fit(data, time_limit=job["limit"], random_seed=job["seed"], **_how(job["method"]))
    fit_seconds = time.monotonic() - began
    table = histories[["origin", "ds", "y"]].rename(columns={"y": "target"})
    later = TimeSeriesDataFrame.from_data_frame(table, id_column="origin", timestamp_column="ds")
    quantiles = predictor.predict(later, random_seed=job["seed"], use_cache=False)
    print(predictor.leaderboard().to_string(), flush=True)
    values = quantiles["0.5"].rename("yhat").reset_index()  # the median is MASE's own forecast
    return _split_origin(values.rename(columns={"item_id": "origin", "timestamp": "ds"})), fit_seconds


def _how(method: str) -> dict[str, Any]:
    if method == "patchtst":
        return {"hyperparameters": {"PatchTST": {}}, "enable_ensemble": False}
    return {"presets": method.removeprefix("autogluon_"), "excluded_model_types": PRETRAINED}


if __name__ == "__main__":
    np.random.seed(0)  # noqa: NPY002  the libraries' own
    main()
