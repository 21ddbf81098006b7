"""Models fitted to a sample of whole series against those fitted to all: `make bench-sampling`.

Series of three public collections, before the windows that boards score, are repeated until there are enough,
each time with another scale and without some of their first rows, so that no two are alike. CatBoost and the
LSTM are fitted to all of them and to a sample with a fifth of the training rows, and forecast every series
from the test split's origins. Errors of the series inside and outside the sample stand apart.
"""

import argparse
import hashlib
import itertools
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measure import DATA, ROOT
from benchmarks.report import Bar, Results, Table
from kubecast.data.panel import KEYS, Panel
from kubecast.data.parquet import read_parquet
from kubecast.models.artifact import FORECASTS
from kubecast.models.blocks import fitted_series
from kubecast.scoring.metrics import series_metrics
from kubecast.settings.loading import load_settings
from kubecast.steps.prepare import prepare_data
from kubecast.steps.run_settings import RunSettings
from kubecast.steps.train import train_model

SHARE = 0.2  # of the training rows
MODELS = ("catboost", "lstm")
UPDATES = 3_000  # of the LSTM's windows in an epoch, times its batches
MOST_RATIO = 1.01
PACKAGES = ("catboost", "mlforecast", "tensorflow-cpu")


@dataclass(frozen=True)
class Collection:
    """A public collection of series.

    Attributes:
        file: In the folder ``boards``.
        board: Last rows of each series, which a board scores.
        settings: Of ``training``.
    """

    file: str
    board: int
    settings: dict[str, Any]


COLLECTIONS = {
    "m4_hourly": Collection(
        "m4_hourly.csv.gz", 48, {"frequency": "h", "horizon": 48, "season_lengths": "[24,168]"}
    ),
    "hospital": Collection(
        "hospital.csv.gz", 12, {"frequency": "MS", "horizon": 12, "season_lengths": "[12]"}
    ),
    "pasta": Collection(
        "pasta_sales.csv.gz", 210, {"frequency": "D", "horizon": 30, "season_lengths": "[7]"}
    ),
}


def main() -> None:
    """Fit, forecast, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DATA / "boards")
    parser.add_argument("--series", type=int, nargs="+", default=[2_000])
    parser.add_argument("--collections", nargs="+", default=[*COLLECTIONS], choices=COLLECTIONS)
    parser.add_argument("--models", nargs="+", default=[*MODELS], choices=MODELS)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    rows = [
        _compare(given.folder, name, count, model, given.seeds)
        for name, count, model in itertools.product(given.collections, given.series, given.models)
    ]
    bars = [_bar(row) for row in rows]
    note = (
        f"Of each collection's rows before its board's windows. The sample has {SHARE:.0%} of the training"
        " rows. MASE of the test split, mean over series; *ratio* is that of the model fitted to the sample"
        f" by that of the one fitted to all, the mean of {given.seeds} seeds, its spread the lowest and"
        " highest of single seeds; *outside* has the series that are not in the sample. `configs/quick`."
    )
    table = Table(title="Fitted to a sample of series", rows=rows, note=note)
    Results.collect("sampling", "Samples of series", [table], bars, PACKAGES).save()


def _bar(row: dict[str, Any]) -> Bar:
    what = f"MASE of {row['model']} on {row['series']} series of {row['collection']}, sample by all"
    return Bar(what=what, value=row["ratio"], most=MOST_RATIO)


def _compare(folder: Path, name: str, count: int, model: str, seeds: int) -> dict[str, Any]:
    """One row: both models with each seed."""
    errors: dict[bool, list[pd.Series[float]]] = {False: [], True: []}
    inside = np.array([])
    seconds = {False: 0.0, True: 0.0}
    with tempfile.TemporaryDirectory() as output:
        data = Path(output) / "data.parquet"
        repeated(folder, COLLECTIONS[name], count).to_parquet(data, index=False)
        for seed, sampled in itertools.product(range(seeds), (False, True)):
            panel = _prepare(data, COLLECTIONS[name], model, seed, sampled, Path(output) / f"{seed}{sampled}")
            began = time.perf_counter()
            train_model(model, panel, panel.parent / model)
            seconds[sampled] += time.perf_counter() - began
            errors[sampled].append(_errors(panel, panel.parent / model / FORECASTS, model))
            inside = errors[sampled][-1].index.isin(_sample(Panel.load(panel).series).index)
            print(
                f"{name}, {count}, {model}, {seed}, {sampled}: {errors[sampled][-1].mean():.4f}",
                file=sys.stderr,
            )
    of_all, of_sample = (pd.concat(errors[each], axis=1) for each in (False, True))
    ratios = of_sample.mean() / of_all.mean()
    return {
        "collection": name,
        "series": count,
        "model": model,
        "MASE, all": of_all.mean().mean(),
        "MASE, sample": of_sample.mean().mean(),
        "ratio": of_sample.mean().mean() / of_all.mean().mean(),
        "spread": f"{ratios.min():.4f} to {ratios.max():.4f}",
        "inside": of_sample[inside].mean().mean() / of_all[inside].mean().mean(),
        "outside": of_sample[~inside].mean().mean() / of_all[~inside].mean().mean(),
        "fit and forecast, s, all": seconds[False] / seeds,
        "sample": seconds[True] / seeds,
    }


def repeated(folder: Path, collection: Collection, count: int) -> pd.DataFrame:
    """So many series: the collection's, repeated with other scales and beginnings.

    Args:
        folder: Of the files.
        collection: Whose series.
        count: Of series.

    Returns:
        ``unique_id``, ``ds``, ``y``.
    """
    rows = pd.read_csv(folder / collection.file)
    if "ds" not in rows:
        rows["ds"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rows["step"], unit="h")
    rows = rows.assign(ds=pd.to_datetime(rows["ds"]))[["unique_id", "ds", "y"]]
    rows = rows.sort_values(["unique_id", "ds"])
    rows = rows[rows.groupby("unique_id").cumcount(ascending=False) >= collection.board]
    series = [own for _, own in rows.groupby("unique_id")]
    random = np.random.default_rng(0)
    made = []
    for number in range(count):
        own = series[number % len(series)]
        again = number >= len(series)
        scale = random.lognormal(0, 1) if again else 1.0
        skipped = int(random.integers(0, len(own) // 5)) if again else 0
        own = own.iloc[skipped:]
        made.append(own.assign(unique_id=f"series{number:05}", y=own["y"] * scale))
    return pd.concat(made, ignore_index=True)


def _prepare(data: Path, collection: Collection, model: str, seed: int, sampled: bool, folder: Path) -> Path:
    """The panel, with settings that fit the model to all rows or to the sample."""
    training = [f"training.{key}={value}" for key, value in {**collection.settings, "seed": seed}.items()]
    epoch = [f"lstm.windows_per_epoch={UPDATES * 32}", "lstm.epochs=5"]
    settings = load_settings(ROOT / "configs" / "quick", [*training, *epoch, f"{model}.max_rows=1000000000"])
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    panel = folder / "panel"
    prepare_data(str(data), digest, "", RunSettings.from_settings(settings).text(), panel)
    if sampled:
        most = _most(Panel.load(panel).series)
        run = RunSettings.read(panel)
        run.models[model] = {**run.models[model], "max_rows": most}
        run.write(panel)
    return panel


def _most(series: pd.DataFrame) -> int:
    return int(series.loc[series["route"] == "model", "train_rows"].sum() * SHARE)


def _sample(series: pd.DataFrame) -> "pd.Series[int]":
    return fitted_series(series, _most(series))


def _errors(panel_dir: Path, file: Path, model: str) -> "pd.Series[float]":
    """MASE of each series on the test split."""
    panel = Panel.load(panel_dir)
    forecasts = read_parquet(file, filters=[("split", "==", "test")])
    table = panel.targets(panel.split("test")).merge(forecasts, on=KEYS)
    errors: pd.Series[float] = series_metrics(table, panel.series, [model])["mase"][model].droplevel("split")
    return errors


if __name__ == "__main__":
    main()
