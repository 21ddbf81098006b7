"""Tuned against untuned models: `make bench-tuning`.

Each model is tuned inside the training split of two data sets. The settings of the file and those of the
search are then trained with five seeds each and compared on the validation split, which no trial has seen;
the test split is shown beside it and decides nothing. Intervals are of a paired bootstrap over seeds and over
pieces of time, two horizons long, of each series.
"""

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.measure import DATA, M4, ROOT, data_file
from kubecast.data.panel import Cutoffs, Panel
from kubecast.data.sample import write_sample
from kubecast.models.artifact import FORECASTS, PRODUCTION
from kubecast.settings.loading import AllSettings, load_settings
from kubecast.steps.prepare import prepare_data
from kubecast.steps.run_settings import RunSettings
from kubecast.steps.search_request import Request
from kubecast.steps.train import train_model
from kubecast.steps.tune import tune_model
from kubecast.tuning.study import Outcome

CONFIGS = ROOT / "configs" / "quick"
TASKS = {
    "demand": ["training.frequency=30min", "training.season_lengths=[48,336]", "training.horizon=48"],
    "m4": ["training.frequency=h", "training.season_lengths=[24,168]", "training.horizon=48"],
}
STOP = ["pipeline.on_trainer_failure=stop"]
SERIES = 20
RESAMPLES = 4_000


def main() -> None:
    """Tune, train and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DATA, help="of m4_hourly_100_train.csv")
    parser.add_argument("--data", nargs="+", default=["demand", "m4"], choices=["demand", "m4"])
    parser.add_argument("--models", nargs="+", default=["lstm", "catboost"])
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=5, help="of the training")
    parser.add_argument("--search-seed", type=int, default=42)
    parser.add_argument("--set", nargs="*", default=[], help="FILE.KEY=VALUE, over configs/quick")
    given = parser.parse_args()
    print(
        "| data | model | split | untuned MASE (spread) | tuned MASE (spread) | change (95 %) | trials | s |"
    )
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as output:
        for name in given.data:
            trials = f"training.optimization.n_trials={given.trials}"
            settings = load_settings(CONFIGS, [*TASKS[name], *STOP, trials, *given.set])
            panel = _prepare(name, given.folder, settings, Path(output))
            for kind in given.models:
                _compare(name, kind, settings, panel, range(100, 100 + given.seeds), given.search_seed)


def _prepare(name: str, folder: Path, settings: AllSettings, output: Path) -> Path:
    data, panel = output / f"{name}.csv", output / name
    if name == "demand":
        write_sample(data)
    else:
        rows = pd.read_csv(data_file(folder, M4[0]))
        rows = rows[rows["unique_id"].isin(rows["unique_id"].unique()[:SERIES])]
        ds = pd.Timestamp("2015-07-01") + pd.to_timedelta(rows["step"], unit="h")
        rows.assign(ds=ds)[["unique_id", "ds", "y"]].to_csv(data, index=False)
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    prepare_data(str(data), digest, "", RunSettings.from_settings(settings).text(), panel)
    return panel


def _compare(
    name: str, kind: str, settings: AllSettings, panel_dir: Path, seeds: Sequence[int], search_seed: int
) -> None:
    base = getattr(settings, kind).model_dump_json()
    request = Request(
        kind=kind,
        panel_dir=panel_dir,
        settings=base,
        champion="{}",
        search=settings.search.model_dump_json(),
        tuning=settings.pipeline.tuning.model_dump_json(),
        seed=search_seed,
    )
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        pages = Path(folder) / "trials.csv", Path(folder) / "report.html"
        chosen, outcome = tune_model(request, 1, *pages)
    seconds = time.monotonic() - began
    panel = Panel.load(panel_dir)
    errors = {
        which: pd.concat([_errors(kind, panel_dir, panel, text, seed).assign(seed=seed) for seed in seeds])
        for which, text in (("untuned", base), ("tuned", chosen))
    }
    for split in ("validation", "test"):
        print(_row(name, kind, split, errors, outcome, seconds), flush=True)
    print(f"<!-- {json.dumps(outcome.parameters)} {outcome.reason} -->", flush=True)


def _errors(kind: str, panel_dir: Path, panel: Panel, text: str, seed: int) -> pd.DataFrame:
    """The scaled error of each origin, with the piece of time that it is in."""
    RunSettings.read(panel_dir).model_copy(update={"seed": seed}).write(panel_dir)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        train_model(kind, panel_dir, model, text)
        table = pd.read_parquet(model / FORECASTS)
    table = table[table["split"] != PRODUCTION]
    targets = panel.targets(Cutoffs.from_frame(panel.origins))
    table = table.merge(targets, on=["unique_id", "cutoff", "ds"])
    scale = table["unique_id"].map(panel.series.set_index("unique_id")["scale"])
    table = table.assign(error=(table[kind] - table["y"]).abs() / scale)
    errors = table.groupby(["split", "unique_id", "cutoff"], as_index=False)["error"].mean()
    first = errors.groupby(["split", "unique_id"])["cutoff"].transform("min")
    step = pd.tseries.frequencies.to_offset(panel.spec.frequency)
    span = pd.Timedelta(step) * (2 * panel.spec.horizon)  # an origin's targets reach a horizon on
    return errors.assign(piece=(errors["cutoff"] - first) // span)


def _row(
    name: str, kind: str, split: str, errors: dict[str, pd.DataFrame], outcome: Outcome, seconds: float
) -> str:
    tables = {which: table[table["split"] == split] for which, table in errors.items()}
    means = {
        which: table.groupby(["seed", "unique_id"])["error"].mean().groupby("seed").mean()
        for which, table in tables.items()
    }
    keys = ["seed", "unique_id", "cutoff", "piece"]
    both = tables["tuned"].merge(tables["untuned"], on=keys, suffixes=("", "_untuned"))
    both["change"] = both["error"] - both["error_untuned"]
    cells = both.pivot_table("change", ["unique_id", "piece"], "seed")
    low, high = _interval(cells.to_numpy(dtype=np.float64))
    shown = [f"{value.mean():.4f} ({value.min():.4f}-{value.max():.4f})" for value in means.values()]
    change = float(means["tuned"].mean() - means["untuned"].mean())
    trials = ", ".join(f"{count} {state}" for state, count in outcome.trials.items())
    interval = f"{change:+.4f} ({low:+.4f} to {high:+.4f})"
    return f"| {name} | {kind} | {split} | {' | '.join(shown)} | {interval} | {trials} | {seconds:.0f} |"


def _interval(cells: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean of cells, shape (pieces, seeds), by a bootstrap over both."""
    random = np.random.default_rng(0)
    pieces, seeds = cells.shape
    means = [
        cells[random.integers(pieces, size=pieces)][:, random.integers(seeds, size=seeds)].mean()
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
