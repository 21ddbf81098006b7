"""A large panel: `make bench-panel`.

Every stage of a run on 10,000 series of 1,000 hours, each in a process of its own as on a cluster, with its
seconds and the memory that it holds at most. Smaller panels of the same kind show how the cost grows: the
exponent is the slope of a straight line through the logarithms of processor time and number of series; that
of the two largest panels alone stands beside it, since costs that every panel has flatten the line.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import ROOT, Run, run
from benchmarks.report import Bar, Results, Table

ROWS = 1_000  # of each series
FILE_SERIES = 10_000  # of a file
HORIZON, SEASONS, FREQUENCY = 24, "24,168", "h"
TASK = {"horizon": HORIZON, "frequency": FREQUENCY, "season_lengths": f"[{SEASONS}]"}
WINDOWS = 16  # of each series in the one epoch of the LSTM
LIMIT_MB = 8 * 1024
EVALUATED = ("stack", "evaluate")
FEW_ORIGINS = 5  # of each split, of a panel that is so large that more would take hours
EVALUATION_SECONDS, EVALUATION_MB = 40, 2 * 1024
LARGE_MINUTES = 120
SHARDS = 8  # of a batch of forecasts
MODELS = ["catboost", "lstm"]
MODEL = "panel"
PACKAGES = ("catboost", "mlforecast", "numpy", "pandas", "pyarrow", "tensorflow-cpu", "utilsforecast")


def main() -> None:
    """Measure every stage at every size, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--large", action="store_true", help="CatBoost alone, from a few origins")
    parser.add_argument("--stage", choices=STAGES, help="run this one alone, in FOLDER")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.stage:
        began = _processor_time()
        STAGES[given.stage](Task(given.folder, given.series[0], given.seed, given.large))
        print(json.dumps({"cpu": _processor_time() - began}))
        return
    measured = {count: _measure(count, given.seed, given.large) for count in given.series}
    _results(measured, given.large).save()


def _processor_time() -> float:
    """Seconds of this process, and of those that it has waited for."""
    return sum(os.times()[:4])


@dataclass(frozen=True)
class Task:
    """One panel, in a folder."""

    folder: Path
    series: int
    seed: int
    large: bool

    @property
    def models(self) -> list[str]:
        """Those that are trained."""
        return MODELS[:1] if self.large else MODELS


def _measure(series: int, seed: int, large: bool) -> dict[str, Run]:
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        for stage in STAGES:
            if large and stage == "train lstm":
                continue
            options = ["--stage", stage, "--folder", folder, "--series", str(series), "--seed", str(seed)]
            command = [sys.executable, "-m", "benchmarks.panel", *options, *(["--large"] if large else [])]
            once = runs[stage] = run(command)
            print(f"{series} series, {stage}: {once.seconds:.1f} s, {once.peak:.0f} MB", file=sys.stderr)
    return runs


def _results(measured: dict[int, dict[str, Run]], large: bool) -> Results:
    largest = max(measured)
    stages = [stage for stage in measured[largest] if stage != "data"]
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
        Bar(
            what=f"peak memory of {largest} series, MB", value=peak, most=EVALUATION_MB if large else LIMIT_MB
        ),
        Bar(what="exponent of the cost of these stages", value=growth["exponent"], most=1.05),
    ]
    note = (
        f"{ROWS} hourly rows of each series, horizon {HORIZON}, seasons {SEASONS}, `configs/quick` with"
        f" {_difference(large)}. Processor time is of the stage's work,"
        " without the start of its process; wall time and memory are of the whole process,"
        f" for {largest} series. Models are fitted to 2,000,000 training rows at most (`max_rows`), and"
        " forecast all series from every origin. ARIMA, which fits each series by itself, is not among them."
        f" A batch is forecast in {SHARDS} shards, one after the other."
    )
    table = Table(title="Stages", rows=rows, note=note)
    if large:
        seconds = sum(measured[largest][stage].seconds for stage in stages)
        bars.append(
            Bar(what=f"all stages, {largest} series, minutes", value=seconds / 60, most=LARGE_MINUTES)
        )
        return Results.collect("large", "Large panels", [table], bars, PACKAGES)
    bars += _bars_of_evaluation(measured[largest], largest)
    return Results.collect("panel", "Panels", [table], bars, PACKAGES)


def _difference(large: bool) -> str:
    if large:
        return f"{FEW_ORIGINS} origins in each split, CatBoost and the naive methods alone"
    return f"`lstm.epochs` 1 and {WINDOWS} windows of each series in it"


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


def _data(task: Task) -> None:
    """Write hourly series with a daily and a weekly course, each of its own size: files of a folder."""
    folder = task.folder / "data"
    folder.mkdir()
    for begin in range(0, task.series, FILE_SERIES):
        count = min(FILE_SERIES, task.series - begin)
        _write_series(folder / f"{begin:07}.parquet", begin, count, task.seed)


def _write_series(path: Path, begin: int, series: int, seed: int) -> None:
    import pandas as pd

    random = np.random.default_rng(seed + begin)
    hours = np.arange(ROWS)
    course = [random.normal(size=(series, m))[:, hours % m] / np.sqrt(m / 24) for m in (24, 168)]
    noise = random.normal(size=(series, ROWS)).cumsum(axis=1) * 0.05
    size = random.lognormal(3, 1, size=(series, 1))
    values = size * (10 + course[0] + 0.5 * course[1] + noise + 0.3 * random.normal(size=(series, ROWS)))
    names = [f"series{number:07}" for number in range(begin, begin + series)]
    frame = pd.DataFrame(
        {
            "unique_id": pd.Categorical.from_codes(np.repeat(np.arange(series), ROWS), names),
            "ds": np.tile(pd.date_range("2024-01-01", periods=ROWS, freq=FREQUENCY).to_numpy(), series),
            "y": values.ravel(),
        }
    )
    frame.astype({"unique_id": str}).to_parquet(path, index=False)


def prepare_panel(folder: Path, series: int, seed: int) -> None:
    """Write the data of a panel below a folder, and prepare it there."""
    task = Task(folder, series, seed, large=False)
    _data(task)
    _prepare(task)


def _settings(task: Task) -> Any:
    from kubecast.settings.loading import load_settings

    training = {**TASK, "seed": task.seed, "data.max_bytes": 1 << 34}
    if task.large:
        training["validation.max_origins"] = FEW_ORIGINS
    changes = ["lstm.epochs=1", f"lstm.windows_per_epoch={WINDOWS * task.series}"]
    changes += [f"training.{key}={value}" for key, value in training.items()]
    return load_settings(ROOT / "configs" / "quick", changes)


def _prepare(task: Task) -> None:
    from kubecast.data.files import digest_of
    from kubecast.steps.prepare import prepare_data
    from kubecast.steps.run_settings import RunSettings

    settings, data = _settings(task), str(task.folder / "data")
    digest = digest_of(data, settings.training.data)
    prepare_data(data, digest, "", RunSettings.from_settings(settings).text(), task.folder / "panel")


def _train(kind: str) -> Callable[[Task], None]:
    def train(task: Task) -> None:
        from kubecast.steps.train import train_model

        folder = task.folder
        train_model(kind, folder / "panel", folder / kind, report=folder / f"{kind}.html")

    return train


def _stack(task: Task) -> None:
    from kubecast.steps.stack import stack_ensemble

    members = {kind: task.folder / kind for kind in task.models}
    stack_ensemble(task.folder / "panel", members, "", task.folder / "ensemble")


def _evaluate(task: Task) -> None:
    from kubecast.steps.evaluate import evaluate_models

    evaluate_models(task.folder / "panel", task.folder / "ensemble", task.folder / "evaluation")


def _final_fit(task: Task) -> None:
    from kubecast.steps.train import train_model

    folder = task.folder
    for kind in task.models:
        train_model(kind, folder / "panel", folder / "final" / kind, fitted=folder / kind)


def _register(task: Task) -> None:
    from kubecast.steps.register import register_model

    folder = task.folder
    members = {kind: folder / "final" / kind for kind in task.models}
    source = folder / "panel", folder / "ensemble", folder / "evaluation", members
    made = folder / "forecast.parquet", folder / "report.html"
    register_model(*source, str(folder / "registry"), MODEL, "benchmark", *made)


def _prepare_history(task: Task) -> None:
    from kubecast.steps.prepare_history import prepare_history

    data, registry, work = (str(task.folder / name) for name in ("data", "registry", "work"))
    shards = prepare_history(data, registry, f"{MODEL}@latest", "", 0, "", "", str(SHARDS), work, 1)
    (task.folder / "shards.json").write_text(json.dumps(shards))


def _forecast_shards(task: Task) -> None:
    """One after the other, as on a laptop."""
    from kubecast.steps.forecast_shard import forecast_shard

    shards = json.loads((task.folder / "shards.json").read_text())
    statuses = [forecast_shard(shard, str(task.folder / "registry"), 0) for shard in shards]
    (task.folder / "statuses.json").write_text(json.dumps([each.model_dump_json() for each in statuses]))


def _publish_batch(task: Task) -> None:
    from kubecast.steps.publish_batch import publish_batch

    statuses = json.loads((task.folder / "statuses.json").read_text())
    registry, destination = str(task.folder / "registry"), str(task.folder / "batches")
    publish_batch(
        statuses, registry, destination, 1.0, task.folder / "copy.parquet", task.folder / "score.html"
    )


STAGES: dict[str, Callable[[Task], None]] = {
    "data": _data,
    "prepare": _prepare,
    "train catboost": _train("catboost"),
    "train lstm": _train("lstm"),
    "stack": _stack,
    "evaluate": _evaluate,
    "final fits": _final_fit,
    "register": _register,
    "prepare history": _prepare_history,
    "forecast shards": _forecast_shards,
    "publish batch": _publish_batch,
}


if __name__ == "__main__":
    main()
