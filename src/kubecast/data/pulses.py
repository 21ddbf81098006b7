"""Pulses: changes of level that last less than a season, and of which models would repeat the echo.

A sale, a strike, an outage leaves a mark in the history, which a seasonal model forecasts again. A pulse
counts once it has ended, and only if the series had shown nothing nearly as large before.
"""

import numpy as np

from kubecast.data.level_shifts import (
    PROFILE_PERIODS,
    USUAL,
    USUAL_OF_FEW,
    Changes,
    Periods,
    least_change,
)
from kubecast.data.visible import Floats, Integers, Visible, medians

WIDTHS = (1 / 6, 1 / 3, 2 / 3)  # of a block, in which rows are averaged to find a pulse of about that length
USUAL_CYCLES = 3  # of the longest season, whose median is usual; as many more show how much varies
ENDED = 1 / 4  # of a block since a pulse, at least: noise is no end
LARGEST = 1e6  # deviation of a value without a logarithm


def find_pulses(seen: Visible, season_lengths: list[int]) -> Changes:
    """The largest recent pulse from each of several origins: in the newest four of the longest season.

    Args:
        seen: What the origins see.
        season_lengths: In rows.
    """
    periods = Periods.of_seasons(season_lengths)
    if periods is None or seen.y.shape[1] < 2 * USUAL_CYCLES * periods.cycle:
        return Changes.none()
    by_ratio, by_difference = np.flatnonzero(seen.is_ratio), np.flatnonzero(~seen.is_ratio)
    return Changes.joined([_pulses(seen, at, periods) for at in (by_ratio, by_difference) if len(at)])


def _pulses(seen: Visible, at: Integers, periods: Periods) -> Changes:
    """The pulses from some origins, all of which see ratios or all differences."""
    is_ratio = bool(seen.is_ratio[at[0]])
    deviations = _deviations(seen.y, is_ratio, periods.cycle)
    excess, means = _excess(deviations, periods)
    at, top = _tops(seen, at, excess, PROFILE_PERIODS * periods.cycle)
    series, ends = seen.series[at], seen.ends[at]
    mean, least = means[series, top], np.abs(means[series, top]) / excess[series, top]
    row, stop, change = _stretches(deviations[series], ends, top, mean, periods.block)
    stands_out = np.abs(change) >= np.maximum(least, least_change(seen, at))
    ended = ends + 1 - stop >= max(2, ENDED * periods.block)
    kept = stands_out & ended & (row <= top) & (stop > row) & (stop - row < periods.block)
    change = np.exp(change[kept]) if is_ratio else change[kept]
    return Changes(at[kept], row[kept], stop[kept], change, np.full(len(change), is_ratio))


def _tops(seen: Visible, at: Integers, excess: Floats, most: int) -> tuple[Integers, Integers]:
    """The origins with a row that stands out among the newest ``most``, and the one that does most."""
    has_any = np.flatnonzero((excess > 1).any(axis=1))
    at = at[np.isin(seen.series[at], has_any)]
    rows = np.maximum(seen.ends[at][:, None] + np.arange(1 - most, 1), 0)
    near = excess[seen.series[at][:, None], rows]
    best = near.argmax(axis=1)[:, None]
    stands_out = np.take_along_axis(near, best, axis=1)[:, 0] > 1
    return at[stands_out], np.take_along_axis(rows, best, axis=1)[stands_out, 0]


def _deviations(y: Floats, is_ratio: bool, cycle: int) -> Floats:
    """How far each row is from the median of its phase in the cycles before it; 0 in the first of them."""
    with np.errstate(divide="ignore", invalid="ignore"):  # a value of 0 has no logarithm
        levels = np.log(y) if is_ratio else y
        one, two, three = (
            levels[:, lag * cycle : y.shape[1] - (USUAL_CYCLES - lag) * cycle] for lag in range(3)
        )
        usual = np.maximum(np.minimum(one, two), np.minimum(np.maximum(one, two), three))  # their median
        deviations = levels[:, USUAL_CYCLES * cycle :] - usual
    deviations[~np.isfinite(deviations)] = LARGEST  # so that nothing stands out after it
    return np.concatenate([np.zeros((len(y), USUAL_CYCLES * cycle)), deviations], axis=1)


def _excess(deviations: Floats, periods: Periods) -> tuple[Floats, Floats]:
    """By how much the mean of the rows up to each exceeds all before it, and that mean.

    Returns:
        The excess, of several widths the largest: from 1 on it stands out; and the mean of that width.
    """
    block, cycle = periods.block, periods.cycle
    sums = np.cumsum(deviations[:, USUAL_CYCLES * cycle :], axis=1)
    totals = np.concatenate([np.zeros((len(sums), 1)), sums], axis=1)
    excess, means = np.zeros(deviations.shape), np.zeros(deviations.shape)
    for width in {max(1, round(share * block)) for share in WIDTHS}:
        own = (totals[:, width:] - totals[:, :-width]) / width
        gap = block + width  # a pulse is not compared with its own beginning
        earlier = np.maximum.accumulate(np.abs(own), axis=1)[:, :-gap]
        own = own[:, gap:]
        rows = np.arange(1, earlier.shape[1] + 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.abs(own) / (earlier * (USUAL + USUAL_OF_FEW / (rows / width)))
        known = np.isfinite(ratio) & (np.abs(own) * width < LARGEST / 2)
        ratio = np.where((rows >= USUAL_CYCLES * cycle) & known, ratio, 0.0)
        last = deviations.shape[1] - own.shape[1]
        larger = ratio > excess[:, last:]
        excess[:, last:][larger], means[:, last:][larger] = ratio[larger], own[larger]
    return excess, means


def _stretches(
    deviations: Floats, ends: Integers, tops: Integers, change: Floats, block: int
) -> tuple[Integers, Integers, Floats]:
    """The stretches of rows around one that are nearer to a changed level than to the usual one.

    Args:
        deviations: Shape (candidates, rows).
        ends: The last visible rows; shape (candidates,), as the following.
        tops: A row in each, or just after.
        change: The mean deviation up to there.
        block: Rows of a block.

    Returns:
        The first row of each, the first after it, and its median deviation.
    """
    first = tops + 1 - 2 * block
    step = np.arange(4 * block)
    rows = first[:, None] + step
    visible = rows <= ends[:, None]
    near = np.take_along_axis(deviations, np.minimum(rows, ends[:, None]), axis=1)
    start = stop = np.zeros_like(first)
    for _ in range(3):  # the rows from their level, then the level from these rows
        gain = np.abs(near) - np.abs(near - change[:, None])
        start, stop = _largest_sums(np.where(visible, gain, 0.0))
        inside = (step >= start[:, None]) & (step < stop[:, None])
        change = np.where(stop > start, medians(np.where(inside, near, np.nan)), 0.0)
    return first + start, first + stop, change


def _largest_sums(values: Floats) -> tuple[Integers, Integers]:
    """The stretch of each row's values with the largest sum: its first, and the first after it."""
    totals = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    stop = (totals - np.minimum.accumulate(totals, axis=1)).argmax(axis=1)
    before = np.arange(totals.shape[1]) <= stop[:, None]
    return np.where(before, totals, np.inf).argmin(axis=1), stop
