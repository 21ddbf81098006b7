"""A fitted model as a pipeline artifact: a directory with its card, its status and its own files.

model.json       ModelCard
status.json      Status
forecaster/      what the forecaster's own ``save`` wrote; absent for a model that failed
forecasts.parquet  from the origins that it is judged at, and from the end of each series
judged/          of a final fit: the model that it repeats, without its forecasts
"""

import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from kubecast.errors import IntegrityError
from kubecast.models import load_forecaster
from kubecast.models.base import FitLog, Forecaster

FORECASTS = "forecasts.parquet"
JUDGED = "judged"
PRODUCTION = "production"  # the part of forecasts from each series' last row

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


class ModelCard(BaseModel):
    """What a model is and how it came about.

    Attributes:
        kind: Key of ``kubecast.models``.
        name: Of the instance.
        settings: Its settings file.
        seed: Of the fit.
        panel_digest: SHA-256 of the data that it was fitted to.
        versions: Of the packages that fitted it.
        log: Of the fit.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: Literal[1] = 1
    kind: str
    name: str
    settings: dict[str, Any]
    seed: int
    panel_digest: str
    versions: dict[str, str]
    log: FitLog


class Status(BaseModel):
    """Whether the model can be used.

    Attributes:
        state: ``ok``; ``failed``, with the reason; ``judged``: the final fit was refused for the reason
            given, and these are the files of the model as it was judged.
        reason: Empty when ok.
        settings: Of a model that failed: what it was to be fitted with, for the next retraining.
    """

    state: Literal["ok", "failed", "judged"] = "ok"
    reason: str = ""
    settings: dict[str, JsonValue] = {}


M = TypeVar("M", bound=BaseModel)


def package_versions() -> dict[str, str]:
    """The versions of the installed packages that decide what a model forecasts."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write_model(
    directory: Path, forecaster: Forecaster, card: ModelCard, status: Status | None = None
) -> None:
    """Write a usable model."""
    directory.mkdir(parents=True, exist_ok=True)
    forecaster.save(directory / "forecaster")
    (directory / "model.json").write_text(card.model_dump_json(indent=1))
    write_status(directory, status or Status())


def write_status(directory: Path, status: Status) -> None:
    """Write the status alone, as for a model that failed."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "status.json").write_text(status.model_dump_json(indent=1))


def keep_judged(directory: Path, judged: Path) -> None:
    """Put the model as it was judged into the directory of its final fit."""
    shutil.copytree(judged, directory / JUDGED, ignore=shutil.ignore_patterns(FORECASTS))


def judged_model(directory: Path) -> Path:
    """The model as it was judged: inside its final fit, or, where there is none, the model itself."""
    inside = directory / JUDGED
    return inside if inside.exists() else directory


def read_status(directory: Path) -> Status:
    """Read whether a model can be used."""
    return _read(Status, directory / "status.json")


def read_card(directory: Path) -> ModelCard:
    """Read the card of a usable model."""
    return _read(ModelCard, directory / "model.json")


def load_model(directory: Path) -> Forecaster:
    """Load the forecaster of a usable model."""
    return load_forecaster(read_card(directory).kind, directory / "forecaster")


def _read(model: type[M], path: Path) -> M:
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise IntegrityError(
            f"{path}: not a model's {path.name} ({' '.join(str(error).split())[:200]})"
        ) from error
