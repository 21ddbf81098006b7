"""Whether one column of forecasts is better than another, on the same targets."""

from typing import Any, Literal

import numpy as np

from kubecast.documents import Document
from kubecast.scoring.loss_grid import Floats, LossGrid
from kubecast.scoring.resampling import Resamples, Spread

DISJOINT_ORIGINS = 10  # from which the spread over origins says more than that over series

Over = Literal["origins", "series", "series and origins"]


class Paired(Document):
    """The MASE of one model less that of another, on the same targets.

    Attributes:
        against: The other.
        difference: Below 0 where the first is better.
        standard_error: None where there are too few origins and series.
        p_value: How likely so small a difference is where both are equally good, one-sided; None as above,
            and where all series have the same single date.
        over: What both were estimated over: origins, allowing for their overlap, series, or both.
        origins: Number of origins.
        disjoint_origins: How many of them have separate targets.
        series: Number of series.
        dates: Number of dates, whole horizons of origins, where it is over series and origins; else None.
    """

    against: str
    difference: float | None
    standard_error: float | None
    p_value: float | None = None
    over: Over | None
    origins: int
    disjoint_origins: int
    series: int
    dates: int | None = None


def finite(value: Any) -> float | None:
    """The value as a number; None for NaN, infinity and None."""
    return float(value) if value is not None and np.isfinite(value) else None


def paired_difference(grid: LossGrid, model: str, against: str, resamples: Resamples | None = None) -> Paired:
    """Compare two models by their scaled absolute errors.

    From 10 disjoint origins up this is the test of Diebold & Mariano (1995) on the mean over series at each
    origin, with the correction and the t distribution of Harvey, Leybourne & Newbold (1997); the degrees of
    freedom are those of the disjoint origins. Else, from 20 series or 5 top groups up, it is by
    ``Resamples``: over series and, where they share dates, over two or more of those. Else nothing can be
    said.

    Args:
        grid: The losses.
        model: Column of the first.
        against: Column of the other.
        resamples: Of the grid; default: they are drawn where they are needed.
    """
    difference = finite(grid.means()[model] - grid.means()[against]) if grid.n_series else None
    spread, over, testable = None, None, False
    if grid.n_disjoint < DISJOINT_ORIGINS and grid.n_series:
        spread, over, testable = _resampled(resamples or Resamples.draw(grid), model, against)
    if over is None:
        spread = over_origins(grid.difference_by_origin(model, against), grid.overlap)
        over, testable = ("origins" if spread else None), grid.n_disjoint >= DISJOINT_ORIGINS
    return Paired(
        against=against,
        difference=difference,
        standard_error=spread.standard_error if spread else None,
        p_value=spread.p_value if spread and testable else None,
        over=over,
        origins=grid.n_origins,
        disjoint_origins=grid.n_disjoint,
        series=grid.n_series,
        dates=grid.n_blocks if over == "series and origins" else None,
    )


def _resampled(resamples: Resamples, model: str, against: str) -> tuple[Spread | None, Over | None, bool]:
    """The spread over series, what it is over, and whether it is enough for a test."""
    if resamples.over_series is None:
        return None, None, False
    spread = resamples.spread(lambda means: means[model] - means[against])
    over: Over = "series" if resamples.over_dates is None else "series and origins"
    return spread, over, resamples.over_dates is not None or not resamples.same_dates


def over_origins(differences: Floats, overlap: int) -> Spread | None:
    """The chance in a mean over origins; None where they are too few.

    Args:
        differences: In order of time, shape (origins,).
        overlap: Number of origins in a row that share targets.
    """
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
    return Spread(float(differences.mean()), error, max(-(-count // overlap) - 1, 1))
