"""Ranges of series of a panel, each with about as many rows: what one task of several works on."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from kubecast.documents import Document


class SeriesRange(Document):
    """Some series that stand one after the other.

    Attributes:
        first: The name of the first of them.
        last: That of the last.
        series: Their number.
        rows: That of their rows.
    """

    first: str
    last: str
    series: int
    rows: int

    def __str__(self) -> str:
        """Name them for a person."""
        return (
            f"series {self.first} to {self.last} ({self.series:,})"
            if self.series > 1
            else f"series {self.first}"
        )


def row_counts(blocks: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Count the rows of each series.

    Args:
        blocks: At least one, in ascending order of series.

    Returns:
        ``unique_id`` and ``rows``.
    """
    counts = [block.groupby("unique_id", observed=True, sort=False).size() for block in blocks]
    return pd.concat(counts).rename("rows").reset_index()


def ranges_of(series: pd.DataFrame, count: int) -> list[SeriesRange]:
    """Divide series into ranges.

    Args:
        series: ``unique_id``, ascending, and ``rows``, their number, at least one.
        count: Of ranges; there are fewer where there are fewer series, or a few have most of the rows.
    """
    sizes = series["rows"].to_numpy(dtype=np.int64)
    middles = 2 * np.cumsum(sizes) - sizes
    number = middles * count // max(2 * int(sizes.sum()), 1)
    return [
        SeriesRange(
            first=str(own["unique_id"].iloc[0]),
            last=str(own["unique_id"].iloc[-1]),
            series=len(own),
            rows=int(own["rows"].sum()),
        )
        for _, own in series.groupby(number)
    ]


def in_ranges(
    blocks: Iterator[pd.DataFrame], ranges: Sequence[SeriesRange]
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Cut blocks of whole series where ranges begin.

    Args:
        blocks: In ascending order of series.
        ranges: Of all their series.

    Yields:
        The number of a range, ascending, and some of its rows.
    """
    lasts = np.array([each.last for each in ranges], dtype=object)
    for block in blocks:
        codes, names = pd.factorize(block["unique_id"])
        numbers = np.searchsorted(lasts, np.asarray(names, dtype=object))[codes]
        bounds = np.flatnonzero(np.diff(numbers, prepend=-1, append=-1))
        for begin, end in pairwise(bounds):
            yield int(numbers[begin]), block.iloc[begin:end].reset_index(drop=True)
