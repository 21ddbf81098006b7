"""Rows of many series side by side, and the origins that look back on them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BATCH = 2**20  # rows that the origins of a batch look back on, each its own: what bounds the memory


@dataclass(frozen=True)
class Visible:
    """What origins see: the rows of their series up to their own.

    Attributes:
        y: Without gaps; of each series from its first row on, and after its last one anything; shape
            (series, rows).
        series: The series of each origin, as a position in ``y``; shape (origins,).
        ends: The last visible row of each origin, counted from its series' first; shape (origins,).
    """

    y: Floats
    series: Integers
    ends: Integers

    @cached_property
    def is_ratio(self) -> NDArray[np.bool_]:
        """Whether levels are compared by their ratio: no visible value is below 0; shape (origins,)."""
        negative = self.y < 0
        first = np.where(negative.any(axis=1), negative.argmax(axis=1), self.y.shape[1])
        return np.asarray(self.ends < first[self.series])

    @cached_property
    def mean_size(self) -> Floats:
        """The mean absolute value that each origin sees; shape (origins,)."""
        return np.asarray(np.cumsum(np.abs(self.y), axis=1)[self.series, self.ends] / (self.ends + 1))

    def rows(self, origins: Integers, rows: Integers) -> Floats:
        """The values in some rows of the series of some origins, NaN in those that they do not see.

        Args:
            origins: Positions; shape (some,).
            rows: At least 0; shape (some, ...).
        """
        last = self.ends[origins].reshape(-1, *[1] * (rows.ndim - 1))
        series = self.series[origins].reshape(last.shape)
        return np.where(rows <= last, self.y[series, np.minimum(rows, last)], np.nan)


def in_batches(y: Floats, indptr: Integers, ends: Integers) -> Iterator[tuple[Integers, Visible]]:
    """What origins see, in batches of about the same memory.

    Args:
        y: Of all series, one after another; shape (rows,).
        indptr: Positions of each series' first row in ``y``, then the number of rows; shape (series + 1,).
        ends: The last visible row of each origin, as a position in ``y``; shape (origins,).

    Yields:
        Positions of origins, of series of about the same length, and what these origins see.
    """
    codes = np.searchsorted(indptr, ends, side="right") - 1
    lengths = np.diff(indptr)[codes]
    order = np.lexsort((codes, lengths))
    while len(order):
        most = max(1, BATCH // int(lengths[order[0]]))
        areas = lengths[order[:most]] * np.arange(1, len(order[:most]) + 1)
        count = max(1, int(np.searchsorted(areas, BATCH, side="right")))
        own, order = order[:count], order[count:]
        series, position = np.unique(codes[own], return_inverse=True)
        rows = indptr[series][:, None] + np.arange(lengths[own[-1]])
        yield own, Visible(y[np.minimum(rows, len(y) - 1)], position, ends[own] - indptr[codes[own]])


def medians(values: Floats) -> Floats:
    """The median along the last axis of the values that are not NaN; NaN where all are."""
    count = np.count_nonzero(~np.isnan(values), axis=-1)[..., None]
    ordered = np.sort(values, axis=-1)
    lower, upper = (np.take_along_axis(ordered, at, axis=-1) for at in ((count - 1) // 2, count // 2))
    return np.asarray((lower + upper)[..., 0] / 2)
