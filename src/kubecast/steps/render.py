"""The report of a run or of a version, rendered again from the files that it was rendered from."""

import json
from contextlib import suppress
from pathlib import Path

from kubecast.data.parquet import read_parquet
from kubecast.errors import InvalidName
from kubecast.evaluation.leaderboard import LEADERBOARD, Evaluation
from kubecast.evaluation.published import with_series
from kubecast.registry import Registry, Version
from kubecast.registry.names import is_version, split_reference
from kubecast.reports import render_report
from kubecast.steps.artifacts import PRODUCTION_FORECAST


def render_folder(folder: Path) -> str:
    """Render the page of a run from its output folder, with the version that it published if that is known.

    Raises:
        InputError: The folder holds no leaderboard.
    """
    evaluation, forecasts = Evaluation.read(folder / LEADERBOARD), folder / "forecasts.parquet"
    forecast = read_parquet(forecasts) if forecasts.exists() else None
    return render_report(evaluation, forecast, _published(folder / "outputs.json"))


def _published(outputs: Path) -> str:
    """``NAME@VERSION`` from the outputs of a run's tasks; empty where they do not tell."""
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError, InvalidName):
        label = json.loads(outputs.read_text("utf-8"))["register-model"]["Output"]
        if is_version(split_reference(label)[1] or ""):
            return str(label)
    return ""


def render_version(store: Registry, version: Version) -> str:
    """Render the page of a published version."""
    label = f"{version.name}@{version.id}"
    evaluation = Evaluation.parse(store.read_file(version, LEADERBOARD), f"{label}/{LEADERBOARD}")
    evaluation = with_series(evaluation, store, version)
    forecast = None
    if PRODUCTION_FORECAST in version.files:
        forecast = read_parquet(store.read_file(version, PRODUCTION_FORECAST))
    return render_report(evaluation, forecast, label)
