"""Changes of level, one by one, as tests look at them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kubecast.data.level_shifts import Changes
from kubecast.data.visible import Floats, Visible

Find = Callable[[Visible, list[int]], Changes]


class Change(NamedTuple):
    """One of ``Changes``; ``stop`` is None where it lasts."""

    row: int
    stop: int | None
    change: float
    is_ratio: bool


def changes_of(find: Find, seen: Visible, season_lengths: list[int]) -> list[Change | None]:
    """What is found from each origin, None where nothing is."""
    changes: list[Change | None] = [None] * len(seen.ends)
    for at, row, stop, change, is_ratio in zip(*find(seen, season_lengths), strict=True):
        changes[at] = Change(int(row), int(stop) if stop >= 0 else None, float(change), bool(is_ratio))
    return changes


def changes_in(
    find: Find, y: Floats, ends: NDArray[np.int64], season_lengths: list[int]
) -> list[Change | None]:
    """What is found in one series."""
    seen = Visible(y[None], np.zeros(len(ends), dtype=np.int64), ends)
    return changes_of(find, seen, season_lengths)
