"""Pulses are found once they have ended, from the rows up to an origin alone."""

import numpy as np
import pytest
from numpy.typing import NDArray

from kubecast.data.pulses import find_pulses
from tests.support.changes import Change, changes_in
from tests.unit.data.test_level_shifts import SEASONS, Floats, seasonal

ROW = 52  # seasons before a pulse: six weeks say what is usual


def pulses(y: Floats, ends: NDArray[np.int64], season_lengths: list[int]) -> list[Change | None]:
    return changes_in(find_pulses, y, ends, season_lengths)


@pytest.mark.parametrize("season_lengths", SEASONS[:4])
@pytest.mark.parametrize("factor", [0.4, 2.5])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_pulse_is_found_when_it_has_ended_until_four_seasons_on(
    season_lengths: list[int], factor: float, share: float
) -> None:
    season = season_lengths[0]
    y, row = seasonal(season, seasons=120), ROW * season
    stop = row + int(share * season)
    y[row:stop] *= factor
    found = pulses(y, np.array([row - 1, stop - 1, stop + season // 2, row + 3 * season]), season_lengths)
    assert found[:2] == [None, None]
    for each in found[2:]:
        assert each is not None
        assert (each.row, each.stop, each.is_ratio) == (row, stop, True)
        assert each.change == pytest.approx(factor, rel=0.15)
    assert pulses(y, np.array([row + 6 * max(season_lengths)]), season_lengths) == [None]


@pytest.mark.parametrize("factor", [0.5, 2, 1000])
def test_lasting_shift_is_no_pulse(factor: float) -> None:
    y = seasonal(24)
    y[960:] *= factor
    assert not any(pulses(y, np.arange(900, len(y)), [24]))


@pytest.mark.parametrize("season_lengths", SEASONS)
def test_series_that_wander_have_no_pulse(season_lengths: list[int]) -> None:
    for seed in range(20):
        y = seasonal(season_lengths[0], seed=seed)
        assert not any(pulses(y, np.arange(season_lengths[0] * 12, len(y), 3), season_lengths))


def test_pulse_as_large_as_an_earlier_one_is_usual() -> None:
    y = seasonal(24)
    for row in (500, 960):
        y[row : row + 12] *= 2
    assert pulses(y, np.array([1010]), [24]) == [None]


def test_pulse_of_values_below_zero_is_a_difference() -> None:
    y = seasonal(24) - 100
    y[960:970] += 150
    (found,) = pulses(y, np.array([1010]), [24])
    assert found is not None
    assert (found.row, found.stop, found.is_ratio) == (960, 970, False)
    assert found.change == pytest.approx(150, rel=0.1)


@pytest.mark.filterwarnings("error")
def test_zeros_and_constants_have_no_pulse() -> None:
    assert not any(pulses(np.zeros(1000), np.arange(1000), [24]))
    assert not any(pulses(np.full(1000, 1 / 3), np.arange(1000), [24]))
    closed = seasonal(24)
    closed[600:610] = 0
    assert not any(pulses(closed, np.arange(len(closed)), [24]))
    assert not any(pulses(seasonal(24)[:50], np.arange(50), [24, 168]))


def test_rows_after_an_origin_are_not_seen() -> None:
    y = seasonal(24)
    y[960:972] *= 2
    ends = np.arange(955, 1200, 5)
    found = pulses(y, ends, [24])
    assert any(found)
    assert not all(found)
    for end, each in zip(ends, found, strict=True):
        later = np.where(np.arange(len(y)) > end, -5 * y, y)
        assert pulses(later, np.array([end]), [24]) == [each]
