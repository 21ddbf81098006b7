"""WQL of models that forecast points only: with conformal quantiles of their own, as the ensemble has."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.scoring.conformal import ConformalQuantiles
from kubecast.scoring.metrics import RowLosses, pinball_losses

Floats = NDArray[np.float64]


class MemberErrors(NamedTuple):
    """The validation errors of a block of series, over each one's scale.

    Attributes:
        leads: Lead time of each target; shape (targets,).
        errors: By model, target less forecast; shape (targets,).
    """

    leads: NDArray[np.int16]
    errors: dict[str, Floats]

    @classmethod
    def of(cls, losses: RowLosses, models: Sequence[str]) -> "MemberErrors":
        """Take the errors of some models on the validation split.

        Args:
            losses: Of rows with their ``split`` and ``lead_time``.
            models: Columns of point forecasts.
        """
        chosen = (losses.rows["split"] == "validation").to_numpy()
        y, scale = losses.y[chosen], losses.values("scale")[chosen]
        errors = {name: (y - losses.values(name)[chosen]) / scale for name in models}
        return cls(losses.rows["lead_time"].to_numpy(dtype=np.int16)[chosen], errors)


def member_offsets(
    blocks: Sequence[MemberErrors], levels: Sequence[float], horizon: int
) -> dict[str, Floats]:
    """By model, what is added to its forecasts to reach each quantile, in units of the series' scale.

    Args:
        blocks: Of different series.
        levels: Of the quantiles.
        horizon: Lead times.

    Returns:
        Shape (lead times, levels); empty where no target counts.
    """
    leads = np.concatenate([block.leads for block in blocks])
    if not len(leads):
        return {}

    def offsets(model: str) -> Floats:
        scores = np.concatenate([block.errors[model] for block in blocks])
        table = pd.DataFrame({"lead_time": leads, "score": scores})
        return np.array(ConformalQuantiles.fit(table, levels, horizon).offsets)

    return {model: offsets(model) for model in blocks[0].errors}


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
