"""Conditional least squares of ARIMAs, which no library has as fast.

Residuals and their derivatives are each one filter over the series, so that a fit by Gauss-Newton takes a few
passes over it, where a likelihood by numerical derivatives takes hundreds.

Source: Box & Jenkins (1970), "Time series analysis", chapter 7; steps: Levenberg (1944) and Marquardt (1963).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy.linalg import toeplitz
from scipy.signal import lfilter

from kubecast.models.arima.filter import Floats

Criterion = Literal["aic", "aicc", "bic"]

STEPS = 30  # of Gauss-Newton, at most
TOLERANCE = 1e-6  # of the sum of squares, relative, below which it has converged
NEAR_UNIT = 1 / 1.01  # largest inverse root of orders that a search takes


@dataclass(frozen=True)
class Orders:
    """Orders of an ARMA, of values that are differenced already.

    Attributes:
        p: Autoregressive.
        q: Moving average.
        seasonal_p: The same at whole periods.
        seasonal_q: The same at whole periods.
        period: In steps.
        constant: Whether there is a mean.
    """

    p: int
    q: int
    seasonal_p: int = 0
    seasonal_q: int = 0
    period: int = 1
    constant: bool = False

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.p + self.q + self.seasonal_p + self.seasonal_q + self.constant

    @property
    def reach(self) -> int:
        """Number of values that the autoregression reads."""
        return self.p + self.seasonal_p * self.period


@dataclass(frozen=True)
class Css:
    """Parameters and the residuals that they leave.

    Attributes:
        orders: Of the ARMA.
        parameters: phi, seasonal phi, theta, seasonal theta, mean; shape (orders.size,).
        residuals: Of every value but the first ``orders.reach``.
    """

    orders: Orders
    parameters: Floats
    residuals: Floats

    @cached_property
    def factors(self) -> tuple[Floats, Floats, Floats, Floats]:
        """The four polynomials: short and seasonal of the autoregression, then of the moving average."""
        return _factors(self.orders, self.parameters)

    @property
    def ar(self) -> list[float]:
        """The polynomial 1, -phi_1, …, seasonal factors multiplied in."""
        return list(np.convolve(*self.factors[:2]).tolist())

    @property
    def ma(self) -> list[float]:
        """The polynomial 1, theta_1, …, seasonal factors multiplied in."""
        return list(np.convolve(*self.factors[2:]).tolist())

    @property
    def squares(self) -> float:
        """Sum of the squared residuals."""
        return float(self.residuals @ self.residuals)

    def criterion(self, name: Criterion) -> float:
        """An information criterion; infinite where a root is so near 1 that nothing holds the forecasts."""
        count, size = len(self.residuals), self.orders.size + 1
        if size >= count - 1 or self.squares <= 0 or self._largest_root > NEAR_UNIT:
            return float("inf")
        penalty = {
            "aic": 2.0 * size,
            "aicc": 2.0 * size * count / (count - size - 1),
            "bic": size * float(np.log(count)),
        }
        # As if all orders left residuals of the same rows.
        return (count + self.orders.reach) * float(np.log(self.squares / count)) + penalty[name]

    @property
    def _largest_root(self) -> float:
        # A seasonal factor's are roots of the period's order of these.
        short = [
            np.roots(factor[:: self.orders.period if at % 2 else 1]) for at, factor in enumerate(self.factors)
        ]
        return max((float(np.abs(roots).max()) for roots in short if len(roots)), default=0.0)


def fit_css(values: Floats, orders: Orders) -> Css:
    """Estimate the parameters.

    Args:
        values: Differenced; shape (rows,).
        orders: Of the ARMA.

    Raises:
        ValueError: There are too few values.
    """
    if len(values) <= orders.reach + orders.size:
        raise ValueError(f"{len(values)} values for {orders}")
    css = evaluate_css(values, orders, _start(values, orders))
    damping = 1e-3
    for _ in range(STEPS if orders.size else 0):
        slopes = residual_derivatives(values, css)
        normal, gradient = slopes @ slopes.T, slopes @ css.residuals
        scale = np.diag(normal) + 1e-12 * np.trace(normal)
        better, damping = _step(values, css, normal, gradient, scale, damping)
        if better is None:
            break
        gain, css = css.squares - better.squares, better
        if gain <= TOLERANCE * css.squares:
            break
    return css


def _step(
    values: Floats, css: Css, normal: Floats, gradient: Floats, scale: Floats, damping: float
) -> tuple[Css | None, float]:
    """Take the first damped step that is stable and lowers the sum of squares; None where none does."""
    while damping < 1e6:
        change = np.linalg.solve(normal + damping * np.diag(scale), -gradient)
        parameters = css.parameters + change
        if _is_stable(css.orders, parameters):
            tried = evaluate_css(values, css.orders, parameters)
            if tried.squares < css.squares:
                return tried, damping / 10
        damping *= 10
    return None, damping


def _factors(orders: Orders, parameters: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    sizes = (orders.p, orders.seasonal_p, orders.q, orders.seasonal_q)
    parts = np.split(parameters, np.cumsum(sizes))[:4]
    signed = (-parts[0], -parts[1], parts[2], parts[3])
    lags = (1, orders.period, 1, orders.period)
    return tuple(_spread(weights, lag) for weights, lag in zip(signed, lags, strict=True))  # type: ignore[return-value]


def _spread(weights: Floats, lag: int) -> Floats:
    """The polynomial of 1, then the weights at multiples of the lag."""
    polynomial = np.zeros(1 + lag * len(weights))
    polynomial[0] = 1.0
    polynomial[lag::lag] = weights
    return polynomial


def _centred(values: Floats, orders: Orders, parameters: Floats) -> Floats:
    return values - parameters[-1] if orders.constant else values


def evaluate_css(values: Floats, orders: Orders, parameters: Floats) -> Css:
    """Compute the residuals that given parameters leave of differenced values."""
    factors = _factors(orders, parameters)
    centred = _centred(values, orders, parameters)
    driven = np.convolve(centred, np.convolve(*factors[:2]))[orders.reach : len(centred)]
    return Css(orders, parameters, _recursed(np.convolve(*factors[2:]), driven))


def _recursed(ma: Floats, driven: Floats) -> Floats:
    """Divide by the moving average, along the last axis, from zeros."""
    return driven if len(ma) == 1 else np.asarray(lfilter([1.0], ma, driven))


def residual_derivatives(values: Floats, css: Css) -> Floats:
    """Derivatives of the residuals by each parameter; shape (orders.size, residuals)."""
    orders, reach = css.orders, css.orders.reach
    short_ar, long_ar, short_ma, long_ma = css.factors
    centred = _centred(values, orders, css.parameters)
    size = len(centred)
    rows = []
    for other, lags in ((long_ar, range(1, orders.p + 1)), (short_ar, _long(orders, orders.seasonal_p))):
        driven = np.convolve(centred, other)
        rows += [-driven[reach - lag : size - lag] for lag in lags]
    for other, lags in ((long_ma, range(1, orders.q + 1)), (short_ma, _long(orders, orders.seasonal_q))):
        driven = np.convolve(css.residuals, other)
        rows += [-np.concatenate([np.zeros(lag), driven[: size - reach - lag]]) for lag in lags]
    if orders.constant:
        rows.append(np.full(size - reach, -np.sum(css.ar)))
    return _recursed(np.convolve(short_ma, long_ma), np.array(rows))


def _long(orders: Orders, count: int) -> range:
    return range(orders.period, orders.period * count + 1, orders.period)


def _is_stable(orders: Orders, parameters: Floats) -> bool:
    """Whether every factor's roots lie outside the unit circle."""
    ends = np.cumsum((orders.p, orders.seasonal_p, orders.q, orders.seasonal_q))
    parts = np.split(parameters, ends)[:4]
    return all(is_stationary(weights * sign) for weights, sign in zip(parts, (1, 1, -1, -1), strict=True))


def is_stationary(weights: Floats) -> bool:
    """Whether an autoregression is stationary: all its partial autocorrelations lie between -1 and 1.

    Source: Durbin (1960), "The fitting of time-series models".
    """
    left = weights
    while len(left):
        last = left[-1]
        if not abs(last) < 1:  # so that NaN is not
            return False
        left = (left[:-1] + last * left[-2::-1]) / (1 - last**2) if len(left) > 1 else left[:0]
    return True


def _start(values: Floats, orders: Orders) -> Floats:
    """First guesses: least squares on lagged values and, for the moving average, on a long fit's residuals.

    Source: Hannan & Rissanen (1982), "Recursive estimation of mixed autoregressive-moving average order".
    """
    mean = values.mean() if orders.constant else 0.0
    none = np.zeros(orders.size)
    none[-1:] = mean if orders.constant else none[-1:]
    centred = values - mean
    lags = [*range(1, orders.p + 1), *_long(orders, orders.seasonal_p)]
    shocks = [*range(1, orders.q + 1), *_long(orders, orders.seasonal_q)]
    first = max([*lags, *shocks, 0])
    if len(values) - first < 4 * orders.size + 10:
        return none
    noise = _long_residuals(centred, max(lags + shocks, default=0)) if shocks else centred
    columns = [centred[first - lag : len(centred) - lag] for lag in lags]
    columns += [noise[first - lag : len(noise) - lag] for lag in shocks]
    if not columns:
        return none
    weights = np.linalg.lstsq(np.array(columns).T, centred[first:], rcond=None)[0]
    guess = np.append(weights, mean) if orders.constant else weights
    for _ in range(20):
        if _is_stable(orders, guess):
            return np.asarray(guess)
        guess = np.append(0.8 * guess[: len(weights)], guess[len(weights) :])
    return none


def _long_residuals(centred: Floats, longest: int) -> Floats:
    """Residuals of a long autoregression by Yule and Walker; shape of the values."""
    size = min(longest + 10, len(centred) // 4)
    covariances = np.array([centred[lag:] @ centred[: len(centred) - lag] for lag in range(size + 1)])
    matrix = toeplitz(covariances[:-1]) + 1e-9 * covariances[0] * np.eye(size)
    weights = np.linalg.lstsq(matrix, covariances[1:], rcond=None)[0]
    return np.convolve(centred, [1.0, *-weights])[: len(centred)]
