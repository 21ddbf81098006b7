"""Small CatBoost models that are fitted in a moment."""

from collections.abc import Callable
from typing import Any

import pytest

from kubecast.models.catboost import trainer as trainer_module
from kubecast.models.catboost import weighting
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.models.catboost.trainer import CatBoostTrainer

SMALL = {"iterations": 20, "depth": 3, "differences": [24]}


def trainer(**settings: object) -> CatBoostTrainer:
    return CatBoostTrainer(CatBoostSettings.model_validate({**SMALL, **settings}), "catboost")


def replace_fit(monkeypatch: pytest.MonkeyPatch, fit: Callable[..., Any]) -> None:
    """Put ``fit`` in place of ``fit_member``, in the trainer and for the small models that weigh."""
    for module in (trainer_module, weighting):
        monkeypatch.setattr(module, "fit_member", fit)
