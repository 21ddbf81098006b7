"""The arithmetic of a fitted ARIMA: season profile, ARMA filter, forecasts from many origins in one pass.

A series is ``profile + X beta + eta``, where ``eta`` is an ARIMA. Its residuals follow from one causal filter
over the whole history; the forecast from an origin is a linear recursion over the last values and residuals.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Profile:
    """A causal season profile of one or several columns.

    Attributes:
        season_length: In steps; 0 removes nothing.
        before: What the earlier seasons lead to expect of each row; shape of the values. The first season,
            which has none before it, is expected to be itself.
        after: The same, the row itself learnt from.
    """

    season_length: int
    before: Floats
    after: Floats

    def ahead(self, ends: Ints, horizon: int) -> Floats:
        """Shape (origins, horizon, ...): what each origin, and no later row, leads to expect."""
        if self.season_length == 0:
            return np.zeros((len(ends), horizon, *self.after.shape[1:]))
        steps = np.arange(horizon) % self.season_length
        return np.asarray(self.after[ends[:, None] + 1 - self.season_length + steps])


def season_profile(values: Floats, season_length: int, smoothing: float) -> Profile:
    """Smooth each phase of the season exponentially over the seasons so far.

    Args:
        values: Shape (rows,) or (rows, columns).
        season_length: In steps; 0 for no profile.
        smoothing: Weight of the newest season, at least that of a plain mean: 0 is the mean of all so far,
            1 the last season (a seasonal difference).

    Source: the seasonal component of Winters (1960), "Forecasting sales by exponentially weighted moving
    averages".
    """
    if season_length == 0:
        return Profile(0, np.zeros_like(values), np.zeros_like(values))
    before, after = values.copy(), values.copy()
    for number, first in enumerate(range(season_length, len(values), season_length), start=1):
        rows = slice(first, first + season_length)
        count = len(values[rows])
        before[rows] = after[first - season_length : first - season_length + count]
        weight = max(smoothing, 1 / (number + 1))
        after[rows] = before[rows] + weight * (values[rows] - before[rows])
    return Profile(season_length, before, after)


def differenced(values: Floats, differences: tuple[int, int], period: int) -> Floats:
    """The d-th difference of the D-th one over a period, shorter by as many rows."""
    for lag in [1] * differences[0] + [period] * differences[1]:
        values = values[lag:] - values[:-lag]
    return values


@dataclass(frozen=True)
class Arima:
    """A fitted ARIMA, without constant: that is a regressor.

    Attributes:
        ar: 1, -phi_1, …: seasonal factors multiplied in, differences not; stationary.
        ma: 1, theta_1, …: seasonal factors multiplied in; invertible.
        differences: d and D.
        period: Steps of a seasonal difference.
    """

    ar: list[float]
    ma: list[float]
    differences: tuple[int, int]
    period: int

    def is_stable(self) -> bool:
        """Whether neither the forecasts nor the residuals can explode."""
        return all(_largest_root(polynomial) <= 1 + 1e-6 for polynomial in (self.ar, self.ma))

    def residuals(self, values: Floats) -> Floats:
        """One-step errors, conditional on zeros before the first row; shape of ``values``, along axis 0."""
        return np.asarray(lfilter(self.ar, self.ma, self._differenced(values), axis=0))

    def _differenced(self, values: Floats) -> Floats:
        for lag in self._lags:
            values = values - np.concatenate([values[:lag], values[:-lag]])
        values = values.copy()
        values[: sum(self._lags)] = 0.0  # rows that lack the one before
        return values

    @property
    def _lags(self) -> list[int]:
        return [1] * self.differences[0] + [self.period] * self.differences[1]

    @property
    def full_ar(self) -> Floats:
        """The autoregressive polynomial with the differences multiplied in."""
        full = np.asarray(self.ar, dtype=np.float64)
        for lag in self._lags:
            full = np.convolve(full, [1.0, *[0.0] * (lag - 1), -1.0])
        return full

    @property
    def memory(self) -> int:
        """Rows before an origin that its forecast reads."""
        return max(len(self.full_ar), len(self.ma))

    def forecast(self, values: Floats, ends: Ints, horizon: int) -> Floats:
        """Forecast from each origin.

        Args:
            values: One series without its profile and regressors; shape (rows,).
            ends: Position of each origin in it, at least ``memory - 1``; shape (origins,).
            horizon: In steps.

        Returns:
            Shape (origins, horizon).
        """
        weights, errors = -self.full_ar[1:], np.asarray(self.ma[1:])
        size = max(len(weights), 1)
        known = values[ends[:, None] + np.arange(1 - size, 1)]
        path = np.concatenate([known, np.zeros((len(ends), horizon))], axis=1)
        shocks = self.residuals(values)[ends[:, None] - np.arange(len(errors))]
        for step in range(horizon):
            last = path[:, size + step - len(weights) : size + step]
            path[:, size + step] = (
                last @ weights[::-1] + shocks[:, : max(len(errors) - step, 0)] @ errors[step:]
            )
        return path[:, size:]


def invertible(ma: list[float]) -> list[float]:
    """The moving average of the same autocorrelations whose residuals do not explode.

    Source: Brockwell & Davis (1991), "Time Series: Theory and Methods", section 4.4.
    """
    roots = np.roots(ma)
    outside = np.abs(roots) > 1
    if not outside.any():
        return ma
    roots[outside] = 1 / np.conj(roots[outside])
    return [float(weight) for weight in np.atleast_1d(np.poly(roots)).real]


def _largest_root(polynomial: list[float]) -> float:
    """Of the inverse polynomial: above 1, a filter that divides by it explodes."""
    roots = np.roots(polynomial)
    return float(np.abs(roots).max()) if len(roots) else 0.0


def constant_column(rows: int, model: Arima, origin: int = 0) -> Floats:
    """The regressor whose difference is constant: 1 or, once differenced, a line; shape (rows,)."""
    return (origin + np.arange(rows, dtype=np.float64)) ** sum(model.differences)


def regress(model: Arima, values: Floats, columns: Floats) -> Floats:
    """Generalised least squares of the values on the columns, with the ARIMA's errors; shape (columns,).

    Source: Cochrane & Orcutt (1949), "Application of least squares regression to relationships containing
    auto-correlated error terms".
    """
    if columns.shape[1] == 0:
        return np.zeros(0)
    skip = min(model.memory - 1, len(values) // 2)
    errors, design = model.residuals(values)[skip:], model.residuals(columns)[skip:]
    scale = np.linalg.norm(design, axis=0)
    scale[scale == 0] = 1.0
    return np.asarray(np.linalg.lstsq(design / scale, errors, rcond=1e-8)[0] / scale)


def independent_columns(columns: Floats) -> list[int]:
    """Positions of the columns that are neither constant nor a combination of those before them."""
    basis = np.ones((len(columns), 1)) / np.sqrt(len(columns))
    kept = []
    for position, column in enumerate(columns.T):
        rest = column - basis @ (basis.T @ column)
        rest = rest - basis @ (basis.T @ rest)
        size = float(np.linalg.norm(rest))
        if size > 1e-8 * float(np.linalg.norm(column)):
            basis = np.column_stack([basis, rest / size])
            kept.append(position)
    return kept


def fourier(first: int, rows: int, season_lengths: list[int], terms: int) -> Floats:
    """Sine and cosine pairs of each season.

    Args:
        first: Steps from the common time zero to the first row.
        rows: How many.
        season_lengths: In steps.
        terms: Pairs for each season, at most half its length.

    Returns:
        Shape (rows, columns).
    """
    time = first + np.arange(rows)
    columns = []
    for season in season_lengths:
        for term in range(1, min(terms, season // 2) + 1):
            angle = 2 * np.pi * (time * term % season) / season
            columns += [np.cos(angle)] if 2 * term == season else [np.cos(angle), np.sin(angle)]
    return np.column_stack(columns) if columns else np.zeros((rows, 0))
