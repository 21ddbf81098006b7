"""The lags that the target is differenced by."""

from itertools import combinations

import numpy as np
import pandas as pd

from kubecast.data.panel import Cutoffs, Panel
from kubecast.models.catboost.backtests import spread_origins
from kubecast.models.catboost.features import row_scales
from kubecast.models.catboost.holdout import ends_and_lengths
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.models.seasonal_naive import seasonal_naive

NAIVE_ORIGINS = 100  # of each series, from which naive forecasts are compared


def candidate_differences(panel: Panel, until: Cutoffs, settings: CatBoostSettings) -> list[list[int]]:
    """Differences to fit models of: the settings', else lags by the errors of their naive forecasts.

    Candidates are 1 and the season lengths that nine series in ten hold twice, and after them two and more of
    these lags together. Naive errors of the whole history before ``until`` do not depend on the seed. To take
    the lag whose fit forecasts a held-out tail best did, and forecast worse.
    """
    if settings.differences != "auto":
        return [[] if settings.differences == "none" else settings.differences]
    _, length = ends_and_lengths(panel, until)
    typical = float(np.quantile(length, 0.1)) if len(length) else 0.0
    seasons = [m for m in panel.spec.season_lengths if m > 1 and 2 * m + panel.spec.horizon <= typical]
    lags = sorted([1, *seasons], key=lambda lag: _naive_error(panel, until, lag))
    sets = [list(some) for count in range(2, len(lags) + 1) for some in combinations(lags, count)]
    together = [some for some in sets if 2 * sum(some) + panel.spec.horizon <= typical]
    return [*([lag] for lag in lags), *together]


def _naive_error(panel: Panel, until: Cutoffs, lag: int) -> float:
    """Mean absolute error over the horizon by the mean absolute step; each series weighs the same."""
    ends, origins = panel.row_index(until), _past_origins(panel, until)
    steps, y = np.arange(1, panel.spec.horizon + 1), panel.frame["y"].to_numpy(dtype=np.float64)
    rows = panel.row_index(origins)
    error = np.abs(seasonal_naive(panel, origins, lag) - y[rows[:, None] + steps])
    by_series = pd.DataFrame(error).mean(axis=1).groupby(panel.series_codes[rows]).mean()
    scale = pd.Series(row_scales(panel, [1])[ends], index=panel.series_codes[ends])
    return float((by_series / scale.where(scale > 0)).mean())


def _past_origins(panel: Panel, until: Cutoffs) -> Cutoffs:
    """Origins whose horizon ends by ``until``, evenly spread over the history and the series."""
    ends, length = ends_and_lengths(panel, until)
    first = ends - length + np.minimum(max(panel.spec.season_lengths), length)
    return spread_origins(panel, first, ends, NAIVE_ORIGINS)
