"""Searches of CatBoost's settings on a small panel."""

from pathlib import Path
from typing import Any

from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.steps.search_request import Request

BASE = CatBoostSettings(iterations=5, depth=2, learning_rate=0.05)
SPACE = {
    "depth": {"type": "int", "low": 1, "high": 4},
    "learning_rate": {"type": "float", "low": 0.05, "high": 0.5, "log": True},
}


def search_request(panel_dir: Path, **changes: Any) -> Request:
    given = {
        "kind": "catboost",
        "panel_dir": panel_dir,
        "settings": BASE.model_dump(mode="json"),
        "champion": None,
        "space": SPACE,
        "tuning": {},
        "seed": 1,
    }
    return Request(**{**given, **changes})
