"""Origins of backtests, by which differences are chosen and models weighed."""

import numpy as np
from numpy.typing import NDArray

from kubecast.data.panel import Cutoffs, Panel

MOST_SERIES = 100  # that are forecast
PER_SERIES = 4  # origins of each series that models are weighed by
AT_LEAST = 100  # the same of all series together


def spread_origins(panel: Panel, first: NDArray[np.int64], ends: NDArray[np.int64], each: int) -> Cutoffs:
    """Evenly spread rows of some series, at most ``each``, from ``first`` until a horizon before ``ends``."""
    some = _spread_positions(len(ends), MOST_SERIES)
    rows = [np.empty(0, dtype=np.int64)]
    for begin, end in zip(first[some], ends[some] - panel.spec.horizon, strict=True):
        if begin <= end:
            rows.append(np.unique(np.linspace(begin, end, each).astype(np.int64)))
    return Cutoffs.from_frame(panel.frame.iloc[np.concatenate(rows)], "ds")


def backtest_origins(panel: Panel, first: NDArray[np.int64], ends: NDArray[np.int64]) -> Cutoffs:
    """Origins that models are weighed by, from ``first`` until a horizon before ``ends``."""
    series = max(min(len(ends), MOST_SERIES), 1)
    return spread_origins(panel, first, ends, max(PER_SERIES, AT_LEAST // series))


def _spread_positions(count: int, most: int) -> NDArray[np.int64]:
    """At most so many of ``count`` positions, evenly spread."""
    return np.unique(np.linspace(0, max(count - 1, 0), most).astype(np.int64))[:count]
