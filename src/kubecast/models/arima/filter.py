"""The filter of a fitted ARIMA: residuals and forecasts from many origins in one pass over a history.

Residuals follow from one causal filter over the whole history; the forecast from an origin is a linear
recursion over the last values and residuals.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def differenced(values: Floats, differences: tuple[int, int], period: int) -> Floats:
    """Compute the d-th difference of the D-th one over a period, shorter by as many rows."""
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
        """Number of rows before an origin that its forecast reads."""
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


def burg(values: Floats, order: int) -> list[float]:
    """The autoregressive polynomial that predicts best forwards and backwards; it is stationary.

    Source: Burg (1975), "Maximum entropy spectral analysis".
    """
    forward, backward, polynomial = values[1:], values[:-1], np.ones(1)
    for _ in range(order):
        power = float(forward @ forward + backward @ backward)
        reflection = -2 * float(forward @ backward) / power if power > 0 else 0.0
        polynomial = np.append(polynomial, 0.0)
        polynomial = polynomial + reflection * polynomial[::-1]
        forward, backward = (
            (forward + reflection * backward)[1:],
            (backward + reflection * forward)[:-1],
        )
    return [float(weight) for weight in polynomial]


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
    """Largest root of the inverse polynomial: above 1, a filter that divides by it explodes."""
    roots = np.roots(polynomial)
    return float(np.abs(roots).max()) if len(roots) else 0.0
