"""A large panel: `make bench-panel`.

Every stage of a run on 10,000 series of 1,000 hours, each in a process of its own as on a cluster, with its
seconds and the memory that it holds at most. Smaller panels of the same kind show how the cost grows: the
exponent is the slope of a straight line through the logarithms of processor time and number of series; that
of the two largest panels alone stands beside it, since costs that every panel has flatten the line.
"""

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import ROOT, Run, run
from benchmarks.report import Bar, Results, Table

ROWS = 1_000  # of each series
HORIZON, SEASONS, FREQUENCY = 24, "24,168", "h"
TASK = {"horizon": HORIZON, "frequency": FREQUENCY, "season_lengths": f"[{SEASONS}]"}
WINDOWS = 16  # of each series in the one epoch of the LSTM
LIMIT_MB = 8 * 1024
EVALUATED = ("stack", "evaluate")
EVALUATION_SECONDS, EVALUATION_MB = 40, 2 * 1024
MEMBERS = ("catboost", "lstm")
PACKAGES = ("catboost", "mlforecast", "numpy", "pandas", "pyarrow", "tensorflow-cpu", "utilsforecast")


def main() -> None:
    """Measure every stage at every size, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--stage", choices=STAGES, help="run this one alone, in FOLDER")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.stage:
        began = time.process_time()
        STAGES[given.stage](given.folder, given.series[0], given.seed)
        print(json.dumps({"cpu": time.process_time() - began}))
        return
    measured = {count: _measure(count, given.seed) for count in given.series}
    _results(measured).save()


def _measure(series: int, seed: int) -> dict[str, Run]:
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        for stage in STAGES:
            options = ["--stage", stage, "--folder", folder, "--series", str(series), "--seed", str(seed)]
            once = runs[stage] = run([sys.executable, "-m", "benchmarks.panel", *options])
            print(f"{series} series, {stage}: {once.seconds:.1f} s, {once.peak:.0f} MB", file=sys.stderr)
    return runs


def _results(measured: dict[int, dict[str, Run]]) -> Results:
    largest = max(measured)
    stages = [stage for stage in STAGES if stage != "data"]
    rows = [_row(stage, {count: runs[stage] for count, runs in measured.items()}) for stage in stages]
    total = {count: sum(runs[stage].document["cpu"] for stage in stages) for count, runs in measured.items()}
    growth = _growth(total)
    peak = max(measured[largest][stage].peak for stage in stages)
    rows.append(
        {
            "stage": "these",
            "wall s": sum(measured[largest][stage].seconds for stage in stages),
            "peak MB": peak,
        }
        | growth
    )
    bars = [
        Bar(what=f"peak memory of {largest} series, MB", value=peak, most=LIMIT_MB),
        Bar(what="exponent of the cost of these stages", value=growth["exponent"], most=1.05),
        *_bars_of_evaluation(measured[largest], largest),
    ]
    note = (
        f"{ROWS} hourly rows of each series, horizon {HORIZON}, seasons {SEASONS}, `configs/quick` with"
        f" `lstm.epochs` 1 and {WINDOWS} windows of each series in it. Processor time is of the stage's work,"
        " without the start of its process; wall time and memory are of the whole process,"
        f" for {largest} series. Models are fitted to 2,000,000 training rows at most (`max_rows`), and"
        " forecast all series from every origin. ARIMA, which fits each series by itself, and the final fits"
        " are not among them."
    )
    return Results.collect("panel", "Panels", [Table(title="Stages", rows=rows, note=note)], bars, PACKAGES)


def _bars_of_evaluation(runs: dict[str, Run], series: int) -> list[Bar]:
    """Of what is done when the models have forecast: the stack, and the evaluation of it."""
    seconds = sum(runs[each].seconds for each in EVALUATED)
    peak = max(runs[each].peak for each in EVALUATED)
    return [
        Bar(what=f"stack and evaluate, {series} series, s", value=seconds, most=EVALUATION_SECONDS),
        Bar(what=f"stack and evaluate, {series} series, MB", value=peak, most=EVALUATION_MB),
    ]


def _row(stage: str, runs: dict[int, Run]) -> dict[str, Any]:
    largest = runs[max(runs)]
    cost = {count: run.document["cpu"] for count, run in runs.items()}
    return {"stage": stage, "wall s": largest.seconds, "peak MB": largest.peak} | _growth(cost)


def _growth(cost: dict[int, float]) -> dict[str, float | None]:
    """The processor time by number of series, and the exponents of its growth."""
    two = {count: cost[count] for count in sorted(cost)[-2:]}
    shown: dict[str, float | None] = {f"CPU s, {count} series": value for count, value in cost.items()}
    return shown | {"exponent": _exponent(cost), "of the two largest": _exponent(two)}


def _exponent(cost: dict[int, float]) -> float | None:
    if len(cost) < 2:
        return None
    slope, _ = np.polyfit(np.log(list(cost)), np.log(list(cost.values())), 1)
    return float(slope)


# --- stages -------------------------------------------------------------------------------------------


def _data(folder: Path, series: int, seed: int) -> None:
    """Write hourly series with a daily and a weekly course, each of its own size."""
    import pandas as pd

    random = np.random.default_rng(seed)
    hours = np.arange(ROWS)
    course = [random.normal(size=(series, m))[:, hours % m] / np.sqrt(m / 24) for m in (24, 168)]
    noise = random.normal(size=(series, ROWS)).cumsum(axis=1) * 0.05
    size = random.lognormal(3, 1, size=(series, 1))
    values = size * (10 + course[0] + 0.5 * course[1] + noise + 0.3 * random.normal(size=(series, ROWS)))
    names = [f"series{number:05}" for number in range(series)]
    frame = pd.DataFrame(
        {
            "unique_id": pd.Categorical.from_codes(np.repeat(np.arange(series), ROWS), names),
            "ds": np.tile(pd.date_range("2024-01-01", periods=ROWS, freq=FREQUENCY).to_numpy(), series),
            "y": values.ravel(),
        }
    )
    frame.astype({"unique_id": str}).to_parquet(folder / "data.parquet", index=False)


def _settings(series: int, seed: int) -> Any:
    from kubecast.settings.loading import load_settings

    windows = f"lstm.windows_per_epoch={WINDOWS * series}"
    task = [f"training.{key}={value}" for key, value in {**TASK, "seed": seed}.items()]
    return load_settings(ROOT / "configs" / "quick", ["lstm.epochs=1", windows, *task])


def _prepare(folder: Path, series: int, seed: int) -> None:
    from kubecast.steps.prepare import prepare_data
    from kubecast.steps.run_settings import RunSettings

    data = folder / "data.parquet"
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    settings = RunSettings.from_settings(_settings(series, seed)).text()
    prepare_data(str(data), digest, "", settings, folder / "panel")


def _train(kind: str) -> Callable[[Path, int, int], None]:
    def train(folder: Path, series: int, seed: int) -> None:
        from kubecast.steps.train import train_model

        train_model(kind, folder / "panel", folder / kind, report=folder / f"{kind}.html")

    return train


def _stack(folder: Path, series: int, seed: int) -> None:
    from kubecast.steps.stack import stack_ensemble

    stack_ensemble(folder / "panel", {kind: folder / kind for kind in MEMBERS}, "", folder / "ensemble")


def _evaluate(folder: Path, series: int, seed: int) -> None:
    from kubecast.steps.evaluate import evaluate_models

    evaluate_models(folder / "panel", folder / "ensemble", folder / "leaderboard.json")


STAGES: dict[str, Callable[[Path, int, int], None]] = {
    "data": _data,
    "prepare": _prepare,
    "train catboost": _train("catboost"),
    "train lstm": _train("lstm"),
    "stack": _stack,
    "evaluate": _evaluate,
}


if __name__ == "__main__":
    main()
