"""Artifacts that steps hand on to one another beside models and panels, and their readers."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from kubecast.config.training import TrainingSettings
from kubecast.data.panel import read_parquet
from kubecast.documents import Document, read_document
from kubecast.ensemble.recipe import StackRecipe
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.evaluation.comparison import Champion
from kubecast.evaluation.history import EarlierVersion
from kubecast.models.artifact import FORECASTS
from kubecast.models.base import FitLog
from kubecast.registry import Registry

STATUS = "status.json"


class ChampionStatus(Document):
    """The status of a champion: whether a new version can be compared with it.

    Attributes:
        champion: Id of the champion's version; empty: there is none.
        not_comparable: Reason why it has no forecasts; empty where it has, or there is no champion.
        replaceable: Whether it was not evaluated, and cannot be now: it has seen every test origin.
        earlier: Versions of the same task that were published before, oldest first.
    """

    document_name: ClassVar[str] = "a champion's status"

    champion: str
    not_comparable: str = ""
    replaceable: bool = False
    earlier: list[EarlierVersion] = Field(default=[])


def read_champion(champion_dir: Path) -> Champion | None:
    """Read the forecasts of the champion; None: there is no champion."""
    status = ChampionStatus.read(champion_dir / STATUS)
    if not status.champion:
        return None
    forecasts = read_parquet(champion_dir / FORECASTS)
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


def open_registry(settings: TrainingSettings, registry: str, model_name: str) -> tuple[Registry, str]:
    """Open the registry, and name the model there; an empty parameter is taken from the settings."""
    return Registry.open(registry or settings.model_registry.path), model_name or settings.model_name
