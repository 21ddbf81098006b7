"""Weights of an ensemble's members, fitted to scaled forecasts in which each series weighs the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.ensemble.recipe import Weights
from kubecast.errors import ConfigError
from kubecast.scoring.metrics import scorable

MAX_ROWS = 50_000  # of a greedy fit: drawn at random from more, since a dozen weights need no more

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ScaledForecasts:
    """Scored rows in units of their series' scale.

    Attributes:
        members: Names of the columns.
        series: Each row's series as a number, shape (rows,).
        y: Shape (rows,).
        forecasts: Shape (rows, members).
    """

    members: list[str]
    series: NDArray[np.int64]
    y: Floats
    forecasts: Floats

    @classmethod
    def from_table(cls, rows: pd.DataFrame, series: pd.DataFrame, members: list[str]) -> Self:
        """Scale a table of forecasts; rows that are not scored are left out."""
        rows = rows[scorable(rows, series)]
        scale = rows["unique_id"].map(series.set_index("unique_id")["scale"]).to_numpy(dtype=np.float64)
        codes = pd.factorize(rows["unique_id"])[0].astype(np.int64)
        values = rows[members].to_numpy(dtype=np.float64) / scale[:, None]
        return cls(members, codes, rows["y"].to_numpy(dtype=np.float64) / scale, values)

    @cached_property
    def row_weights(self) -> Floats:
        """Each row's weight; shape (rows,)."""
        return row_weights(self.series)

    def take(self, rows: NDArray[Any]) -> "ScaledForecasts":
        """Some of the rows, by a mask or by number."""
        return ScaledForecasts(self.members, self.series[rows], self.y[rows], self.forecasts[rows])

    def without(self, member: str) -> "ScaledForecasts":
        """All rows, without the column of one member."""
        kept = [name != member for name in self.members]
        names = [name for name in self.members if name != member]
        return ScaledForecasts(names, self.series, self.y, self.forecasts[:, kept])

    def loss(self, combined: Floats) -> float:
        """MASE: the mean over series of each one's mean absolute scaled error."""
        return float(self.row_weights @ np.abs(self.y - combined))


def fit_weights(
    forecasts: pd.DataFrame,
    series: pd.DataFrame,
    members: list[str],
    method: str = "greedy",
    rounds: int = 50,
) -> Weights:
    """Fit the weights of a linear combination on scaled forecasts, each series weighing the same.

    Args:
        forecasts: With a column for each member.
        series: ``unique_id``, ``scale``.
        members: Columns of ``forecasts``.
        method: ``greedy``: forward selection with replacement on the mean absolute scaled error. ``nnls``:
            non-negative least squares, normalised. ``ols``: least squares without bounds or intercept, for
            one series; its weights need not sum to 1. ``equal``.
        rounds: Of greedy selection.

    Returns:
        By member, in their order; all but OLS's are at least 0 and sum to 1. Equal where no row is scored.

    Raises:
        ConfigError: OLS with more than one series.

    Source: greedy: Caruana et al. (2004), "Ensemble selection from libraries of models".
    """
    return solve(ScaledForecasts.from_table(forecasts, series, members), method, rounds)


def solve(data: ScaledForecasts, method: str, rounds: int = 0) -> Weights:
    """Fit weights by a method of ``fit_weights``, or ``best`` or ``better_half``: equal ones of the best."""
    solvers = {
        "greedy": lambda: _greedy(_thinned(data), rounds),
        "nnls": lambda: _nnls(data),
        "ols": lambda: _ols(data),
        "best": lambda: _best(data, 1),
        "better_half": lambda: _best(data, max(2, -(-len(data.members) // 2))),
    }
    values = np.ones(len(data.members)) if method == "equal" or not len(data.y) else solvers[method]()
    if not values.any():
        values = np.ones(len(data.members))
    # Those of least squares are as they come: they need not sum to 1.
    values = values if method == "ols" and len(data.y) else values / values.sum()
    return dict(zip(data.members, values.tolist(), strict=True))


def row_weights(series: NDArray[np.int64]) -> Floats:
    """Each row's weight, such that every series weighs the same and all sum to 1.

    Args:
        series: Each row's series as a number, shape (rows,).
    """
    sizes = np.bincount(series)
    return np.asarray(1 / sizes[series] / max(int(np.count_nonzero(sizes)), 1))


def combine_columns(table: pd.DataFrame, weights: Mapping[str, float]) -> Floats:
    """The weighted sum of the members' columns; shape (rows,)."""
    values = table[list(weights)].to_numpy(dtype=np.float64)
    return np.asarray(values @ np.array(list(weights.values())))


def _thinned(data: ScaledForecasts) -> ScaledForecasts:
    if len(data.y) <= MAX_ROWS:
        return data
    return data.take(np.sort(np.random.default_rng(0).choice(len(data.y), MAX_ROWS, replace=False)))


def _greedy(data: ScaledForecasts, rounds: int) -> Floats:
    errors, weights = (data.y[:, None] - data.forecasts).T.copy(), data.row_weights
    total, counts = np.zeros(len(weights)), np.zeros(len(errors))
    best, smallest = counts, np.inf
    for size in range(1, rounds + 1):
        losses = [float(weights @ np.abs(total + error)) / size for error in errors]
        chosen = int(np.argmin(losses))
        total = total + errors[chosen]
        counts[chosen] += 1
        if losses[chosen] < smallest * (1 - 1e-9):
            best, smallest = counts / size, losses[chosen]
    return best


def _best(data: ScaledForecasts, count: int) -> Floats:
    """Equal weights of the members with the smallest losses."""
    losses = [data.loss(column) for column in data.forecasts.T]
    values = np.zeros(len(losses))
    values[np.argsort(losses, kind="stable")[:count]] = 1
    return values


def _nnls(data: ScaledForecasts) -> Floats:
    from scipy.optimize import nnls

    root = np.sqrt(data.row_weights)[:, None]
    # The triangle of a QR decomposition has the same least squares in a few rows.
    triangle = np.asarray(np.linalg.qr(np.column_stack([data.forecasts, data.y]) * root, mode="r"))
    return np.asarray(nnls(triangle[:, :-1], triangle[:, -1])[0])


def _ols(data: ScaledForecasts) -> Floats:
    from sklearn.linear_model import LinearRegression

    if (series := len(np.unique(data.series))) > 1:
        raise ConfigError(
            f"ensemble.method ols with {series} series; allowed: one series, or greedy, nnls, equal"
        )
    # An intercept is in units of one level and would not carry over to another.
    model = LinearRegression(fit_intercept=False).fit(data.forecasts, data.y)
    return np.asarray(model.coef_, dtype=np.float64)
