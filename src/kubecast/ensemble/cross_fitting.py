"""Cross-fitting: each block of origins is combined with weights that saw none of its targets.

Weights of a block are fitted to the other blocks, less the origins whose targets overlap it.
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
    """One block of origins, and the rows that may be fitted to when it is combined.

    Attributes:
        held: The block's rows, shape (rows,).
        others: Rows of other blocks whose targets are apart from the block's, shape (rows,).
    """

    held: NDArray[np.bool_]
    others: NDArray[np.bool_]


def folds(validation: pd.DataFrame) -> dict[int, Fold]:
    """Each block's rows, and those of other blocks whose origin's targets do not overlap the block's.

    Each series goes by its own clock; one that has no origin in the block, by that of all series.
    """
    spans = validation.groupby(["unique_id", "cutoff"], sort=False)["ds"]
    first, last = spans.transform("min"), spans.transform("max")
    by_block = {}
    for block in sorted(validation["block"].unique().tolist()):
        held = validation["block"] == block
        own = validation[held].groupby("unique_id")["ds"].agg(["min", "max"])
        begin = validation["unique_id"].map(own["min"]).fillna(own["min"].min())
        end = validation["unique_id"].map(own["max"]).fillna(own["max"].max())
        apart = (last < begin) | (first > end)
        by_block[int(block)] = Fold(held.to_numpy(), (~held & apart).to_numpy())
    return by_block


def scored_folds(
    blocks: Mapping[int, Fold], validation: pd.DataFrame, series: pd.DataFrame
) -> dict[int, Fold]:
    """The folds over the rows that are scored, which are those of ``ScaledForecasts``."""
    rows = scorable(validation, series).to_numpy()
    return {block: Fold(fold.held[rows], fold.others[rows]) for block, fold in blocks.items()}


def cross_fit(
    validation: pd.DataFrame,
    series: pd.DataFrame,
    members: list[str],
    method: str,
    rounds: int,
    shrinkage: float = 0.0,
) -> tuple["pd.Series[Any]", dict[int, Weights]]:
    """Combine each block with weights that saw none of its targets.

    Returns:
        The combined forecasts, on the index of ``validation``, and the weights by block. A block with nothing
        left to fit to has equal weights and is not among the second.
    """
    blocks = folds(validation)
    scored = scored_folds(blocks, validation, series)
    data = ScaledForecasts.from_table(validation, series, members)
    weights = cross_weights(data, scored, method, rounds, shrinkage)
    combined = pd.Series(np.nan, index=validation.index, dtype=np.float64)
    for block, fold in blocks.items():
        combined[fold.held] = combine_columns(validation[fold.held], weights[block])
    return combined, {block: weights[block] for block, fold in scored.items() if fold.others.any()}


def cross_weights(
    data: ScaledForecasts, blocks: Mapping[int, Fold], method: str, rounds: int = 0, shrinkage: float = 0.0
) -> dict[int, Weights]:
    """By block, the weights that are fitted to the rows apart from it."""
    others = {block: data.take(fold.others) for block, fold in blocks.items()}
    return {block: shrink(rows, solve(rows, method, rounds), shrinkage) for block, rows in others.items()}


def cross_loss(data: ScaledForecasts, blocks: Mapping[int, Fold], weights: Mapping[int, Weights]) -> float:
    """MASE over the rows of these blocks, each combined with its weights."""
    combined, held = np.zeros(len(data.y)), np.zeros(len(data.y), dtype=bool)
    for block, fold in blocks.items():
        combined[fold.held] = data.forecasts[fold.held] @ np.array(list(weights[block].values()))
        held |= fold.held
    return data.take(held).loss(combined[held])


def block_losses(data: ScaledForecasts, blocks: Mapping[int, Fold], weights: Mapping[int, Weights]) -> Floats:
    """The MASE of each block that has scored rows, in their order; shape (blocks,)."""
    held = {block: fold for block, fold in blocks.items() if fold.held.any()}
    return np.array([cross_loss(data, {block: fold}, weights) for block, fold in held.items()])
