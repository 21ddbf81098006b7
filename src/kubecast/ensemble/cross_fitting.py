"""Cross-fitting: each fold of origins is combined with weights that saw none of its targets.

Weights of a fold are fitted to the other folds, less the origins whose targets overlap it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.ensemble.recipe import Weights
from kubecast.ensemble.weights import Floats, ScaledForecasts, row_weights, solve
from kubecast.scoring.metrics import origin_codes, scorable

SHRUNK = ("greedy", "nnls")  # methods whose weights may be moved towards equal ones


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
    spans = validation["ds"].groupby(origin_codes(validation))
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


class Fitted(NamedTuple):
    """Weights fitted to some rows.

    Attributes:
        stacked: By the ensemble's method.
        half: Equal ones of the better half of the members; the stacked ones of a method that is not shrunk.
    """

    stacked: Weights
    half: Weights

    @classmethod
    def of(cls, data: ScaledForecasts, method: str, rounds: int) -> "Fitted":
        """Fit both."""
        stacked = solve(data, method, rounds)
        return cls(stacked, solve(data, "better_half") if method in SHRUNK else stacked)

    def shrunk(self, shrinkage: float) -> Weights:
        """The stacked weights, moved towards those of the half.

        Args:
            shrinkage: From 0, the weights as they are, to 1, those of the half.
        """
        if not shrinkage:
            return self.stacked
        return {
            name: (1 - shrinkage) * weight + shrinkage * self.half[name]
            for name, weight in self.stacked.items()
        }


@dataclass(frozen=True)
class FoldFit:
    """Weights that saw none of a fold's targets.

    Attributes:
        fitted: Of all members.
        best: The best member alone.
        without: By member, those of a stack without it; empty where there is one member.
        has_rows: Whether there were rows to fit to; else the weights are equal.
    """

    fitted: Fitted
    best: Weights
    without: Mapping[str, Fitted]
    has_rows: bool

    @classmethod
    def of(cls, others: ScaledForecasts, method: str, rounds: int) -> "FoldFit":
        """Fit to the rows apart from the fold."""
        left_out = others.members if len(others.members) > 1 else []
        without = {name: Fitted.of(others.without(name), method, rounds) for name in left_out}
        fitted = Fitted.of(others, method, rounds)
        return cls(fitted, solve(others, "best"), without, bool(len(others.y)))


def fit_folds(
    data: ScaledForecasts, folds: Mapping[int, Fold], method: str, rounds: int
) -> dict[int, FoldFit]:
    """By fold, the weights that are fitted to the rows apart from it.

    Args:
        data: The scored rows.
        folds: Over them, from ``scored_folds``.
        method: As of ``fit_weights``.
        rounds: Of greedy selection.
    """
    return {number: FoldFit.of(data.take(fold.others), method, rounds) for number, fold in folds.items()}


def cross_loss(data: ScaledForecasts, folds: Mapping[int, Fold], weights: Mapping[int, Weights]) -> float:
    """MASE over the rows of these folds, each combined with its weights."""
    errors, held = np.zeros(len(data.y)), np.zeros(len(data.y), dtype=bool)
    for number, fold in folds.items():
        combined = data.forecasts[fold.held] @ np.array(list(weights[number].values()))
        errors[fold.held] = np.abs(data.y[fold.held] - combined)
        held |= fold.held
    return float(row_weights(data.series[held]) @ errors[held])


def fold_losses(data: ScaledForecasts, folds: Mapping[int, Fold], weights: Mapping[int, Weights]) -> Floats:
    """The MASE of each fold that has scored rows, in their order; shape (folds,)."""
    held = {number: fold for number, fold in folds.items() if fold.held.any()}
    return np.array([cross_loss(data, {number: fold}, weights) for number, fold in held.items()])
