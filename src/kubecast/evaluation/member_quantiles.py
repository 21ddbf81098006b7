"""WQL of models that forecast points only: with conformal quantiles of their own, as the ensemble has."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.scoring.conformal import ConformalQuantiles
from kubecast.scoring.metrics import RowLosses, pinball_losses
from kubecast.scoring.score_counts import ScoreCounts, ScoreTally

Floats = NDArray[np.float64]


def count_errors(losses: RowLosses, tallies: Mapping[str, ScoreTally]) -> None:
    """Count the errors of a block of series on the validation split, over each series' scale.

    Args:
        losses: Of rows with their ``split`` and ``lead_time``.
        tallies: By the column of point forecasts; get the errors.
    """
    chosen = (losses.rows["split"] == "validation").to_numpy()
    leads = losses.rows["lead_time"].to_numpy()[chosen]
    y, scale = losses.y[chosen], losses.values("scale")[chosen]
    for name, tally in tallies.items():
        tally.add(ScoreCounts.of(leads, (y - losses.values(name)[chosen]) / scale))


def member_offsets(
    scores: Mapping[str, ScoreCounts], levels: Sequence[float], horizon: int
) -> dict[str, Floats]:
    """By model, what is added to its forecasts to reach each quantile, in units of the series' scale.

    Args:
        scores: Of each model's errors.
        levels: Of the quantiles.
        horizon: Lead times.

    Returns:
        Shape (lead times, levels); empty where no target counts.
    """
    return {
        model: np.array(ConformalQuantiles.fit(each, levels, horizon).offsets)
        for model, each in scores.items()
        if each.size
    }


def wql_of_members(losses: RowLosses, offsets: Mapping[str, Floats], levels: Sequence[float]) -> pd.DataFrame:
    """WQL of each series of a block; shape (series, models), without those of zeros alone.

    Args:
        losses: Of rows of the test split, with their ``lead_time``.
        offsets: From ``member_offsets``.
        levels: Of the quantiles.
    """
    rows, y, scale = losses.rows, losses.y, losses.values("scale")
    leads, (codes, _) = rows["lead_time"].to_numpy(), pd.factorize(rows["unique_id"])
    size = np.bincount(codes, np.abs(y))
    result = {}
    for model, each in offsets.items():
        errors, total = y - losses.values(model), np.zeros(len(rows))
        for level, offset in zip(levels, each.T, strict=True):
            total += pinball_losses(errors - offset[leads - 1] * scale, level)
        result[model] = (2 * np.bincount(codes, total) / len(levels))[size > 0] / size[size > 0]
    return pd.DataFrame(result)
