"""Lasting shifts of a series' level: found in the rows up to an origin, and taken out of what a model sees.

A model is fitted to a series at one level. Where that level has since changed for good (a tariff, a second
shop, another unit), the rows from the change on are brought back to the former level, the model forecasts
there, and its forecasts are brought to the present one: by a ratio, or by a difference where a series has
values below 0. A change counts once it has lasted two seasons, and only if the series had shown none nearly
as large before.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BLOCK_ROWS = 6  # at least in one block, so that its median says something: whole seasons
LONGEST_PERIOD = 12  # blocks of a longer season that is matched too: the days of a week, months of a year
LEAST_EARLIER = 4  # contrasts before a change that say what is usual
USUAL = 1.75  # a shift is larger than so many times the largest contrast before it,
USUAL_OF_FEW = 10.0  # and than so many more over their number, since the largest of few is small by chance
LEAST_CHANGE = 0.1  # of the level; a smaller one is a trend's
LASTING = 0.75  # of the rows since, and of each of the newest two blocks, are nearer to the new level
PROFILE_PERIODS = 4  # before a change, whose medians are the level at each phase


class Change(NamedTuple):
    """A change of a series' level.

    Attributes:
        row: The first at the new level, counted from the series' first.
        stop: The first at the usual level again; None: it lasts.
        change: The new level over the usual one, or less the usual one.
        is_ratio: Which of the two.
    """

    row: int
    stop: int | None
    change: float
    is_ratio: bool


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


def find_shifts(y: Floats, ends: NDArray[np.int64], season_lengths: list[int]) -> list[Change | None]:
    """The lasting shift of one series that stands out most, as it is seen from each of several rows.

    Blocks of a season are counted back from the row. The mean of two neighbours is compared with that of two
    a longer season before; the largest such contrast is a shift if it is well above all before it.

    Args:
        y: Without gaps; shape (rows,).
        ends: The last visible row of each; shape (origins,).
        season_lengths: In rows.

    Returns:
        One for each of ``ends``; None where there is none.
    """
    periods = Periods.of_seasons(season_lengths)
    shifts: list[Change | None] = [None] * len(ends)
    if periods is None or len(y) < periods.least_rows:
        return shifts
    negative = np.flatnonzero(y < 0)
    is_ratio = ends < (negative[0] if len(negative) else len(y))
    for number, block, least in _candidates(y, ends, is_ratio, periods):
        visible = y[: ends[number] + 1]
        shifts[number] = _confirmed(visible, block, least, bool(is_ratio[number]), periods)
    return shifts


def _candidates(
    y: Floats, ends: NDArray[np.int64], is_ratio: NDArray[np.bool_], periods: Periods
) -> Iterator[tuple[int, int, float]]:
    """The origins with a contrast well above those before it, its newer block, and what it had to exceed."""
    contrasts = _contrasts(y, ends, is_ratio, periods)
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
    for number in np.flatnonzero(excess[np.arange(len(ends)), best] > 1):
        yield int(number), int(best[number]), float(least[number, best[number]])


def _contrasts(y: Floats, ends: NDArray[np.int64], is_ratio: NDArray[np.bool_], periods: Periods) -> Floats:
    """Of each two neighbouring blocks, newest first, the level less that of two a lag before.

    Returns:
        Shape (origins, contrasts); NaN before the series begins, infinite where a level is 0 and has no
        logarithm.
    """
    totals = np.concatenate([[0.0], np.cumsum(y)])
    edges = ends[:, None] + 1 - periods.block * np.arange(len(y) // periods.block + 1)
    inside = edges[:, 1:] >= 0
    edges = np.maximum(edges, 0)
    means = (totals[edges[:, :-1]] - totals[edges[:, 1:]]) / periods.block
    with np.errstate(divide="ignore", invalid="ignore"):
        levels = np.where(is_ratio[:, None], np.log(np.maximum(means, 0.0)), means)
        levels = np.where(inside, levels, np.nan)
        pairs = (levels[:, :-1] + levels[:, 1:]) / 2
        contrasts = pairs[:, : -periods.lag] - pairs[:, periods.lag :]
    known = inside[:, periods.lag + 1 :]
    return np.where(known & ~np.isfinite(contrasts), np.inf, contrasts)


def _confirmed(y: Floats, newer: int, least: float, is_ratio: bool, periods: Periods) -> Change | None:
    """The exact row of a change that a contrast points to, if it has lasted until now.

    Args:
        y: Of all visible rows.
        newer: The newer block of the contrast: the change is after the older ones and before this one.
        least: What the change has to exceed, on the scale on which levels are compared.
        is_ratio: Whether that is by their ratio.
        periods: Of the blocks.
    """
    block, cycle = periods.block, periods.cycle
    first = len(y) - (newer + periods.lag + 1) * block
    last = len(y) - (newer + 1) * block
    deviations = _deviations(y, first, block, cycle, is_ratio)
    after = deviations[2 * block :]
    most = PROFILE_PERIODS * cycle
    row = _change_point(after[: last - first], float(np.nanmedian(after[last - first :][:most])))
    change = float(np.nanmedian(after[row:][:most]))
    nearer = np.sign(change) * after[row:] > abs(change) / 2
    lasts = len(nearer) >= 2 * block and nearer.mean() >= LASTING
    lasts = lasts and nearer[-2 * block :].reshape(2, block).mean(axis=1).min() >= LASTING
    if not lasts or abs(change) < max(least, least_change(y, is_ratio)):
        return None
    return Change(first + row, None, float(np.exp(change)) if is_ratio else change, is_ratio)


def least_change(y: Floats, is_ratio: bool) -> float:
    """The smallest change that counts, on the scale on which levels are compared."""
    return LEAST_CHANGE if is_ratio else LEAST_CHANGE * float(np.mean(np.abs(y)))


def _deviations(y: Floats, first: int, block: int, cycle: int, is_ratio: bool) -> Floats:
    """How far each row is from the median of its phase, less what is usual in the two blocks before a row.

    Returns:
        Of the two blocks before ``first`` and all rows after them; shape (rows,).
    """
    periods = min(PROFILE_PERIODS, first // cycle)
    profile = np.median(y[first - periods * cycle : first].reshape(periods, cycle), axis=0)
    begin = first - 2 * block
    usual = profile[(np.arange(begin, len(y)) - first) % cycle]
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = np.log(y[begin:] / usual) if is_ratio else y[begin:] - usual
    deviations[~np.isfinite(deviations)] = np.nan  # a value of 0 has no logarithm
    return np.asarray(deviations - np.nanmedian(deviations[: 2 * block]))


def _change_point(deviations: Floats, change: float) -> int:
    """The split of rows into some near 0 and some near ``change`` that errs least; shape (rows,)."""
    gain = np.nan_to_num(np.abs(deviations) - np.abs(deviations - change))
    return int(np.argmin(np.concatenate([[0.0], np.cumsum(gain)])))
