"""Counts of forecast errors by size and lead time: what quantiles need of any number of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.errors import ModelError

Floats = NDArray[np.float64]

BITS = 11  # that a score is kept to: within .05 % of itself
LEAST = -8  # power of 2 below which scores are kept to the same absolute step, 2 ** -19
MOST = 2.0**1000  # a larger score counts as this one, which is beyond any quantile but the outermost
_HALF = 1 << (BITS - 1)  # steps in which a score doubles
_CODES = 22  # bits of a cell that hold the code of a score; those above hold its lead time
_ZERO = 1 << (_CODES - 1)  # what the score 0 is kept as
_JOINED_CELLS = 1 << 20  # from which counts of blocks are added up, to hold no more


@dataclass(frozen=True)
class ScoreCounts:
    """How many scores of each size there are at each lead time.

    The counts of blocks add up to those of all, exactly and in any order.

    Attributes:
        cells: A lead time and a size each, ascending by lead time and then by size; shape (cells,).
        counts: Scores in each of them; shape (cells,).
    """

    cells: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, lead_times: NDArray[np.integer], scores: Floats) -> Self:
        """Count the scores of a block.

        Args:
            lead_times: Of the scores, from 1; shape (scores,).
            scores: From ``conformal_scores``; shape (scores,).

        Raises:
            ModelError: A score is NaN.
        """
        if np.isnan(scores).any():
            raise ModelError(f"{np.isnan(scores).sum()} forecast errors are NaN; allowed: numbers")
        return cls(*np.unique((lead_times.astype(np.int64) << _CODES) + _coded(scores), return_counts=True))

    @classmethod
    def of_table(cls, scores: pd.DataFrame) -> Self:
        """Count the scores of a table from ``conformal_scores``."""
        return cls.of(scores["lead_time"].to_numpy(), scores["score"].to_numpy(dtype=np.float64))

    @classmethod
    def joined(cls, blocks: Iterable["ScoreCounts"]) -> Self:
        """Add blocks up, as they come."""
        held: list[ScoreCounts] = []
        most = _JOINED_CELLS
        for block in blocks:
            held.append(block)
            if sum(len(each.cells) for each in held) > most:
                held = [cls._added(held)]
                most = max(_JOINED_CELLS, 4 * len(held[0].cells))
        return cls._added(held)

    @classmethod
    def _added(cls, blocks: Sequence["ScoreCounts"]) -> Self:
        nothing = np.array([], dtype=np.int64)
        every = np.concatenate([nothing, *(each.cells for each in blocks)])
        counts = np.concatenate([nothing, *(each.counts for each in blocks)])
        cells, numbers = np.unique(every, return_inverse=True)
        return cls(cells, np.bincount(numbers, counts, len(cells)).astype(np.int64))

    @property
    def size(self) -> int:
        """The number of scores."""
        return int(self.counts.sum())

    def near(self, lead_time: int, least: int, horizon: int) -> Self:
        """The scores of a lead time, pooled with its neighbours until there are enough.

        Args:
            lead_time: From 1.
            least: Scores that are enough; one more lead time on each side at a time is taken until then.
            horizon: Lead times.
        """
        for distance in range(horizon):
            bounds = np.array([lead_time - distance, lead_time + distance + 1]) << _CODES
            first, last = np.searchsorted(self.cells, bounds)
            if self.counts[first:last].sum() >= least:
                break
        return type(self)(self.cells[first:last], self.counts[first:last])

    def quantiles(self, levels: Sequence[float]) -> Floats:
        """Conformal order statistics of all scores together, interpolated; shape (levels,).

        Those of n scores stand for the levels 1 / (n + 1) to n / (n + 1): Weibull's positions.
        """
        scores = _decoded(self.cells & ((1 << _CODES) - 1))
        order = np.argsort(scores, kind="stable")
        ends, ascending = np.cumsum(self.counts[order]), scores[order]
        last = ends[-1] - 1
        position = np.clip(np.asarray(levels) * (last + 2) - 1, 0, last)
        below = np.floor(position).astype(np.int64)
        low, high = (
            ascending[np.searchsorted(ends, at, side="right")] for at in (below, np.minimum(below + 1, last))
        )
        return np.asarray(low + (high - low) * (position - below))


def _coded(scores: Floats) -> NDArray[np.int64]:
    """A whole number for each score that is the larger the larger the score is."""
    mantissa, power = np.frexp(np.clip(scores, -MOST, MOST))
    above = np.maximum(power, LEAST)
    steps = np.rint(np.ldexp(mantissa, power - above + BITS)).astype(np.int64)
    return np.asarray(steps + np.sign(steps) * (above - LEAST) * _HALF + _ZERO)


def _decoded(codes: NDArray[np.int64]) -> Floats:
    """The scores of codes."""
    signed = codes - _ZERO
    size = np.abs(signed)
    doublings = np.maximum(size - _HALF, 0) >> (BITS - 1)
    steps = (size - doublings * _HALF).astype(np.float64)
    return np.asarray(np.sign(signed) * np.ldexp(steps, doublings + LEAST - BITS))
