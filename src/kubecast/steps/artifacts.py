"""What steps hand on to one another beside models and panels, and how it is read."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from kubecast.config.training import TrainingSettings
from kubecast.data.panel import read_parquet
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.ensemble.stacking import StackRecipe
from kubecast.errors import IntegrityError
from kubecast.evaluation.history import EarlierVersion
from kubecast.evaluation.promotion import Champion
from kubecast.models.artifact import FORECASTS
from kubecast.models.base import FitLog
from kubecast.registry import Registry

STATUS = "status.json"


class ChampionStatus(BaseModel):
    """Whether a version can be judged against the champion.

    Attributes:
        champion: Its id; empty: there is none.
        not_comparable: Why it has no forecasts; empty where it has, or there is none.
        earlier: Versions of the same task that were published before, oldest first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    champion: str
    not_comparable: str = ""
    earlier: list[EarlierVersion] = []


def read_champion(champion_dir: Path) -> Champion | None:
    """Read what ``forecast_champion`` wrote; None: there is no champion."""
    found = _read_status(champion_dir / STATUS)
    if not found.champion:
        return None
    return Champion(found.champion, found.not_comparable, read_parquet(champion_dir / FORECASTS))


def read_earlier(champion_dir: Path) -> list[EarlierVersion]:
    """The versions that ``forecast_champion`` found, oldest first."""
    return _read_status(champion_dir / STATUS).earlier


def _read_status(status: Path) -> ChampionStatus:
    try:
        return ChampionStatus.model_validate_json(status.read_bytes())
    except (OSError, ValidationError) as error:
        raise IntegrityError(f"{status}: not a champion's status ({error})".splitlines()[0]) from error


def read_recipe(ensemble_dir: Path) -> StackRecipe:
    """The recipe to publish; ``as_judged`` is the one that the test part judged."""
    return StackRecipe.model_validate_json((ensemble_dir / "recipe.json").read_bytes())


def read_settings(ensemble_dir: Path) -> EnsembleSettings:
    """The settings that the recipe was made with."""
    return EnsembleSettings.model_validate_json((ensemble_dir / "settings.json").read_bytes())


def read_logs(ensemble_dir: Path) -> dict[str, FitLog]:
    """Every member's fit log."""
    return {
        path.stem: FitLog.model_validate_json(path.read_bytes())
        for path in sorted((ensemble_dir / "logs").iterdir())
    }


def published_under(settings: TrainingSettings, registry: str, model_name: str) -> tuple[Registry, str]:
    """The registry and the model's name there; a parameter that is empty is taken from the settings."""
    return Registry.open(registry or settings.model_registry.path), model_name or settings.model_name
