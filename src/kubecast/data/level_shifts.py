"""Lasting shifts of a series' level: found in the rows up to an origin, and taken out of what a model sees.

A model is fitted to a series at one level. Where that level has since changed for good (a tariff, a second
shop, another unit), the rows from the change on are brought back to the former level, the model forecasts
there, and its forecasts are brought to the present one: by a ratio, or by a difference where a series has
values below 0. A change counts once it has lasted two seasons, and only if the series had shown none nearly
as large before.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kubecast.data.visible import Floats, Integers, Visible, medians

BLOCK_ROWS = 6  # at least in one block, so that its median says something: whole seasons
LONGEST_PERIOD = 12  # blocks of a longer season that is matched too: the days of a week, months of a year
LEAST_EARLIER = 4  # contrasts before a change that say what is usual
USUAL = 1.75  # a shift is larger than so many times the largest contrast before it,
USUAL_OF_FEW = 10.0  # and than so many more over their number, since the largest of few is small by chance
LEAST_CHANGE = 0.1  # of the level; a smaller one is a trend's
LASTING = 0.75  # of the rows since, and of each of the newest two blocks, are nearer to the new level
PROFILE_PERIODS = 4  # before a change, whose medians are the level at each phase


class Changes(NamedTuple):
    """Changes of level, at most one for each origin; arrays of shape (changes,).

    Attributes:
        at: Positions of the origins that see them.
        row: The first at the new level, counted from the series' first.
        stop: The first at the usual level again; -1: it lasts.
        change: The new level over the usual one, or less the usual one.
        is_ratio: Which of the two.
    """

    at: Integers
    row: Integers
    stop: Integers
    change: Floats
    is_ratio: NDArray[np.bool_]

    @classmethod
    def none(cls) -> "Changes":
        """No change at all."""
        rows = np.zeros(0, dtype=np.int64)
        return cls(rows, rows, rows, np.zeros(0), np.zeros(0, dtype=bool))

    @classmethod
    def joined(cls, parts: list["Changes"]) -> "Changes":
        """Those of several, in the order of their origins."""
        columns = [np.concatenate(each) for each in zip(cls.none(), *parts, strict=True)]
        order = np.argsort(columns[0])
        return cls(*(column[order] for column in columns))


@dataclass(frozen=True)
class Periods:
    """The seasons by which rows are compared.

    Attributes:
        block: Rows of a block: whole seasons.
        period: Blocks of the longest season that is matched.
        lag: Blocks between the two pairs that are compared.
    """

    block: int
    period: int
    lag: int

    @classmethod
    def of_seasons(cls, lengths: list[int]) -> "Periods | None":
        """None for a series without a season, of which the newest values say where it is."""
        if lengths[0] < 2:
            return None
        block = lengths[0] * -(-BLOCK_ROWS // lengths[0])
        multiples = [m // block for m in lengths[1:] if m % block == 0 and m // block <= LONGEST_PERIOD]
        period = max([1, *multiples])
        return cls(block, period, period * -(-2 // period))

    @property
    def cycle(self) -> int:
        """Rows of the longest season that is matched."""
        return self.block * self.period

    @property
    def least_rows(self) -> int:
        """Rows in which a shift can be found."""
        return self.block * (LEAST_EARLIER + 2 * self.lag + 1)


def find_shifts(seen: Visible, season_lengths: list[int]) -> Changes:
    """The lasting shift that stands out most from each of several origins.

    Blocks of a season are counted back from the origin. The mean of two neighbours is compared with that of
    two a longer season before; the largest such contrast is a shift if it is well above all before it.

    Args:
        seen: What the origins see.
        season_lengths: In rows.
    """
    periods = Periods.of_seasons(season_lengths)
    if periods is None or seen.y.shape[1] < periods.least_rows:
        return Changes.none()
    return _confirmed(seen, *_candidates(seen, periods), periods)


def _candidates(seen: Visible, periods: Periods) -> tuple[Integers, Integers, Floats]:
    """The origins with a contrast well above those before it, its newer block, and what it had to exceed."""
    contrasts = _contrasts(seen, periods)
    with np.errstate(invalid="ignore"):
        sizes = np.where(np.isinf(contrasts), np.inf, np.abs(contrasts))
    earlier = np.fmax.accumulate(sizes[:, ::-1], axis=1)[:, ::-1][:, periods.lag :]
    count = np.isfinite(contrasts).sum(axis=1)[:, None] - np.arange(periods.lag, sizes.shape[1])
    sizes = sizes[:, : earlier.shape[1]]
    with np.errstate(divide="ignore", invalid="ignore"):
        least = earlier * (USUAL + USUAL_OF_FEW / count)
        excess = sizes / least
    excess = np.where((count >= LEAST_EARLIER) & np.isfinite(sizes) & (sizes > 0), excess, 0.0)
    best = excess.argmax(axis=1)
    at = np.flatnonzero(excess[np.arange(len(best)), best] > 1)
    return at, best[at], least[at, best[at]]


def _contrasts(seen: Visible, periods: Periods) -> Floats:
    """Of each two neighbouring blocks, newest first, the level less that of two a lag before.

    Returns:
        Shape (origins, contrasts); NaN before the series begins, infinite where a level is 0 and has no
        logarithm.
    """
    count, length = seen.y.shape
    totals = np.concatenate([np.zeros((count, 1)), np.cumsum(seen.y, axis=1)], axis=1)
    edges = seen.ends[:, None] + 1 - periods.block * np.arange(length // periods.block + 1)
    inside = edges[:, 1:] >= 0
    at_edges = totals[seen.series[:, None], np.maximum(edges, 0)]
    means = (at_edges[:, :-1] - at_edges[:, 1:]) / periods.block
    with np.errstate(divide="ignore", invalid="ignore"):
        levels = np.where(seen.is_ratio[:, None], np.log(np.maximum(means, 0.0)), means)
        levels = np.where(inside, levels, np.nan)
        pairs = (levels[:, :-1] + levels[:, 1:]) / 2
        contrasts = pairs[:, : -periods.lag] - pairs[:, periods.lag :]
    known = inside[:, periods.lag + 1 :]
    return np.where(known & ~np.isfinite(contrasts), np.inf, contrasts)


def _confirmed(seen: Visible, at: Integers, newer: Integers, least: Floats, periods: Periods) -> Changes:
    """The exact rows of the changes that contrasts point to, of those that have lasted until now.

    Args:
        seen: What the origins see.
        at: Positions of those with a contrast; shape (candidates,).
        newer: The newer block of the contrast: the change is after the older ones and before this one.
        least: What the change has to exceed, on the scale on which levels are compared.
        periods: Of the blocks.
    """
    if not len(at):
        return Changes.none()
    span = periods.lag * periods.block  # rows, in one of which the level changes
    first = seen.ends[at] + 1 - (newer + 1) * periods.block - span
    after = _deviations(seen, at, first, periods)
    step = np.arange(after.shape[1])
    most = PROFILE_PERIODS * periods.cycle
    row = _change_points(after[:, :span], medians(after[:, span : span + most]))[:, None]
    change = medians(np.where((step >= row) & (step < row + most), after, np.nan)[:, : span + most])
    nearer = (step >= row) & (np.sign(change)[:, None] * after > np.abs(change)[:, None] / 2)
    kept = _lasts(nearer, row[:, 0], seen.ends[at] + 1 - first, periods.block)
    kept &= np.abs(change) >= np.maximum(least, least_change(seen, at))
    at, row, change, is_ratio = at[kept], (first + row[:, 0])[kept], change[kept], seen.is_ratio[at[kept]]
    with np.errstate(over="ignore"):  # of differences
        return Changes(at, row, np.full(len(at), -1), np.where(is_ratio, np.exp(change), change), is_ratio)


def least_change(seen: Visible, at: Integers) -> Floats:
    """The smallest change that counts from some origins, on the scale on which levels are compared."""
    return LEAST_CHANGE * np.where(seen.is_ratio[at], 1.0, seen.mean_size[at])


def _deviations(seen: Visible, at: Integers, first: Integers, periods: Periods) -> Floats:
    """How far rows are from the median of their phase, less what is usual in the two blocks before a row.

    Returns:
        Of each row's ``first`` and those after it, NaN after an origin; shape (candidates, rows).
    """
    cycle, before = periods.cycle, 2 * periods.block
    back = np.arange(PROFILE_PERIODS) + 1
    rows = first[:, None, None] + np.arange(cycle)[:, None] - cycle * back
    inside = back <= (first // cycle)[:, None, None]
    profile = medians(np.where(inside, seen.rows(at, np.maximum(rows, 0)), np.nan))
    step = np.arange(-before, int((seen.ends[at] + 1 - first).max()))
    y, usual = seen.rows(at, first[:, None] + step), profile[:, step % cycle]
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = np.where(seen.is_ratio[at][:, None], np.log(y / usual), y - usual)
    deviations[~np.isfinite(deviations)] = np.nan  # a value of 0 has no logarithm
    return np.asarray(deviations[:, before:] - medians(deviations[:, :before])[:, None])


def _change_points(deviations: Floats, change: Floats) -> Integers:
    """The splits of rows into some near 0 and some near ``change`` that err least.

    Args:
        deviations: Shape (candidates, rows).
        change: Shape (candidates,).
    """
    gain = np.nan_to_num(np.abs(deviations) - np.abs(deviations - change[:, None]))
    errors = np.concatenate([np.zeros((len(gain), 1)), np.cumsum(gain, axis=1)], axis=1)
    return np.asarray(errors.argmin(axis=1))


def _lasts(nearer: NDArray[np.bool_], row: Integers, stop: Integers, block: int) -> NDArray[np.bool_]:
    """Whether a change has lasted since.

    Args:
        nearer: Whether a row is at the new level; False before ``row`` and from ``stop`` on; shape
            (candidates, rows).
        row: The first row of the change; shape (candidates,).
        stop: The first one that is not seen; shape (candidates,).
        block: Rows of a block.
    """
    length = stop - row
    newest = np.maximum(stop[:, None] - 2 * block + np.arange(2 * block), 0)
    of_blocks = np.take_along_axis(nearer, newest, axis=1).reshape(-1, 2, block).mean(axis=2)
    enough = nearer.sum(axis=1) / np.maximum(length, 1) >= LASTING
    return np.asarray((length >= 2 * block) & enough & (of_blocks.min(axis=1) >= LASTING))
