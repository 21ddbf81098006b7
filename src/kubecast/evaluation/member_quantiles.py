"""WQL of models that forecast points only: with conformal quantiles of their own, as the ensemble has."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.scoring.conformal import ConformalQuantiles
from kubecast.scoring.metrics import RowLosses, pinball_losses
from kubecast.scoring.score_counts import ScoreCounts, ScoreTally

Floats = NDArray[np.float64]


def member_scores(losses: RowLosses, models: Sequence[str]) -> dict[str, ScoreCounts]:
    """The errors of some models on the validation split, over each series' scale, for a block of series.

    Args:
        losses: Of rows with their ``split`` and ``lead_time``.
        models: Columns of point forecasts.
    """
    chosen = (losses.rows["split"] == "validation").to_numpy()
    leads = losses.rows["lead_time"].to_numpy()[chosen]
    y, scale = losses.y[chosen], losses.values("scale")[chosen]
    return {name: ScoreCounts.of(leads, (y - losses.values(name)[chosen]) / scale) for name in models}


def member_offsets(
    blocks: Sequence[Mapping[str, ScoreCounts]], levels: Sequence[float], horizon: int
) -> dict[str, Floats]:
    """By model, what is added to its forecasts to reach each quantile, in units of the series' scale.

    Args:
        blocks: Of different series.
        levels: Of the quantiles.
        horizon: Lead times.

    Returns:
        Shape (lead times, levels); empty where no target counts.
    """
    tallies = {model: ScoreTally() for model in blocks[0]}
    for model, tally in tallies.items():
        for block in blocks:
            tally.add(block[model])
    scores = {model: tally.total() for model, tally in tallies.items()}
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
