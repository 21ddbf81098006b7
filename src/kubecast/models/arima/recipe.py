"""One ARIMA of a series: its orders, its season profile, its parameters and its forecasts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kubecast.models.arima.filter import Arima, Floats, Ints
from kubecast.models.arima.profile import Smoothed, season_profile
from kubecast.models.arima.regressors import constant_column


@dataclass(frozen=True)
class Recipe:
    """Orders and season profile of an ARIMA, which are fitted again without a search.

    Attributes:
        order: p, d, q.
        seasonal: P, D, Q.
        constant: Whether there is a mean or, after one difference, a drift.
        seasons: Of the profile, the longest first: length and smoothing of each.
        weight: Share in the series' forecast.
    """

    order: tuple[int, int, int]
    seasonal: tuple[int, int, int] = (0, 0, 0)
    constant: bool = False
    seasons: tuple[Smoothed, ...] = ()
    weight: float = 1.0

    @property
    def start(self) -> int:
        """Number of rows that the profile takes before it expects anything."""
        return sum(length for length, _ in self.seasons)


@dataclass(frozen=True)
class SeriesModel:
    """One ARIMA of a series.

    Attributes:
        recipe: Its orders and its season profile.
        arima: Its parameters.
        columns: Positions of the regressors used, among covariates and then Fourier terms.
        beta: Their coefficients, after the constant's where there is one.
        anchor: The first row that was fitted to: time zero of the Fourier terms.
    """

    recipe: Recipe
    arima: Arima
    columns: list[int]
    beta: list[float]
    anchor: str = ""

    @property
    def needed(self) -> int:
        """Number of rows that an origin must have behind it."""
        return self.recipe.start + self.arima.memory


def read_recipe(fields: Mapping[str, Any]) -> Recipe:
    """Read a recipe from JSON."""
    tuples = {"order": tuple(fields["order"]), "seasonal": tuple(fields["seasonal"])}
    tuples["seasons"] = tuple((int(length), float(smoothing)) for length, smoothing in fields["seasons"])
    return Recipe(**{**fields, **tuples})


def read_series_model(fields: Mapping[str, Any]) -> SeriesModel:
    """Read a series' model from JSON."""
    arima = {**fields["arima"], "differences": tuple(fields["arima"]["differences"])}
    return SeriesModel(**{**fields, "recipe": read_recipe(fields["recipe"]), "arima": Arima(**arima)})


def forecast_series(model: SeriesModel, y: Floats, x: Floats, x_future: Floats, ends: Ints) -> Floats:
    """Forecast one series from many origins by one pass over its history.

    Args:
        model: Of the series.
        y: Its history, shape (rows,).
        x: Its regressors, shape (rows, columns).
        x_future: The same after each origin, shape (origins, horizon, columns).
        ends: Each origin's row, at least ``model.needed``; shape (origins,).

    Returns:
        Shape (origins, horizon).
    """
    recipe, arima, horizon = model.recipe, model.arima, x_future.shape[1]
    profile = season_profile(y, recipe.seasons)
    x_profile = season_profile(x[:, model.columns], recipe.seasons)
    design = (x[:, model.columns] - x_profile.before)[profile.start :]
    future = x_profile.remainder_ahead(ends, x_future[:, :, model.columns])
    local = ends - profile.start
    if recipe.constant:
        constants = constant_column(len(y) - profile.start + horizon, arima)
        design = np.column_stack([constants[: len(design)], design])
        later = constants[local[:, None] + 1 + np.arange(horizon)]
        future = np.concatenate([later[:, :, None], future], axis=2)
    beta = np.asarray(model.beta)
    remainder = (y - profile.before)[profile.start :] - design @ beta
    return profile.values_ahead(ends, arima.forecast(remainder, local, horizon) + future @ beta)
