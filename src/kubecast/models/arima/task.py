"""The task of a fit: the rows of one series, and how every series is fitted."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kubecast.models.arima.filter import Floats
from kubecast.models.arima.recipe import Recipe
from kubecast.models.arima.settings import ArimaSettings

Engine = Literal["css", "pmdarima", "statsforecast", "burg"]

MIN_ROWS = 20  # fewer do not distinguish one order from another
FEWEST_ROWS = 6  # for a difference and a coefficient or two


@dataclass(frozen=True)
class Task:
    """The rows of one series that a fit sees.

    Attributes:
        unique_id: Of the series.
        y: Its target; shape (rows,).
        observed: Whether it was observed; shape (rows,).
        x: Regressors; shape (rows, columns).
        anchor: Timestamp of the first row.
        recipes: To be fitted again; None: search.
    """

    unique_id: str
    y: Floats
    observed: NDArray[np.bool_]
    x: Floats
    anchor: str
    recipes: list[Recipe] | None


@dataclass(frozen=True)
class Search:
    """The search of every series' orders and profile.

    Attributes:
        settings: See ``ArimaSettings``.
        engine: Searches and estimates.
        period: Of a seasonal ARIMA, else 1.
        profiles: Season lengths of the profiles that are tried.
        horizon: In steps.
    """

    settings: ArimaSettings
    engine: Engine
    period: int
    profiles: list[int]
    horizon: int

    def largest_orders(self, rows: int) -> tuple[int, int, int]:
        """The largest p, d and q of a series of so many rows: of few, one coefficient of each kind."""
        p, d, q = self.settings.max_order
        return (p, d, q) if rows >= MIN_ROWS else (min(p, 1), d, min(q, 1))
