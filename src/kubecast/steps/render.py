"""The report of a run or of a version, rendered again from the files that it was rendered from."""

import io
from pathlib import Path

import pandas as pd

from kubecast.data.panel import read_parquet
from kubecast.evaluation.leaderboard import LEADERBOARD, Evaluation
from kubecast.registry import Registry, Version
from kubecast.reports import render_report
from kubecast.steps.artifacts import PRODUCTION_FORECAST


def render_folder(folder: Path) -> str:
    """Render the page of a run from its output folder.

    Raises:
        InputError: The folder holds no leaderboard.
    """
    evaluation, forecasts = Evaluation.read(folder / LEADERBOARD), folder / "forecasts.parquet"
    return render_report(evaluation, read_parquet(forecasts) if forecasts.exists() else None)


def render_version(store: Registry, version: Version) -> str:
    """Render the page of a published version."""
    label = f"{version.name}@{version.id}"
    evaluation = Evaluation.parse(store.read_file(version, LEADERBOARD), f"{label}/{LEADERBOARD}")
    forecast = None
    if PRODUCTION_FORECAST in version.files:
        forecast = pd.read_parquet(io.BytesIO(store.read_file(version, PRODUCTION_FORECAST)))
    return render_report(evaluation, forecast, label)
