"""Whether quantiles are right: the share of targets that lie at or below each of them."""

from collections.abc import Sequence

import pandas as pd

from kubecast.scoring.metrics import quantile_column, scorable
from kubecast.scoring.significance import finite


def calibration(test: pd.DataFrame, series: pd.DataFrame, levels: Sequence[float]) -> dict[str, float]:
    """The observed share by quantile level, each series weighing the same; where it is right, the level.

    Args:
        test: Forecasts of one split, with quantile columns.
        series: Scales.
        levels: Of the quantiles.
    """
    rows = test[scorable(test, series)]
    shares = {
        f"{level:g}": finite(
            (rows["y"] <= rows[quantile_column(level)])
            .groupby(rows["unique_id"], observed=True)
            .mean()
            .mean()
        )
        for level in levels
    }
    return {level: share for level, share in shares.items() if share is not None}
