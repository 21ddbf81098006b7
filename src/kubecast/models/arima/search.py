"""The search of ARMA orders by conditional least squares.

Source: Hyndman & Khandakar (2008), "Automatic time series forecasting: the forecast package for R".
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from kubecast.models.arima.css import Criterion, Css, Orders, fit_css
from kubecast.models.arima.filter import Floats

MAX_P, MAX_Q = 2, 2  # seasonal
COARSE = (0, 1, 2, 4)  # orders that a stepwise search begins with
_MOVES = [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1)]  # of a pair of orders


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
    """
    tried: dict[Orders, tuple[float, Css | None]] = {}

    def attempt(candidates: Iterator[Orders]) -> None:
        for orders in candidates:
            if orders not in tried and limits.allow(orders, len(values)) and constant >= orders.constant:
                tried[orders] = _scored(values, orders, criterion)

    attempt(_coarse_grid(limits, constant) if stepwise else _all_orders(limits))
    count = 0
    while stepwise and tried and count < len(tried):
        count = len(tried)
        attempt(neighbours(min(tried, key=lambda orders: tried[orders][0])))
    score, best = min(tried.values(), key=lambda fit: fit[0], default=(float("inf"), None))
    if best is None or not np.isfinite(score):
        raise ValueError(f"no orders fit {len(values)} values")
    return best


def _scored(values: Floats, orders: Orders, criterion: Criterion) -> tuple[float, Css | None]:
    try:
        css = fit_css(values, orders)
    except (ValueError, np.linalg.LinAlgError):
        return float("inf"), None
    return css.criterion(criterion), css


def _coarse_grid(limits: Limits, constant: bool) -> Iterator[Orders]:
    """A coarse grid: from two or three orders alone, the steps often end far from the best."""
    seasonal = int(limits.period > 1)
    for p in COARSE:
        for q in COARSE:
            yield Orders(min(p, limits.p), min(q, limits.q), seasonal, seasonal, limits.period, constant)
    yield Orders(0, 0, period=limits.period)


def _all_orders(limits: Limits) -> Iterator[Orders]:
    long = range(MAX_P + 1) if limits.period > 1 else range(1)
    for p in range(limits.p + 1):
        for q in range(limits.q + 1):
            for seasonal_p in long:
                for seasonal_q in long:
                    for constant in (False, True):
                        yield Orders(p, q, seasonal_p, seasonal_q, limits.period, constant)


def neighbours(best: Orders) -> Iterator[Orders]:
    """Orders that differ by one in some of a pair, or in the constant."""
    for p, q in _MOVES:
        yield replace(best, p=best.p + p, q=best.q + q)
        yield replace(best, seasonal_p=best.seasonal_p + p, seasonal_q=best.seasonal_q + q)
    yield replace(best, constant=not best.constant)
