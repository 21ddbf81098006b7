"""The models, by kind. A framework is imported when its model is asked for, never before."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from kubecast.config.model import ModelSettings
from kubecast.models.base import Forecaster, Trainer

# Module, trainer, forecaster. A fifth model is one more line here.
_KINDS = {
    "arima": ("arima.trainer", "ArimaTrainer", "ArimaForecaster"),
    "lstm": ("neural.lstm", "LstmTrainer", "LstmForecaster"),
    "transformer": ("neural.transformer", "TransformerTrainer", "TransformerForecaster"),
    "catboost": ("catboost.trainer", "CatBoostTrainer", "CatBoostForecaster"),
    "seasonal_naive": ("seasonal_naive", "SeasonalNaive", "SeasonalNaive"),
}

# Kinds that fit each series by itself: for one that they were not fitted to they have only their fallback.
PER_SERIES = frozenset({"arima"})


def make_trainer(kind: str, settings: ModelSettings, name: str | None = None) -> Trainer:
    """Make the trainer of a kind; ``name`` becomes its forecaster's, by default the kind."""
    module, trainer, _ = _KINDS[kind]
    return cast(Trainer, _get(module, trainer)(settings, name or kind))


def load_forecaster(kind: str, directory: Path) -> Forecaster:
    """Load what the ``save`` of a kind's forecaster wrote."""
    module, _, forecaster = _KINDS[kind]
    return cast(Callable[[Path], Forecaster], _get(module, forecaster).load)(directory)


def known_kinds() -> list[str]:
    """Every kind that can be loaded."""
    return sorted(_KINDS)


def _get(module: str, name: str) -> Any:
    return getattr(import_module(f"kubecast.models.{module}"), name)
