"""Whether one column of forecasts is better than another, on the same targets."""

from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.data.panel import Panel
from kubecast.documents import Document
from kubecast.scoring.metrics import scorable

DISJOINT_ORIGINS = 10  # from which the spread over origins says more than that over series
MANY_SERIES = 20
RESAMPLES = 1_999
_SEED = 0

Floats = NDArray[np.float64]


class Paired(Document):
    """The MASE of one model less that of another, on the same targets.

    Attributes:
        against: The other.
        difference: Below 0 where the first is better.
        standard_error: None where there are too few origins and series.
        p_value: How likely so small a difference is where both are equally good, one-sided; None as above.
        over: Either origins, allowing for their overlap, or series: both were estimated over them.
        origins: Number of origins.
        disjoint_origins: How many of them have separate targets.
        series: Number of series.
    """

    against: str
    difference: float | None
    standard_error: float | None
    p_value: float | None = None
    over: Literal["origins", "series"] | None
    origins: int
    disjoint_origins: int
    series: int


class Spread(NamedTuple):
    """The chance in a mean difference."""

    standard_error: float
    p_value: float


def finite(value: Any) -> float | None:
    """The value as a number; None for NaN, infinity and None."""
    return float(value) if value is not None and np.isfinite(value) else None


def common_origins(table: pd.DataFrame, panel: Panel) -> "pd.Series[Any]":
    """The origin of each row, across series: the time or, with unequal clocks, the place from the end.

    Returns:
        On the index of ``table``.
    """
    if panel.spec.align == "calendar":
        return table["cutoff"]
    return table.groupby(["split", "unique_id"])["cutoff"].rank(method="dense", ascending=False)


def paired_difference(
    table: pd.DataFrame, series: pd.DataFrame, model: str, against: str, origins: "pd.Series[Any]"
) -> Paired:
    """Compare two models by their scaled absolute errors on the test split.

    From 10 disjoint origins up this is the test of Diebold & Mariano (1995) on the mean over series at each
    origin, with the correction and the t distribution of Harvey, Leybourne & Newbold (1997); the degrees of
    freedom are those of the disjoint origins. Else, from 20 series up, it is a bootstrap over series, which
    takes them for independent. Else nothing can be said.

    Args:
        table: Forecasts.
        series: Scales.
        model: Column of the first.
        against: Column of the other.
        origins: From ``common_origins``.
    """
    rows = table[(table["split"] == "test") & scorable(table, series)]
    scale = rows["unique_id"].map(series.set_index("unique_id")["scale"]).astype(np.float64)
    difference = ((rows["y"] - rows[model]).abs() - (rows["y"] - rows[against]).abs()) / scale
    by_series = difference.groupby(rows["unique_id"]).mean()
    # Mean of each series' mean at the origin, so that each series weighs the same there.
    cells = difference.groupby([origins[rows.index], rows["unique_id"]]).mean()
    by_origin = cells.groupby(level=0).mean().sort_index().to_numpy()
    overlap = _overlap(rows)
    disjoint = -(-len(by_origin) // overlap)
    over: Literal["origins", "series"] = "origins"
    if disjoint < DISJOINT_ORIGINS and len(by_series) >= MANY_SERIES:
        over = "series"
    spread = over_series(by_series.to_numpy()) if over == "series" else over_origins(by_origin, overlap)
    testable = spread is not None and (over == "series" or disjoint >= DISJOINT_ORIGINS)
    return Paired(
        against=against,
        difference=finite(by_series.mean()),
        standard_error=spread.standard_error if spread else None,
        p_value=spread.p_value if spread and testable else None,
        over=over if spread else None,
        origins=len(by_origin),
        disjoint_origins=disjoint,
        series=len(by_series),
    )


def _overlap(rows: pd.DataFrame) -> int:
    """The number of origins in a row that share targets with the first of them; 1: none but itself."""
    if rows.empty:
        return 1
    longest = rows.loc[rows["unique_id"] == rows["unique_id"].value_counts(sort=True).index[0]]
    ends = longest.groupby("cutoff")["ds"].max()
    cutoffs = ends.index.to_numpy()
    return int(np.max(np.searchsorted(cutoffs, ends.to_numpy(), side="left") - np.arange(len(ends))))


def over_series(differences: Floats) -> Spread:
    """The spread of a mean over series, by bootstrap; ``differences`` has shape (series,)."""
    count = len(differences)
    random = np.random.default_rng(_SEED)
    # One resample at a time: all at once would be RESAMPLES times the series in memory.
    means = np.array([differences[random.integers(0, count, count)].mean() for _ in range(RESAMPLES)])
    mean = differences.mean()
    # Resampling divides by the count, where an unbiased variance divides by one less.
    not_better = np.sum(mean + (means - mean) * np.sqrt(count / (count - 1)) >= 0)
    return Spread(
        float(np.std(differences, ddof=1) / np.sqrt(count)), float((1 + not_better) / (RESAMPLES + 1))
    )


def over_origins(differences: Floats, overlap: int) -> Spread | None:
    """The spread of a mean over origins; None where they are too few.

    Args:
        differences: In order of time, shape (origins,).
        overlap: Number of origins in a row that share targets.
    """
    from scipy import special  # not on top: a sixth of all that a task imports, and most need none

    count = len(differences)
    correction = count + 1 - 2 * overlap + overlap * (overlap - 1) / count if count else 0.0
    if count < 2 or correction <= 0:
        return None
    centred = differences - differences.mean()
    covariances = np.array([centred[lag:] @ centred[: count - lag] / count for lag in range(overlap)])
    # The plain sum can fall below 0; Bartlett's weights cannot.
    plain = covariances[0] + 2 * covariances[1:].sum()
    bartlett = covariances[0] + 2 * ((1 - np.arange(1, overlap) / overlap) * covariances[1:]).sum()
    error = float(np.sqrt(max(plain, bartlett, 0.0) / count) / np.sqrt(correction / count))
    mean = float(differences.mean())
    if error == 0:
        return Spread(error, 0.0 if mean < 0 else 1.0)
    return Spread(error, float(special.stdtr(max(-(-count // overlap) - 1, 1), mean / error)))
