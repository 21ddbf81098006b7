"""ARIMA fitted in shards: `make bench-shards`.

The fit of 2,000 series of 1,000 hours by one task, and by those of 1, 4 and 16 shards with the one that joins
them, each in a process of its own as on a cluster: whether the model is the same, what each holds, and what
it takes. What a shard adds to a run by KFP's local runner is seen on a panel whose fits take no time.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.measure import Run, run
from benchmarks.panel import FREQUENCY, HORIZON, SEASONS, prepare_panel
from benchmarks.report import Bar, Results, Table

KIND = "arima"
WHOLE = "one task"
COUNTS = (1, 4, 16)
FEW_SERIES = 16  # of the panel whose runs show what a shard adds
EQUAL, SECONDS = 1e-9, 3.0
PACKAGES = ("kfp", "numpy", "pandas", "pyarrow", "statsforecast")


def main() -> None:
    """Measure every division, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--stage", choices=STAGES, help="run this one alone, in FOLDER")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--shard", default="")
    given = parser.parse_args()
    if given.stage:
        STAGES[given.stage](given.folder, given.shard)
        return
    with tempfile.TemporaryDirectory() as folder:
        prepare_panel(Path(folder), given.series, given.seed)
        rows = _divisions(Path(folder))
    added = _added_by_a_shard(given.seed)
    _results(rows, added, given.series).save()


def _divisions(folder: Path) -> list[dict[str, Any]]:
    whole = _stage("whole", folder)
    rows = [_row(WHOLE, [whole], None, 0.0)]
    expected = pd.read_parquet(folder / WHOLE / "forecasts.parquet")
    for count in COUNTS:
        fits = [_stage("fit", folder, f"{number}/{count}") for number in range(1, count + 1)]
        joined = _stage("join", folder, f"1/{count}")
        made = pd.read_parquet(folder / f"joined-{count}" / "forecasts.parquet")
        rows.append(_row(f"{count}", fits, joined, _difference(made, expected)))
        print(json.dumps(rows[-1]), file=sys.stderr)
    return rows


def _stage(stage: str, folder: Path, shard: str = "") -> Run:
    options = ["--stage", stage, "--folder", str(folder), *(["--shard", shard] if shard else [])]
    return run([sys.executable, "-m", "benchmarks.shards", *options])


def _row(division: str, fits: list[Run], joined: Run | None, difference: float) -> dict[str, Any]:
    return {
        "shards": division,
        "CPU s, fits": sum(fit.cpu for fit in fits),
        "wall s, longest fit": max(fit.seconds for fit in fits),
        "peak MB, largest fit": max(fit.peak for fit in fits),
        "wall s, join": joined.seconds if joined else None,
        "peak MB, join": joined.peak if joined else None,
        "largest difference": difference,
    }


def _difference(made: pd.DataFrame, expected: pd.DataFrame) -> float:
    """The largest of the forecasts, by the mean absolute forecast of the series."""
    keys = ["unique_id", "cutoff", "ds", "split"]
    pd.testing.assert_frame_equal(made[keys], expected[keys])
    scale = expected[KIND].abs().groupby(expected["unique_id"], observed=True).transform("mean")
    return float(np.max(np.abs(made[KIND] - expected[KIND]) / scale))


def _added_by_a_shard(seed: int) -> float:
    """The seconds that a further shard adds to a run by KFP's local runner, of its two fits the mean."""
    few, many = 1, 8
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        prepare_panel(Path(folder), FEW_SERIES, seed)
        for count in (few, many):
            words = [
                *("run", "--data", str(Path(folder, "data")), "--preset", "quick", "--models", KIND),
                *("--horizon", str(HORIZON), "--freq", FREQUENCY, "--season-length", SEASONS),
                *("--set", f"pipeline.shards={count}", "--set", "arima.engine=burg"),
                *("--set", "arima.max_order=[5, 1, 0]"),
                *("--output", str(Path(folder, f"run-{count}"))),
            ]
            command = [sys.executable, "-c", "from kubecast.cli.app import main; main()", *words]
            seconds[count] = run(command, log=Path(folder, "log")).seconds
    return (seconds[many] - seconds[few]) / (2 * many)


def _results(rows: list[dict[str, Any]], added: float, series: int) -> Results:
    largest = max(row["largest difference"] for row in rows)
    bars = [
        Bar(
            what=f"difference of {series} series' forecasts, any shards by one task",
            value=largest,
            most=EQUAL,
        ),
        Bar(what="seconds that a shard adds, local runner", value=added, most=SECONDS),
    ]
    note = (
        f"ARIMA of {series} hourly series of 1000 rows, horizon {HORIZON}, seasons {SEASONS},"
        " `configs/quick`. Each task in a process of its own, one after the other. The difference is by the"
        " mean absolute forecast of a series."
    )
    return Results.collect(
        "shards", "Shards of a fit", [Table(title="ARIMA", rows=rows, note=note)], bars, PACKAGES
    )


# --- stages -------------------------------------------------------------------------------------------


def _whole(folder: Path, shard: str) -> None:
    from kubecast.steps.train import train_model

    train_model(KIND, folder / "panel", folder / WHOLE)


def _fit(folder: Path, shard: str) -> None:
    from kubecast.steps.fit_shard import fit_shard

    fit_shard(KIND, folder / "panel", shard, _part(folder, shard), 0, 1.0)


def _join(folder: Path, shard: str) -> None:
    from kubecast.steps.join_shards import join_shards

    count = int(shard.partition("/")[2])
    parts = [_part(folder, f"{number}/{count}") for number in range(1, count + 1)]
    join_shards(KIND, folder / "panel", parts, folder / f"joined-{count}", 1.0)


def _part(folder: Path, shard: str) -> Path:
    return folder / "parts" / shard.replace("/", "-of-")


STAGES: dict[str, Callable[[Path, str], None]] = {"whole": _whole, "fit": _fit, "join": _join}


if __name__ == "__main__":
    main()
