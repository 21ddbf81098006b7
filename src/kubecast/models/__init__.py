"""The kinds of models. A framework is imported when its model is made or loaded, never before.

``KINDS`` is the one entry for a kind: settings, components, images, searches and the command's options follow
from it. Another package adds kinds by entry points of the group ``kubecast.models``, each a ``Kind`` under
the kind's name:

    [project.entry-points."kubecast.models"]
    theta = "kubecast_theta:KIND"
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, cast

from kubecast.config.model import ModelSettings
from kubecast.config.training import RESERVED
from kubecast.errors import ConfigError

if TYPE_CHECKING:
    from kubecast.models.base import DivisibleForecaster, Forecaster, Trainer

ENTRY_POINTS = "kubecast.models"


@dataclass(frozen=True)
class Kind:
    """The parts of a kind of model, each ``package.module:Class``, and what they need.

    Attributes:
        settings: ``ModelSettings`` of the kind, which are its settings file. Its module imports no framework.
        trainer: ``Trainer`` that is made from settings and a name.
        forecaster: ``Forecaster`` with a class method ``load(directory)``, which reads the files of ``save``.
        image: Folder in ``images/`` with its framework.
        per_series: Whether it fits each series by itself: for one that it was not fitted to it has only its
            fallback.
        divisible: Whether its series can be fitted in parts, all of them, whatever ``sample_rows`` says; its
            forecaster is a ``DivisibleForecaster``.
        accelerated: Whether it trains on a GPU where there is one.
        covariates: Whether its forecasts use covariates, which the suite that every kind passes tries.
        search: File, ``package:path``, with the space that tuning searches by default.
    """

    settings: str
    trainer: str
    forecaster: str
    image: str
    per_series: bool = False
    divisible: bool = False
    accelerated: bool = False
    covariates: bool = True
    search: str = ""

    def load_settings(self) -> type[ModelSettings]:
        """Import the class of its settings."""
        return cast(type[ModelSettings], resolve_name(self.settings))


KINDS: dict[str, Kind] = {
    "arima": Kind(
        settings="kubecast.models.arima.settings:ArimaSettings",
        trainer="kubecast.models.arima.trainer:ArimaTrainer",
        forecaster="kubecast.models.arima.forecaster:ArimaForecaster",
        search="kubecast.models.arima:search.yaml",
        image="arima",
        per_series=True,
        divisible=True,
    ),
    "lstm": Kind(
        settings="kubecast.models.neural.settings:LstmSettings",
        trainer="kubecast.models.neural.lstm:LstmTrainer",
        forecaster="kubecast.models.neural.lstm:LstmForecaster",
        search="kubecast.models.neural:search-lstm.yaml",
        image="tensorflow",
        accelerated=True,
    ),
    "transformer": Kind(
        settings="kubecast.models.neural.settings:TransformerSettings",
        trainer="kubecast.models.neural.transformer:TransformerTrainer",
        forecaster="kubecast.models.neural.transformer:TransformerForecaster",
        search="kubecast.models.neural:search-transformer.yaml",
        image="tensorflow",
        accelerated=True,
    ),
    "catboost": Kind(
        settings="kubecast.models.catboost.settings:CatBoostSettings",
        trainer="kubecast.models.catboost.trainer:CatBoostTrainer",
        forecaster="kubecast.models.catboost.forecaster:CatBoostForecaster",
        search="kubecast.models.catboost:search.yaml",
        image="catboost",
    ),
}
"""Every kind that can be trained, by its name; first those of this package, in the order of its pages."""

DEFAULT_KINDS = ("arima", "lstm", "transformer", "catboost")
"""The kinds that a pipeline trains where its settings name none."""

# Has no settings, is never trained, and is a member of every ensemble.
_NAIVE = {"seasonal_naive": "kubecast.models.seasonal_naive:SeasonalNaive"}
_RESERVED = frozenset(
    {*_NAIVE, "ensemble", "training", "pipeline", "search", "cluster", "split", "fold", *RESERVED}
)


def _installed() -> dict[str, Kind]:
    """Read the kinds of other packages from their entry points."""
    kinds = {}
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", point.name) or point.name in (*KINDS, *_RESERVED):
            raise ConfigError(
                f"entry point {point.name} of {ENTRY_POINTS}, {point.value}: allowed: a name of its own, of"
                " lower-case letters, digits and _"
            )
        kinds[point.name] = _load(point)
    return kinds


def _load(point: EntryPoint) -> Kind:
    where = f"entry point {point.name} of {ENTRY_POINTS}, {point.value}"
    try:
        kind = point.load()
    except Exception as error:  # whatever the other package raises
        raise ConfigError(f"{where}: cannot be loaded ({type(error).__name__}: {error})") from error
    if not isinstance(kind, Kind):
        raise ConfigError(f"{where}: found {type(kind).__name__}; allowed: a kubecast.models.Kind")
    return kind


KINDS |= _installed()

PER_SERIES = frozenset(name for name, kind in KINDS.items() if kind.per_series)


def make_trainer(kind: str, settings: ModelSettings, name: str | None = None) -> "Trainer":
    """Make the trainer of a kind; ``name`` becomes its forecaster's, by default the kind."""
    trainer = cast("Callable[..., Trainer]", resolve_name(KINDS[kind].trainer))
    return trainer(settings, name or kind)


def load_forecaster(kind: str, directory: Path) -> "Forecaster":
    """Load a forecaster of a kind from the files that its ``save`` wrote."""
    forecaster = _NAIVE.get(kind) or KINDS[kind].forecaster
    return cast("Forecaster", resolve_name(forecaster).load(directory))


def join_forecasters(kind: str, parts: Sequence[Path], directory: Path) -> None:
    """Write the files of a forecaster of all series from those of its parts: see ``DivisibleForecaster``."""
    forecaster = cast("type[DivisibleForecaster]", resolve_name(KINDS[kind].forecaster))
    forecaster.join(parts, directory)


def known_kinds() -> list[str]:
    """The names of all kinds that can be loaded."""
    return sorted([*KINDS, *_NAIVE])
