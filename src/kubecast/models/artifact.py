"""A fitted model as a pipeline artifact: a directory with its card, its status and its own files.

model.json       ModelCard
status.json      Status
forecaster/      what the forecaster's own ``save`` wrote; absent for a model that failed
forecasts.parquet  from the origins that it is evaluated at, and from the end of each series
evaluated/       of a final fit: the model that it repeats, without its forecasts
"""

import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, JsonValue

from kubecast.documents import Document
from kubecast.models import load_forecaster
from kubecast.models.base import FitLog, Forecaster

FORECASTS = "forecasts.parquet"
EVALUATED = "evaluated"
PRODUCTION = "production"  # the split of forecasts from each series' last row

_PACKAGES = [
    "kubecast",
    "numpy",
    "pandas",
    "pmdarima",
    "statsforecast",
    "tensorflow-cpu",
    "tensorflow",
    "keras",
    "catboost",
    "mlforecast",
]


class ModelCard(Document):
    """The card of a model: its kind, its settings and its fit.

    Attributes:
        kind: Key of ``kubecast.models``.
        name: Name of the instance.
        settings: Settings that it was fitted with.
        seed: Seed of the fit.
        panel_digest: SHA-256 of the data that it was fitted to.
        versions: Versions of the packages that fitted it.
        log: Log of the fit.
    """

    document_name: ClassVar[str] = "a model's model.json"

    schema_version: Literal[1] = 1
    kind: str
    name: str
    settings: dict[str, Any]
    seed: int
    panel_digest: str
    versions: dict[str, str]
    log: FitLog


class Status(Document):
    """The status of a model: whether it can be used.

    Attributes:
        state: ``ok``; ``failed``, with the reason; ``evaluated``: the final fit was refused for the reason
            given, and these are the files of the model as it was evaluated.
        reason: Empty when ok.
        settings: Settings of a model that failed, for the next retraining; else empty.
    """

    document_name: ClassVar[str] = "a model's status.json"

    state: Literal["ok", "failed", "evaluated"] = "ok"
    reason: str = ""
    settings: dict[str, JsonValue] = Field(default={})


def package_versions() -> dict[str, str]:
    """Read the versions of the installed packages that decide what a model forecasts."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def write_model(
    directory: Path, forecaster: Forecaster, card: ModelCard, status: Status | None = None
) -> None:
    """Write a usable model."""
    directory.mkdir(parents=True, exist_ok=True)
    forecaster.save(directory / "forecaster")
    card.write(directory / "model.json")
    write_status(directory, status or Status())


def write_status(directory: Path, status: Status) -> None:
    """Write the status alone, as for a model that failed."""
    directory.mkdir(parents=True, exist_ok=True)
    status.write(directory / "status.json")


def keep_evaluated(directory: Path, evaluated: Path) -> None:
    """Copy the model as it was evaluated into the directory of its final fit."""
    shutil.copytree(evaluated, directory / EVALUATED, ignore=shutil.ignore_patterns(FORECASTS))


def evaluated_model(directory: Path) -> Path:
    """The evaluated model: inside its final fit, or, where there is no final fit, the directory itself."""
    inside = directory / EVALUATED
    return inside if inside.exists() else directory


def read_status(directory: Path) -> Status:
    """Read whether a model can be used."""
    return Status.read(directory / "status.json")


def read_card(directory: Path) -> ModelCard:
    """Read the card of a usable model."""
    return ModelCard.read(directory / "model.json")


def load_model(directory: Path) -> Forecaster:
    """Load the forecaster of a usable model."""
    return load_forecaster(read_card(directory).kind, directory / "forecaster")
