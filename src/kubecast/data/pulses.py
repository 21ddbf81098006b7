"""Pulses: changes of level that last less than a season, and of which models would repeat the echo.

A sale, a strike, an outage leaves a mark in the history, which a seasonal model forecasts again. A pulse
counts once it has ended, and only if the series had shown nothing nearly as large before.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kubecast.data.level_shifts import (
    PROFILE_PERIODS,
    USUAL,
    USUAL_OF_FEW,
    Change,
    Floats,
    Periods,
    least_change,
)

WIDTHS = (1 / 6, 1 / 3, 2 / 3)  # of a block, in which rows are averaged to find a pulse of about that length
USUAL_CYCLES = 3  # of the longest season, whose median is usual; as many more show how much varies
ENDED = 1 / 4  # of a block since a pulse, at least: noise is no end
LARGEST = 1e6  # deviation of a value without a logarithm


def find_pulses(y: Floats, ends: NDArray[np.int64], season_lengths: list[int]) -> list[Change | None]:
    """The largest recent pulse of one series, as it is seen from each of several rows.

    Args:
        y: Without gaps; shape (rows,).
        ends: The last visible row of each; shape (origins,).
        season_lengths: In rows.

    Returns:
        One for each of ``ends``; None where there is none in the newest four of the longest season.
    """
    periods = Periods.of_seasons(season_lengths)
    pulses: list[Change | None] = [None] * len(ends)
    if periods is None or len(y) < 2 * USUAL_CYCLES * periods.cycle:
        return pulses
    negative = np.flatnonzero(y < 0)
    first_negative = negative[0] if len(negative) else len(y)
    for is_ratio in (True, False):
        own = np.flatnonzero((ends < first_negative) == is_ratio)
        if len(own):
            for number, pulse in zip(own, _pulses(y, ends[own], is_ratio, periods), strict=True):
                pulses[number] = pulse
    return pulses


def _pulses(y: Floats, ends: NDArray[np.int64], is_ratio: bool, periods: Periods) -> Iterator[Change | None]:
    """The pulse from each of ``ends``, all of which see ratios or all differences."""
    deviations = _deviations(y, is_ratio, periods.cycle)
    excess, means = _excess(deviations, periods)
    for end in ends:
        first = max(0, end + 1 - PROFILE_PERIODS * periods.cycle)
        at = first + int(excess[first : end + 1].argmax())
        if excess[at] <= 1:
            yield None
            continue
        row, stop, change = _stretch(deviations[: end + 1], at, float(means[at]), periods.block)
        stands_out = abs(change) >= max(abs(means[at]) / excess[at], least_change(y[: end + 1], is_ratio))
        ended = end + 1 - stop >= max(2, ENDED * periods.block)
        if stands_out and ended and row <= at and 0 < stop - row < periods.block:
            yield Change(row, stop, float(np.exp(change)) if is_ratio else change, is_ratio)
        else:
            yield None


def _deviations(y: Floats, is_ratio: bool, cycle: int) -> Floats:
    """How far each row is from the median of its phase in the cycles before it; 0 in the first of them."""
    with np.errstate(divide="ignore", invalid="ignore"):  # a value of 0 has no logarithm
        levels = np.log(y) if is_ratio else y
        usual = np.median(
            [levels[lag * cycle : len(y) - (USUAL_CYCLES - lag) * cycle] for lag in range(3)], axis=0
        )
        deviations = levels[USUAL_CYCLES * cycle :] - usual
    deviations[~np.isfinite(deviations)] = LARGEST  # so that nothing stands out after it
    return np.concatenate([np.zeros(USUAL_CYCLES * cycle), deviations])


def _excess(deviations: Floats, periods: Periods) -> tuple[Floats, Floats]:
    """By how much the mean of the rows up to each exceeds all before it, and that mean.

    Returns:
        The excess, of several widths the largest: from 1 on it stands out; and the mean of that width.
    """
    block, cycle = periods.block, periods.cycle
    totals = np.concatenate([[0.0], np.cumsum(deviations[USUAL_CYCLES * cycle :])])
    excess, means = np.zeros(len(deviations)), np.zeros(len(deviations))
    for width in {max(1, round(share * block)) for share in WIDTHS}:
        own = (totals[width:] - totals[:-width]) / width
        gap = block + width  # a pulse is not compared with its own beginning
        earlier = np.maximum.accumulate(np.abs(own))[:-gap]
        own = own[gap:]
        count = np.arange(1, len(earlier) + 1) / width
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.abs(own) / (earlier * (USUAL + USUAL_OF_FEW / count))
        known = np.isfinite(ratio) & (np.abs(own) * width < LARGEST / 2)
        long_enough = np.arange(1, len(earlier) + 1) >= USUAL_CYCLES * cycle
        ratio = np.where(long_enough & known, ratio, 0.0)
        last = len(deviations) - len(own)
        larger = ratio > excess[last:]
        excess[last:][larger], means[last:][larger] = ratio[larger], own[larger]
    return excess, means


def _stretch(deviations: Floats, at: int, change: float, block: int) -> tuple[int, int, float]:
    """The stretch of rows around one that are nearer to a changed level than to the usual one.

    Args:
        deviations: Of all visible rows.
        at: A row in it, or just after.
        change: The mean deviation up to there.
        block: Rows of a block.

    Returns:
        Its first row, the first after it, and its median deviation.
    """
    first = max(at + 1 - 2 * block, 0)
    near = deviations[first : at + 1 + 2 * block]
    start = stop = 0
    for _ in range(3):  # the rows from their level, then the level from these rows
        start, stop = _largest_sum(np.abs(near) - np.abs(near - change))
        change = float(np.median(near[start:stop])) if stop > start else 0.0
    return first + start, first + stop, change


def _largest_sum(values: Floats) -> tuple[int, int]:
    """The stretch of values with the largest sum: its first, and the first after it."""
    totals = np.concatenate([[0.0], np.cumsum(values)])
    stop = int(np.argmax(totals - np.minimum.accumulate(totals)))
    return int(np.argmin(totals[: stop + 1])), stop
