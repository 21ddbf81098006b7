"""Small panels: hourly series, and the settings that fit them."""

import pandas as pd

from kubecast.config.training import TrainingSettings
from kubecast.data.sample import generate_series

SMALL = {"data": {"min_samples": 1}, "validation": {"cv_folds": 3, "max_origins": 8}}
QUICK_FIT = ["training.data.min_samples=1", "training.validation.max_origins=8", "catboost.iterations=10"]
"""The overrides with which ``kubecast.fit`` takes seconds."""
WITH_COVARIATES = {
    "min_samples": 1,
    "covariates": {"future": ["promotion"], "past": ["visitors"], "static": ["region"]},
}


def hourly(series: int = 3, rows: int = 400, seed: int = 0, covariates: bool = False) -> pd.DataFrame:
    """Hourly series of unequal lengths, each 30 rows shorter than the one before."""
    lengths = [rows - 30 * number for number in range(series)]
    return generate_series(series, lengths, covariates=covariates, seed=seed)


def small_settings(**changes: object) -> TrainingSettings:
    """Settings under which ``hourly`` makes a panel; ``changes`` are whole top-level keys."""
    base = {"horizon": 6, "season_lengths": [24], "frequency": "h", **SMALL}
    return TrainingSettings.model_validate({**base, **changes})
