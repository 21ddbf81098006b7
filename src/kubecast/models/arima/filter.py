"""The arithmetic of a fitted ARIMA: season profile, ARMA filter, forecasts from many origins in one pass.

A series is ``profile + X beta + eta``, where ``eta`` is an ARIMA. Its residuals follow from one causal filter
over the whole history; the forecast from an origin is a linear recursion over the last values and residuals.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


Smoothed = tuple[int, float]  # a season length and its smoothing


class SeasonPart(NamedTuple):
    """One season length's share of a profile.

    Attributes:
        length: In steps.
        smoothing: Weight of the newest cycle, at least that of a plain mean.
        start: The first row that it takes.
        after: What the seasons up to each row lead to expect of its phase; shape of the values.
    """

    length: int
    smoothing: float
    start: int
    after: Floats


@dataclass(frozen=True)
class Profile:
    """A causal season profile of one or several columns: the sum of those of several season lengths.

    Attributes:
        before: What the earlier seasons lead to expect of each row; shape of the values.
        start: The first row with a whole season of each kind before it; earlier rows are taken as they are.
        parts: The longest season first.
    """

    before: Floats
    start: int
    parts: list[SeasonPart]

    def values_ahead(self, ends: Ints, remainder: Floats) -> Floats:
        """Put the profile on a forecast of what it leaves; both of shape (origins, horizon, ...).

        No row after an origin is seen: where the horizon is longer than a season, the profile goes on from
        the forecast, so that a drift that the remainder holds is carried on.
        """
        return remainder + self._expected(ends, remainder, lambda given, expected: expected + given)

    def remainder_ahead(self, ends: Ints, values: Floats) -> Floats:
        """Take the profile from values that are known ahead of each origin; shape (origins, horizon, ...)."""
        return values - self._expected(ends, values, lambda given, _: given)

    def _expected(self, ends: Ints, given: Floats, value_of: Callable[[Floats, Floats], Floats]) -> Floats:
        expected, horizon = np.zeros_like(given), given.shape[1]
        steps = np.arange(horizon)
        # What each part expects at a step; from the second cycle on, of what the first led it to.
        paths = [
            np.asarray(part.after[ends[:, None] + 1 - part.length + steps % part.length])
            for part in self.parts
        ]
        for step in range(horizon):
            season_ago = [path[:, step] for path in paths]
            expected[:, step] = np.sum(season_ago, axis=0)
            rest = value_of(given[:, step], expected[:, step])
            for part, path, before in zip(self.parts, paths, season_ago, strict=True):
                if step + part.length < horizon:
                    weight = _weight((ends + 1 + step - part.start) // part.length, part.smoothing)
                    weight = weight.reshape(-1, *[1] * (before.ndim - 1))
                    path[:, step + part.length] = before + weight * (rest - before)
                rest = rest - before
        return expected


def season_profile(values: Floats, seasons: Sequence[Smoothed]) -> Profile:
    """Smooth each phase of a season exponentially over the seasons so far; the next takes what that leaves.

    Args:
        values: Shape (rows,) or (rows, columns).
        seasons: Each one's length in steps and the weight of its newest cycle, at least that of a plain mean:
            0 is the mean of all so far, 1 the last one (a seasonal difference). Empty for no profile.

    Source: the seasonal components of Taylor (2003), "Short-term electricity demand forecasting using double
    seasonal exponential smoothing".
    """
    expected, rest, start, parts = np.zeros_like(values), values, 0, []
    for length, smoothing in seasons:
        before, after = rest.copy(), rest.copy()
        before[start:], after[start:] = _smooth(rest[start:], length, smoothing)
        parts.append(SeasonPart(length, smoothing, start, after))
        expected, rest, start = expected + before, rest - before, start + length
    return Profile(expected, start, parts)


def _smooth(values: Floats, length: int, smoothing: float) -> tuple[Floats, Floats]:
    """What is expected of each row before it is seen, the first cycle to be itself, and after."""
    before, after = values.copy(), values.copy()
    for number, first in enumerate(range(length, len(values), length), start=1):
        rows = slice(first, first + length)
        count = len(values[rows])
        before[rows] = after[first - length : first - length + count]
        weight = _weight(number, smoothing)
        after[rows] = before[rows] + weight * (values[rows] - before[rows])
    return before, after


def _weight(cycle: Any, smoothing: float) -> Any:
    """Of the newest cycle, the first of which is number 0."""
    return np.maximum(smoothing, 1 / (cycle + 1))


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
