"""Runs of the command in processes of their own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

KUBECAST = [sys.executable, "-c", "from kubecast.cli.app import main; main()"]
SETTINGS: dict[str, dict[str, Any]] = {
    "training": {
        "horizon": 6,
        "season_lengths": [24],
        "data": {"min_samples": 100},
        "validation": {"cv_folds": 3, "max_origins": 8},
    },
    "arima": {"max_order": [1, 1, 1]},
    "lstm": {"sequence_length": 48, "patch_length": 4, "hidden_units": [8], "epochs": 2},
    "transformer": {
        "sequence_length": 48,
        "patch_length": 4,
        "d_model": 8,
        "num_heads": 2,
        "num_layers": 1,
        "dff": 16,
        "epochs": 2,
    },
    "catboost": {"iterations": 20, "depth": 3},
}


def kubecast(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*KUBECAST, *words], capture_output=True, text=True, check=False)


def arguments(folder: Path, output: str, *more: str) -> list[str]:
    return [
        "run",
        *("--data", str(folder / "data.csv")),
        *("--config", str(folder / "configs")),
        *("--output", str(folder / output)),
        *more,
    ]


def executed(folder: Path, output: str) -> list[str]:
    """Tasks that the latest run really ran, each of which made a folder."""
    runs = sorted(
        path for path in (folder / output / "artifacts").iterdir() if path.name.startswith("kubecast")
    )
    return sorted(path.name for path in runs[-1].iterdir())
