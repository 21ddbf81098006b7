"""Cross-fitting: each fold of origins is combined with weights that saw none of its targets.

Weights of a fold are fitted to the other folds, less the origins whose targets overlap it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.ensemble.recipe import Weights
from kubecast.ensemble.weights import Floats, ScaledForecasts, combine_columns, shrink, solve
from kubecast.scoring.metrics import scorable


@dataclass(frozen=True)
class Fold:
    """One fold of origins, and the rows that may be fitted to when it is combined.

    Attributes:
        held: The fold's rows, shape (rows,).
        others: Rows of other folds whose targets are apart from the fold's, shape (rows,).
    """

    held: NDArray[np.bool_]
    others: NDArray[np.bool_]


def make_folds(validation: pd.DataFrame) -> dict[int, Fold]:
    """Each fold's rows, and those of other folds whose origin's targets do not overlap the fold's.

    Each series goes by its own clock; one that has no origin in the fold, by that of all series.
    """
    spans = validation.groupby(["unique_id", "cutoff"], sort=False)["ds"]
    first, last = spans.transform("min"), spans.transform("max")
    by_fold = {}
    for number in sorted(validation["fold"].unique().tolist()):
        held = validation["fold"] == number
        own = validation[held].groupby("unique_id")["ds"].agg(["min", "max"])
        begin = validation["unique_id"].map(own["min"]).fillna(own["min"].min())
        end = validation["unique_id"].map(own["max"]).fillna(own["max"].max())
        apart = (last < begin) | (first > end)
        by_fold[int(number)] = Fold(held.to_numpy(), (~held & apart).to_numpy())
    return by_fold


def scored_folds(
    folds: Mapping[int, Fold], validation: pd.DataFrame, series: pd.DataFrame
) -> dict[int, Fold]:
    """The folds over the rows that are scored, which are those of ``ScaledForecasts``."""
    rows = scorable(validation, series).to_numpy()
    return {number: Fold(fold.held[rows], fold.others[rows]) for number, fold in folds.items()}


def cross_fit(
    validation: pd.DataFrame,
    series: pd.DataFrame,
    members: list[str],
    method: str,
    rounds: int,
    shrinkage: float = 0.0,
) -> tuple["pd.Series[Any]", dict[int, Weights]]:
    """Combine each fold with weights that saw none of its targets.

    Returns:
        The combined forecasts, on the index of ``validation``, and the weights by fold. A fold with nothing
        left to fit to has equal weights and is not among the second.
    """
    folds = make_folds(validation)
    scored = scored_folds(folds, validation, series)
    data = ScaledForecasts.from_table(validation, series, members)
    weights = cross_weights(data, scored, method, rounds, shrinkage)
    combined = pd.Series(np.nan, index=validation.index, dtype=np.float64)
    for number, fold in folds.items():
        combined[fold.held] = combine_columns(validation[fold.held], weights[number])
    return combined, {number: weights[number] for number, fold in scored.items() if fold.others.any()}


def cross_weights(
    data: ScaledForecasts, folds: Mapping[int, Fold], method: str, rounds: int = 0, shrinkage: float = 0.0
) -> dict[int, Weights]:
    """By fold, the weights that are fitted to the rows apart from it."""
    others = {number: data.take(fold.others) for number, fold in folds.items()}
    return {number: shrink(rows, solve(rows, method, rounds), shrinkage) for number, rows in others.items()}


def cross_loss(data: ScaledForecasts, folds: Mapping[int, Fold], weights: Mapping[int, Weights]) -> float:
    """MASE over the rows of these folds, each combined with its weights."""
    combined, held = np.zeros(len(data.y)), np.zeros(len(data.y), dtype=bool)
    for number, fold in folds.items():
        combined[fold.held] = data.forecasts[fold.held] @ np.array(list(weights[number].values()))
        held |= fold.held
    return data.take(held).loss(combined[held])


def fold_losses(data: ScaledForecasts, folds: Mapping[int, Fold], weights: Mapping[int, Weights]) -> Floats:
    """The MASE of each fold that has scored rows, in their order; shape (folds,)."""
    held = {number: fold for number, fold in folds.items() if fold.held.any()}
    return np.array([cross_loss(data, {number: fold}, weights) for number, fold in held.items()])
