"""Cross-fitting: each fold of origins is combined with weights that saw none of its targets.

Weights of a fold are fitted to the other folds, less the origins whose targets overlap it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

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


@dataclass(frozen=True)
class FoldSpans:
    """When the targets of each fold begin and end, which tells the rows that are apart from it.

    Attributes:
        frame: ``begin`` and ``end``, indexed by ``fold`` and ``unique_id``, in ascending order.
    """

    frame: pd.DataFrame

    @classmethod
    def of(cls, validation: pd.DataFrame) -> Self:
        """Find those of some whole series in their rows of the validation split."""
        spans = validation.groupby(["fold", "unique_id"], observed=True)["ds"].agg(["min", "max"])
        return cls(spans.set_axis(["begin", "end"], axis=1))

    @classmethod
    def joined(cls, blocks: Iterable["FoldSpans"]) -> Self:
        """Those of several blocks of series."""
        frames = [block.frame.reset_index().astype({"unique_id": object}) for block in blocks]
        return cls(pd.concat(frames).set_index(["fold", "unique_id"]).sort_index())

    @property
    def numbers(self) -> list[int]:
        """The folds that have targets, ascending."""
        return [*self._extremes]

    @cached_property
    def _extremes(self) -> dict[int, tuple[pd.Timestamp, pd.Timestamp]]:
        """By fold, the begin and the end over all series."""
        folds = self.frame.groupby(level="fold")
        earliest, latest = folds["begin"].min(), folds["end"].max()
        return {int(number): (earliest[number], latest[number]) for number in earliest.index}

    def folds(self, validation: pd.DataFrame) -> dict[int, Fold]:
        """By fold, its rows among some, and those of other folds whose origin's targets do not overlap it.

        Each series goes by its own clock; one that has no origin in the fold, by that of all series.

        Args:
            validation: Rows of the validation split, of whole origins.
        """
        spans = validation["ds"].groupby(origin_codes(validation))
        first, last = spans.transform("min").to_numpy(), spans.transform("max").to_numpy()
        codes, names = pd.factorize(validation["unique_id"])
        by_fold = {}
        for number, (earliest, latest) in self._extremes.items():
            held = (validation["fold"] == number).to_numpy()
            keys = pd.MultiIndex.from_product([[number], pd.Index(names, dtype=object)])
            own = self.frame.reindex(keys)
            begin = own["begin"].fillna(earliest).to_numpy()[codes]
            end = own["end"].fillna(latest).to_numpy()[codes]
            by_fold[number] = Fold(held, ~held & ((last < begin) | (first > end)))
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
