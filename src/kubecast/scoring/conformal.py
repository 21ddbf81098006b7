"""Conformal quantiles: forecasts' own past errors, laid around the point forecast.

Source: Vovk, Gammerman & Shafer (2005), "Algorithmic learning in a random world", for the n + 1; signed
errors, so that the sides may differ: Romano, Patterson & Candès (2019), "Conformalized quantile regression".
"""

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from kubecast.errors import ConfigError, ModelError
from kubecast.scoring.metrics import lead_times, quantile_column, scorable
from kubecast.scoring.score_counts import ScoreCounts


class ConformalQuantiles(BaseModel):
    """By lead time, what is added to a point forecast to reach each quantile, in units of the series' scale.

    Attributes:
        levels: Ascending.
        offsets: Shape (lead times, levels); non-decreasing along the levels, so that quantiles never cross.
        counts: Scores behind each lead time, shape (lead times,).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    levels: list[float]
    offsets: list[list[float]]
    counts: list[int]

    @classmethod
    def fit(cls, scores: ScoreCounts, levels: Sequence[float], horizon: int) -> "ConformalQuantiles":
        """Take the empirical quantiles of the scores at each lead time.

        A lead time is pooled with its neighbours, one on each side at a time, until the outermost level lies
        inside the scores: n of them support levels from 1 / (n + 1) to n / (n + 1). Where all scores are too
        few, the outermost quantiles are the extreme scores.

        Args:
            scores: Signed errors over the series' scales, by lead time.
            levels: In ascending order.
            horizon: Lead times.

        Raises:
            ModelError: There is no score of a lead time up to the horizon.
        """
        pools = [scores.pooled(lead, needed_scores(levels), horizon) for lead in range(1, horizon + 1)]
        if not pools or not all(pool.size for pool in pools):
            raise ModelError("no forecast error to make quantiles from; allowed: observed validation targets")
        offsets = [pool.quantiles(levels).tolist() for pool in pools]
        return cls(levels=list(levels), offsets=offsets, counts=[pool.size for pool in pools])

    @property
    def columns(self) -> list[str]:
        """The quantiles' column names."""
        return [quantile_column(level) for level in self.levels]

    def apply(
        self, points: pd.DataFrame, scales: Mapping[str, float | None], column: str = "yhat"
    ) -> pd.DataFrame:
        """Add the quantile columns.

        Args:
            points: ``unique_id``, ``cutoff``, ``ds`` and ``column``; the rows of an origin in order of time.
                Where there is a ``level_ratio``, it brings the series' scale to its level there.
            scales: By series; one without a scale has never varied and gets quantiles equal to its point.
            column: The point forecast.

        Raises:
            ConfigError: A lead time is beyond those that quantiles were fitted for.
        """
        return lay_quantiles(points, scales, column, [self], np.zeros(len(points), dtype=np.intp))


def lay_quantiles(
    points: pd.DataFrame,
    scales: Mapping[str, float | None],
    column: str,
    quantiles: Sequence[ConformalQuantiles],
    which: NDArray[np.intp],
) -> pd.DataFrame:
    """Add quantile columns of which each row has its own, as ``ConformalQuantiles.apply`` adds them.

    Args:
        points: As there.
        scales: As there.
        column: The point forecast.
        quantiles: Of the same levels and lead times.
        which: The position among these for each row, shape (rows,).

    Raises:
        ConfigError: A lead time is beyond those that quantiles were fitted for.
    """
    lead, most = lead_times(points).to_numpy(), min(len(each.offsets) for each in quantiles)
    if len(lead) and lead.max() > most:
        raise ConfigError(
            f"horizon {lead.max()} is longer than the steps that the quantiles were fitted for;"
            f" allowed: 1 to {most}"
        )
    scale = _at_level(points, points["unique_id"].map(dict(scales)).astype(np.float64).fillna(0.0))
    units, centre = scale.to_numpy(), points[column].to_numpy(dtype=np.float64)
    offsets = np.asarray([each.offsets[:most] for each in quantiles])
    columns = zip(quantiles[0].columns, np.moveaxis(offsets, 2, 0), strict=True)
    # A level at a time: all together would be as large as the table.
    return points.assign(**{name: centre + each[which, lead - 1] * units for name, each in columns})


def needed_scores(levels: Sequence[float]) -> int:
    """The fewest scores that support the outermost level: 9 for 0.1 or 0.9."""
    tail = min(min(level, 1 - level) for level in levels)
    return ceil(1 / tail - 1 - 1e-9)


def conformal_scores(table: pd.DataFrame, series: pd.DataFrame, column: str) -> pd.DataFrame:
    """The signed errors of a column over the series' scale, where the target was observed.

    Args:
        table: Forecasts; the rows of an origin complete and in order of time. Where there is a
            ``level_ratio``, it brings the series' scale to its level there.
        series: Scales.
        column: The point forecast.

    Returns:
        ``lead_time``, ``score``.
    """
    scale = _at_level(
        table, table["unique_id"].map(series.set_index("unique_id")["scale"]).astype(np.float64)
    )
    scores = pd.DataFrame({"lead_time": lead_times(table), "score": (table["y"] - table[column]) / scale})
    return scores[scorable(table, series)]


def _at_level(table: pd.DataFrame, scale: "pd.Series[float]") -> "pd.Series[float]":
    """Errors grow with the level of a series."""
    return scale * table["level_ratio"] if "level_ratio" in table else scale
