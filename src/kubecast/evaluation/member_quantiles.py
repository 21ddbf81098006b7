"""WQL of models that forecast points only: with conformal quantiles of their own, as the ensemble has."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from kubecast.scoring.conformal import ConformalQuantiles
from kubecast.scoring.metrics import scorable


def member_wql(
    table: pd.DataFrame, series: pd.DataFrame, models: Sequence[str], levels: Sequence[float], horizon: int
) -> dict[str, float]:
    """WQL on the test split, with quantiles from each model's errors on the validation split.

    Args:
        table: Forecasts of both splits with their ``lead_time``.
        series: Scales.
        models: Columns of point forecasts.
        levels: Quantile levels.
        horizon: Lead times.

    Returns:
        By model; empty where either split has no scored target, or every target is 0.
    """
    rows = table.loc[scorable(table, series), ["unique_id", "split", "lead_time", "y", *models]]
    scale = rows["unique_id"].map(series.set_index("unique_id")["scale"]).to_numpy(dtype=np.float64)
    is_test = (rows["split"] == "test").to_numpy()
    lead = rows["lead_time"].to_numpy()
    names, _ = pd.factorize(rows["unique_id"][is_test])
    y = rows["y"].to_numpy(dtype=np.float64)
    size = np.bincount(names, np.abs(y[is_test]))
    if is_test.all() or not size.any():
        return {}
    result = {}
    for model in models:
        errors = y - rows[model].to_numpy(dtype=np.float64)
        scores = pd.DataFrame({"lead_time": lead, "score": errors / scale})[~is_test]
        offsets = np.array(ConformalQuantiles.fit(scores, levels, horizon).offsets)
        total = np.zeros(int(is_test.sum()))
        for level, offset in zip(levels, offsets.T, strict=True):
            above = errors[is_test] - offset[lead[is_test] - 1] * scale[is_test]
            total += np.maximum(level * above, (level - 1) * above)
        pinball = np.bincount(names, total) / len(levels)
        result[model] = float(np.mean((2 * pinball)[size > 0] / size[size > 0]))
    return result
