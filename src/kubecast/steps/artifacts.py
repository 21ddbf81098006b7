"""Artifacts that steps hand on to one another beside models and panels, and their readers."""

import json
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, JsonValue

from kubecast.config.training import TrainingSettings
from kubecast.documents import Document, read_document
from kubecast.ensemble.recipe import StackRecipe
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.evaluation.changes import Extent
from kubecast.evaluation.comparison import Champion
from kubecast.evaluation.history import EarlierVersion
from kubecast.models.artifact import FORECASTS
from kubecast.models.base import FitLog
from kubecast.registry import Registry
from kubecast.scoring.forecasts import Forecasts

STATUS = "status.json"
PRODUCTION_FORECAST = "production_forecast.parquet"
MEMBER_SETTINGS = "members.json"


class ChampionStatus(Document):
    """The status of a champion: whether a new version can be compared with it.

    Attributes:
        champion: Id of the champion's version; empty: there is none.
        not_comparable: Reason why it has no forecasts; empty where it has, or there is no champion.
        replaceable: Whether it was not evaluated, and cannot be now: it has seen every test origin.
        earlier: Versions of the same task that were published before, oldest first.
        settings: Of the champion, by file; empty where there is no champion, or none are known.
        extent: How much data it was made of; None as above.
    """

    document_name: ClassVar[str] = "a champion's status"

    champion: str
    not_comparable: str = ""
    replaceable: bool = False
    earlier: list[EarlierVersion] = Field(default=[])
    settings: dict[str, JsonValue] = Field(default={})
    extent: Extent | None = None


def read_champion(champion_dir: Path) -> Champion | None:
    """Read the forecasts of the champion; None: there is no champion."""
    status = ChampionStatus.read(champion_dir / STATUS)
    if not status.champion:
        return None
    forecasts = Forecasts.of_file(champion_dir / FORECASTS)
    failed = {each.failed_test: each.version for each in status.earlier if each.failed_test}
    return Champion(status.champion, status.not_comparable, forecasts, status.replaceable, failed)


def read_earlier(champion_dir: Path) -> list[EarlierVersion]:
    """Read the versions of the same task that were published before, oldest first."""
    return ChampionStatus.read(champion_dir / STATUS).earlier


def read_recipe(ensemble_dir: Path) -> StackRecipe:
    """Read the recipe to publish; its ``as_evaluated`` is the one that the test split scores."""
    return StackRecipe.read(ensemble_dir / "recipe.json")


def read_settings(ensemble_dir: Path) -> EnsembleSettings:
    """Read the settings that the recipe was made with."""
    return read_document(EnsembleSettings, ensemble_dir / "settings.json", "an ensemble's settings")


def read_logs(ensemble_dir: Path) -> dict[str, FitLog]:
    """Read the fit log of every member, by its name."""
    return {path.stem: FitLog.read(path) for path in sorted((ensemble_dir / "logs").iterdir())}


def read_member_settings(ensemble_dir: Path) -> dict[str, Any]:
    """Read the settings that each trained member was fitted with, by its name."""
    settings: dict[str, Any] = json.loads((ensemble_dir / MEMBER_SETTINGS).read_text("utf-8"))
    return settings


def open_registry(settings: TrainingSettings, registry: str, model_name: str) -> tuple[Registry, str]:
    """Open the registry, and name the model there; an empty parameter is taken from the settings."""
    return Registry.open(registry or settings.model_registry.path), model_name or settings.model_name
