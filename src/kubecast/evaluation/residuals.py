"""Residuals of a forecast: their spread, whether they are normal, whether one follows another."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.data.calendars import offset_of
from kubecast.documents import Document
from kubecast.scoring.metrics import scorable

BINS = 40
TAIL = 0.005  # of the errors, on each side, that the histogram puts into its outermost bins
POINTS = 99  # of the Q-Q plot
LAGS = 24


class Residuals(Document):
    """Errors over a split, target less forecast, in units of each series' scale.

    Attributes:
        count: How many.
        mean: Above 0 where forecasts are too low.
        deviation: Standard deviation.
        edges: Of the bins, one more than there are.
        counts: Errors in each bin; the outermost hold those beyond as well.
        normal: Quantiles of the normal distribution with that mean and deviation.
        observed: The same quantiles of the errors.
        autocorrelation: Of the one-step errors of neighbouring origins, by lag in origins from 1; pooled over
            series, none across folds, less that of independent errors, which centring makes.
        bands: By lag, the limit that independent errors stay within at 95 % of the lags.
    """

    count: int
    mean: float
    deviation: float
    edges: list[float]
    counts: list[int]
    normal: list[float]
    observed: list[float]
    autocorrelation: list[float]
    bands: list[float]


class ScaledErrors(NamedTuple):
    """The errors of one model over a block of series, in units of each one's scale.

    Attributes:
        values: Of the targets that count; shape (targets,).
        first: Of each origin's first step: ``unique_id``, ``fold``, ``cutoff``, ``error`` (NaN where the
            target does not count).
    """

    values: NDArray[np.float64]
    first: pd.DataFrame


def scaled_errors(table: pd.DataFrame, series: pd.DataFrame, model: str) -> ScaledErrors:
    """Take the errors of one model.

    Args:
        table: Forecasts of one split beside their targets, with ``lead_time``.
        series: Gives the scales.
        model: Column of the point forecasts.
    """
    scale = table["unique_id"].map(series.set_index("unique_id")["scale"]).astype(np.float64)
    errors = ((table["y"] - table[model]) / scale).where(scorable(table, series))
    first = table.loc[table["lead_time"] == 1, ["unique_id", "fold", "cutoff"]]
    first = first.assign(unique_id=first["unique_id"].astype(object), error=errors[first.index])
    return ScaledErrors(errors.dropna().to_numpy(), first)


def residuals(blocks: Sequence[ScaledErrors]) -> Residuals | None:
    """Describe the errors of one model; None where no target counts.

    Args:
        blocks: Of different series.
    """
    from scipy import special

    values = np.concatenate([block.values for block in blocks])
    if not len(values):
        return None
    mean, deviation = float(values.mean()), float(values.std())
    low, high = np.quantile(values, [TAIL, 1 - TAIL])
    edges = np.linspace(low, high, BINS + 1) if high > low else np.array([low - 0.5, low + 0.5])
    counts, _ = np.histogram(values.clip(edges[0], edges[-1]), edges)
    levels = np.arange(1, POINTS + 1) / (POINTS + 1)
    autocorrelation, bands = _autocorrelation(pd.concat([block.first for block in blocks]))
    return Residuals(
        count=len(values),
        mean=mean,
        deviation=deviation,
        edges=edges.tolist(),
        counts=counts.tolist(),
        normal=(mean + deviation * special.ndtri(levels)).tolist(),
        observed=np.quantile(values, levels).tolist(),
        autocorrelation=autocorrelation,
        bands=bands,
    )


def _autocorrelation(first: pd.DataFrame) -> tuple[list[float], list[float]]:
    """Autocorrelation by lag, and the bands of independent errors.

    Errors are centred by their own series' mean, of ``n`` errors, which correlates even independent ones by
    ``-1 / (n - 1)`` at every lag.
    """
    rows = first.sort_values(["unique_id", "fold", "cutoff"], ignore_index=True)
    errors = rows["error"]
    of_series = errors.groupby(rows["unique_id"], observed=True)
    centred, count = errors - of_series.transform("mean"), of_series.transform("count")
    expected = -1 / (count - 1).where(count > 1)
    groups = [rows["unique_id"], rows["fold"]]
    longest = int(centred.groupby(groups, observed=True).size().max()) if len(centred) else 0
    autocorrelation: list[float] = []
    bands: list[float] = []
    for lag in range(1, min(LAGS, longest // 2) + 1):
        earlier = centred.groupby(groups, observed=True).shift(lag)
        kept = centred.notna() & earlier.notna()
        now, before = centred[kept].to_numpy(), earlier[kept].to_numpy()
        power = float(np.sqrt(np.sum(now**2) * np.sum(before**2)))
        if power == 0:
            break
        autocorrelation.append(float(np.sum(now * before) / power - expected[kept].mean()))
        bands.append(1.96 / float(np.sqrt(len(now))))
    return autocorrelation, bands


def season_phase(
    ds: "pd.Series[pd.Timestamp]", frequency: str, season_length: int, first: pd.Timestamp
) -> NDArray[np.int64]:
    """Where in a season each time lies, in steps from the first one of all; alike for every series."""
    if ds.empty:
        return np.array([], dtype=np.int64)
    grid = pd.date_range(first, ds.max(), freq=offset_of(frequency))
    return np.asarray(np.searchsorted(grid.to_numpy(), ds.to_numpy()) % season_length, dtype=np.int64)
