"""A search of two of CatBoost's settings, for studies of any objective."""

from typing import Any

from kubecast.config.training import OptimizationSettings
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.settings.search import SearchSettings
from kubecast.tuning.study import Search

DEPTHS = SearchSettings(
    catboost={
        "depth": {"type": "int", "low": 1, "high": 9},
        "learning_rate": {"type": "float", "low": 0.01, "high": 1.0, "log": True},
    }
).catboost
BASE = CatBoostSettings(depth=6, learning_rate=0.1)


def search(**changes: Any) -> Search:
    limits = OptimizationSettings(**{"n_trials": 12, "pruner": "none", **changes.pop("limits", {})})
    given = {"kind": "catboost", "base": BASE, "champion": None, "space": DEPTHS, "optimization": limits}
    return Search(**{**given, "seed": 1, **changes})
