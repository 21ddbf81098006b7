"""Runs of the command, in processes of their own or in this one."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from kubecast.cli.app import main

ANOTHER_PACKAGE = Path(__file__).parents[1] / "another_package"
"""A package that brings the kind ``mean``, which is fitted and loaded at once; see ``with_package``."""

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


def kubecast(*words: str, package: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own, which finds a package beside its own ones."""
    environment = os.environ | (with_package(package) if package else {})
    return subprocess.run([*KUBECAST, *words], capture_output=True, text=True, check=False, env=environment)


def with_package(package: Path = ANOTHER_PACKAGE) -> dict[str, str]:
    """The variable of the environment with which a process of its own finds a package."""
    paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths)}


def kubecast_here(*words: str) -> "subprocess.CompletedProcess[str]":
    """The command in this process, which saves the start of Python and the imports."""
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(StringIO()) as out,
        redirect_stderr(StringIO()) as errors,
    ):
        patch.setattr(sys, "argv", ["kubecast", *words])
        logger = logging.getLogger("kubecast")
        patch.setattr(logger, "handlers", [])
        patch.setattr(logger, "propagate", logger.propagate)
        status = _status_of(main)
    return subprocess.CompletedProcess(["kubecast", *words], status, out.getvalue(), errors.getvalue())


def _status_of(command: Callable[[], None]) -> int:
    try:
        command()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def arguments(folder: Path, output: str, *more: str) -> list[str]:
    """What `kubecast run` is given to run on the data and the settings in a folder."""
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
