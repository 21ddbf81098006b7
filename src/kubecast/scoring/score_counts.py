"""Counts of forecast errors by size and lead time: what quantiles need of any number of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.errors import ModelError

Floats = NDArray[np.float64]

BITS = 11  # that a score is kept to: within .05 % of itself
LEAST_POWER = -1000  # of 2, below which there is no smaller step
MOST_POWER = 1000  # of 2, as which every larger score counts
HELD_CELLS = 1 << 20  # of blocks, beyond which they are added up
_DOUBLING = 1 << (BITS - 1)  # steps from a score to its double
_CODE_BITS = 22  # of a cell, which hold the code of a score; those above hold its lead time
_ZERO = 1 << (_CODE_BITS - 1)  # the code of the score 0


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
            ModelError: A score is not finite.
        """
        wrong = np.count_nonzero(~np.isfinite(scores))
        if wrong:
            raise ModelError(
                f"{wrong} of {len(scores)} forecast errors over their series' scale are not finite;"
                " allowed: finite forecasts, and series that vary by more than the smallest numbers"
            )
        cells = (lead_times.astype(np.int64) << _CODE_BITS) + _coded(scores)
        return cls(*np.unique(cells, return_counts=True))

    @classmethod
    def of_table(cls, scores: pd.DataFrame) -> Self:
        """Count the scores of a table from ``conformal_scores``."""
        return cls.of(scores["lead_time"].to_numpy(), scores["score"].to_numpy(dtype=np.float64))

    @classmethod
    def joined(cls, blocks: Iterable["ScoreCounts"]) -> Self:
        """Add blocks up."""
        tables = [np.empty((2, 0), dtype=np.int64), *(np.stack([each.cells, each.counts]) for each in blocks)]
        every, counts = np.concatenate(tables, axis=1)
        cells, numbers = np.unique(every, return_inverse=True)
        return cls(cells, np.bincount(numbers, counts, len(cells)).astype(np.int64))

    def without(self, some: "ScoreCounts") -> Self:
        """The scores that are left when some, all of which are among these, are taken away."""
        counts = self.counts.copy()
        counts[np.searchsorted(self.cells, some.cells)] -= some.counts
        return type(self)(self.cells[counts > 0], counts[counts > 0])

    @property
    def size(self) -> int:
        """The number of scores."""
        return int(self.counts.sum())

    @cached_property
    def _until(self) -> NDArray[np.int64]:
        """Scores before each lead time, from 0 on; the last is that of all."""
        by_lead_time = np.bincount(self.cells >> _CODE_BITS, self.counts).astype(np.int64)
        return np.concatenate([[0], np.cumsum(by_lead_time)])

    def pooled(self, lead_time: int, least: int, horizon: int) -> Self:
        """The scores of a lead time with those of its neighbours, until they are enough.

        Args:
            lead_time: From 1.
            least: Scores that are enough; one more lead time on each side at a time is taken until then.
            horizon: Lead times.
        """
        distances, last = np.arange(horizon), len(self._until) - 1
        first = np.clip(lead_time - distances, 0, last)
        after = np.clip(lead_time + distances + 1, 0, last)
        is_enough = self._until[after] - self._until[first] >= least
        distance = int(np.argmax(is_enough)) if is_enough.any() else horizon - 1
        bounds = np.array([lead_time - distance, lead_time + distance + 1]) << _CODE_BITS
        rows = slice(*np.searchsorted(self.cells, bounds))
        return type(self)(self.cells[rows], self.counts[rows])

    def quantiles(self, levels: Sequence[float]) -> Floats:
        """Conformal order statistics of all scores together, interpolated; shape (levels,).

        Those of n scores stand for the levels 1 / (n + 1) to n / (n + 1): Weibull's positions.
        """
        scores = _decoded(self.cells & ((1 << _CODE_BITS) - 1))
        order = np.argsort(scores, kind="stable")
        ends, ascending = np.cumsum(self.counts[order]), scores[order]
        last = ends[-1] - 1
        position = np.clip(np.asarray(levels) * (last + 2) - 1, 0, last)
        below = np.floor(position).astype(np.int64)
        low, high = (
            ascending[np.searchsorted(ends, at, side="right")] for at in (below, np.minimum(below + 1, last))
        )
        return np.asarray(low + (high - low) * (position - below))


class ScoreTally:
    """Counts of blocks of series that are added up as they come."""

    def __init__(self) -> None:
        self._held: list[ScoreCounts] = []
        self._most = HELD_CELLS

    def add(self, block: ScoreCounts) -> None:
        """Add a block."""
        self._held.append(block)
        if sum(len(each.cells) for each in self._held) > self._most:
            self._most = max(HELD_CELLS, 4 * len(self.total().cells))

    def total(self) -> ScoreCounts:
        """The counts of all blocks so far."""
        self._held = [ScoreCounts.joined(self._held)]
        return self._held[0]


def _coded(scores: Floats) -> NDArray[np.int64]:
    """A whole number for each score; that of a larger score is not smaller."""
    mantissa, power = np.frexp(np.clip(scores, -(2.0**MOST_POWER), 2.0**MOST_POWER))
    above = np.maximum(power, LEAST_POWER)
    steps = np.rint(np.ldexp(mantissa, power - above + BITS)).astype(np.int64)
    return np.asarray(steps + np.sign(steps) * (above - LEAST_POWER) * _DOUBLING + _ZERO)


def _decoded(codes: NDArray[np.int64]) -> Floats:
    """The scores of codes."""
    signed = codes - _ZERO
    size = np.abs(signed)
    doublings = np.maximum(size - _DOUBLING, 0) >> (BITS - 1)
    steps = (size - doublings * _DOUBLING).astype(np.float64)
    return np.asarray(np.sign(signed) * np.ldexp(steps, doublings + LEAST_POWER - BITS))
