"""Conditional least squares of ARIMAs, and the search of their orders by it.

Residuals and their derivatives are each one filter over the series, so that a fit by Gauss-Newton takes a few
passes over it, where a likelihood by numerical derivatives takes hundreds.

Source: Box & Jenkins (1970), "Time series analysis", chapter 7; steps: Levenberg (1944) and Marquardt (1963).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import toeplitz
from scipy.signal import lfilter

Floats = NDArray[np.float64]
Criterion = Literal["aic", "aicc", "bic"]

STEPS = 30  # of Gauss-Newton, at most
TOLERANCE = 1e-6  # of the sum of squares, relative, below which it has converged
NEAR_UNIT = 1 / 1.01  # largest inverse root of orders that a search takes
MAX_P, MAX_Q = 2, 2  # seasonal
COARSE = (0, 1, 2, 4)  # orders that a stepwise search begins with
KPSS_CRITICAL = 0.463  # at 5 %


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
        """How many parameters there are."""
        return self.p + self.q + self.seasonal_p + self.seasonal_q + self.constant

    @property
    def reach(self) -> int:
        """Values that the autoregression reads."""
        return self.p + self.seasonal_p * self.period


@dataclass(frozen=True)
class Css:
    """Parameters and what they leave.

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
        """1, -phi_1, …, seasonal factors multiplied in."""
        return list(np.convolve(*self.factors[:2]).tolist())

    @property
    def ma(self) -> list[float]:
        """1, theta_1, …, seasonal factors multiplied in."""
        return list(np.convolve(*self.factors[2:]).tolist())

    @property
    def squares(self) -> float:
        """Sum of the squared residuals."""
        return float(self.residuals @ self.residuals)

    def criterion(self, name: Criterion) -> float:
        """The smaller, the better; infinite where a root is so near 1 that nothing holds the forecasts."""
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
    found = _evaluate(values, orders, _start(values, orders))
    damping = 1e-3
    for _ in range(STEPS if orders.size else 0):
        slopes = _derivatives(values, found)
        normal, gradient = slopes @ slopes.T, slopes @ found.residuals
        scale = np.diag(normal) + 1e-12 * np.trace(normal)
        better, damping = _step(values, found, normal, gradient, scale, damping)
        if better is None:
            break
        gain, found = found.squares - better.squares, better
        if gain <= TOLERANCE * found.squares:
            break
    return found


def _step(
    values: Floats, found: Css, normal: Floats, gradient: Floats, scale: Floats, damping: float
) -> tuple[Css | None, float]:
    """The first damped step that is stable and lowers the sum of squares; None where none does."""
    while damping < 1e6:
        change = np.linalg.solve(normal + damping * np.diag(scale), -gradient)
        parameters = found.parameters + change
        if _is_stable(found.orders, parameters):
            tried = _evaluate(values, found.orders, parameters)
            if tried.squares < found.squares:
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
    """1, then the weights at multiples of the lag."""
    found = np.zeros(1 + lag * len(weights))
    found[0] = 1.0
    found[lag::lag] = weights
    return found


def _centred(values: Floats, orders: Orders, parameters: Floats) -> Floats:
    return values - parameters[-1] if orders.constant else values


def _evaluate(values: Floats, orders: Orders, parameters: Floats) -> Css:
    factors = _factors(orders, parameters)
    centred = _centred(values, orders, parameters)
    driven = np.convolve(centred, np.convolve(*factors[:2]))[orders.reach : len(centred)]
    return Css(orders, parameters, _recursed(np.convolve(*factors[2:]), driven))


def _recursed(ma: Floats, driven: Floats) -> Floats:
    """Divide by the moving average, along the last axis, from zeros."""
    return driven if len(ma) == 1 else np.asarray(lfilter([1.0], ma, driven))


def _derivatives(values: Floats, found: Css) -> Floats:
    """Of the residuals by each parameter; shape (orders.size, residuals)."""
    orders, reach = found.orders, found.orders.reach
    short_ar, long_ar, short_ma, long_ma = found.factors
    centred = _centred(values, orders, found.parameters)
    size = len(centred)
    rows = []
    for other, lags in ((long_ar, range(1, orders.p + 1)), (short_ar, _long(orders, orders.seasonal_p))):
        driven = np.convolve(centred, other)
        rows += [-driven[reach - lag : size - lag] for lag in lags]
    for other, lags in ((long_ma, range(1, orders.q + 1)), (short_ma, _long(orders, orders.seasonal_q))):
        driven = np.convolve(found.residuals, other)
        rows += [-np.concatenate([np.zeros(lag), driven[: size - reach - lag]]) for lag in lags]
    if orders.constant:
        rows.append(np.full(size - reach, -np.sum(found.ar)))
    return _recursed(np.convolve(short_ma, long_ma), np.array(rows))


def _long(orders: Orders, count: int) -> range:
    return range(orders.period, orders.period * count + 1, orders.period)


def _is_stable(orders: Orders, parameters: Floats) -> bool:
    """Whether every factor's roots lie outside the unit circle."""
    ends = np.cumsum((orders.p, orders.seasonal_p, orders.q, orders.seasonal_q))
    parts = np.split(parameters, ends)[:4]
    return all(_is_inside(weights * sign) for weights, sign in zip(parts, (1, 1, -1, -1), strict=True))


def _is_inside(weights: Floats) -> bool:
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
    found = np.linalg.lstsq(np.array(columns).T, centred[first:], rcond=None)[0]
    guess = np.append(found, mean) if orders.constant else found
    for _ in range(20):
        if _is_stable(orders, guess):
            return np.asarray(guess)
        guess = np.append(0.8 * guess[: len(found)], guess[len(found) :])
    return none


def _long_residuals(centred: Floats, longest: int) -> Floats:
    """What a long autoregression by Yule and Walker leaves; shape of the values."""
    size = min(longest + 10, len(centred) // 4)
    covariances = np.array([centred[lag:] @ centred[: len(centred) - lag] for lag in range(size + 1)])
    matrix = toeplitz(covariances[:-1]) + 1e-9 * covariances[0] * np.eye(size)
    weights = np.linalg.lstsq(matrix, covariances[1:], rcond=None)[0]
    return np.convolve(centred, [1.0, *-weights])[: len(centred)]


# --- the search ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """The largest orders; seasonal ones are ``MAX_P`` and ``MAX_Q`` where there is a period."""

    p: int
    q: int
    period: int = 1

    def allow(self, orders: Orders, rows: int) -> bool:
        """Whether orders lie inside, and leave enough rows."""
        seasonal = self.period > 1
        return (
            0 <= orders.p <= self.p
            and 0 <= orders.q <= self.q
            and 0 <= orders.seasonal_p <= MAX_P * seasonal
            and 0 <= orders.seasonal_q <= MAX_Q * seasonal
            and 3 * (orders.reach + orders.size) < rows
        )


def search_css(values: Floats, limits: Limits, criterion: Criterion, constant: bool, stepwise: bool) -> Css:
    """Find the orders with the smallest criterion.

    Args:
        values: Differenced; shape (rows,).
        limits: The largest orders.
        criterion: Of information.
        constant: Whether a mean is tried.
        stepwise: Go on from the best orders so far to their neighbours; else all are tried.

    Raises:
        ValueError: No orders can be fitted.

    Source: Hyndman & Khandakar (2008), "Automatic time series forecasting: the forecast package for R".
    """
    tried: dict[Orders, tuple[float, Css | None]] = {}

    def attempt(candidates: Iterator[Orders]) -> None:
        for orders in candidates:
            if orders not in tried and limits.allow(orders, len(values)) and constant >= orders.constant:
                tried[orders] = _scored(values, orders, criterion)

    attempt(_first(limits, constant) if stepwise else _every(limits))
    count = 0
    while stepwise and tried and count < len(tried):
        count = len(tried)
        attempt(_neighbours(min(tried, key=lambda orders: tried[orders][0])))
    score, best = min(tried.values(), key=lambda found: found[0], default=(float("inf"), None))
    if best is None or not np.isfinite(score):
        raise ValueError(f"no orders fit {len(values)} values")
    return best


def _scored(values: Floats, orders: Orders, criterion: Criterion) -> tuple[float, Css | None]:
    try:
        found = fit_css(values, orders)
    except (ValueError, np.linalg.LinAlgError):
        return float("inf"), None
    return found.criterion(criterion), found


def _first(limits: Limits, constant: bool) -> Iterator[Orders]:
    """A coarse grid: from two or three orders alone, the steps often end far from the best."""
    seasonal = int(limits.period > 1)
    for p in COARSE:
        for q in COARSE:
            yield Orders(min(p, limits.p), min(q, limits.q), seasonal, seasonal, limits.period, constant)
    yield Orders(0, 0, period=limits.period)


def _every(limits: Limits) -> Iterator[Orders]:
    long = range(MAX_P + 1) if limits.period > 1 else range(1)
    for p in range(limits.p + 1):
        for q in range(limits.q + 1):
            for seasonal_p in long:
                for seasonal_q in long:
                    for constant in (False, True):
                        yield Orders(p, q, seasonal_p, seasonal_q, limits.period, constant)


_MOVES = [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1)]


def _neighbours(best: Orders) -> Iterator[Orders]:
    for p, q in _MOVES:
        yield replace(best, p=best.p + p, q=best.q + q)
        yield replace(best, seasonal_p=best.seasonal_p + p, seasonal_q=best.seasonal_q + q)
    yield replace(best, constant=not best.constant)


def count_differences(values: Floats, most: int) -> int:
    """How often to difference until the KPSS test, at 5 %, does not refuse a constant level.

    Source: Kwiatkowski, Phillips, Schmidt & Shin (1992), "Testing the null hypothesis of stationarity against
    the alternative of a unit root".
    """
    for count in range(most):
        if np.ptp(values) == 0 or _kpss(values) <= KPSS_CRITICAL:
            return count
        values = np.diff(values)
    return most


def _kpss(values: Floats) -> float:
    errors, size = values - values.mean(), len(values)
    lags = int(3 * np.sqrt(size) / 13)
    weights = 1 - np.arange(1, lags + 1) / (lags + 1)
    covariances = [errors[lag:] @ errors[: size - lag] for lag in range(lags + 1)]
    variance = (covariances[0] + 2 * weights @ np.array(covariances[1:])) / size
    return float(np.sum(np.cumsum(errors) ** 2) / (size**2 * variance))
