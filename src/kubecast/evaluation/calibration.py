"""Whether quantiles are right: the share of targets that lie at or below each of them."""

from collections.abc import Sequence

import pandas as pd

from kubecast.scoring.metrics import Groups, RowLosses, ScoredRows, quantile_column
from kubecast.scoring.significance import finite


def shares_below(losses: RowLosses, groups: Groups, levels: Sequence[float]) -> pd.DataFrame:
    """The share of each group's targets at or below each quantile; shape (groups, levels).

    Args:
        losses: Of rows with quantile columns.
        groups: Of the rows.
        levels: Of the quantiles.
    """
    scored = ScoredRows(losses, groups, [])
    return scored.table(
        {f"{level:g}": scored.mean(losses.y <= losses.values(quantile_column(level))) for level in levels}
    )


def calibration(shares: pd.DataFrame) -> dict[str, float]:
    """The observed share by quantile level, each series weighing the same; where it is right, the level.

    Args:
        shares: From ``shares_below``, a row for each series.
    """
    means = {str(level): finite(share) for level, share in shares.mean().items()}
    return {level: share for level, share in means.items() if share is not None}
