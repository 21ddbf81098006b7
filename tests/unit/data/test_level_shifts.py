"""Lasting shifts of level are found from the rows up to an origin alone, and nothing else is one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from kubecast.data.level_shifts import find_shifts
from tests.support.changes import Change, changes_in

Floats = NDArray[np.float64]
SEASONS = [[24], [24, 168], [7], [12], [4]]
ROW = 40  # seasons before a change


def seasonal(season: int, seasons: int = 60, seed: int = 0) -> Floats:
    """A level of 100, one season and 5 % of noise that wanders a little."""
    random, step = np.random.default_rng(seed), np.arange(season * seasons)
    wander = np.cumsum(random.normal(0, 0.005, len(step)))
    return np.asarray(
        100
        * np.exp(
            0.3 * np.sin(2 * np.pi * step / season) + wander / season**0.5 + random.normal(0, 0.05, len(step))
        )
    )


def shifts(y: Floats, ends: NDArray[np.int64], season_lengths: list[int]) -> list[Change | None]:
    return changes_in(find_shifts, y, ends, season_lengths)


def shift(y: Floats, end: int, season_lengths: list[int]) -> Change | None:
    return shifts(y, np.array([end]), season_lengths)[0]


@pytest.mark.parametrize("season_lengths", SEASONS)
@pytest.mark.parametrize("factor", [0.4, 0.7, 1.5, 2.5, 1000])
def test_shift_is_found_where_it_is_two_seasons_after_it(season_lengths: list[int], factor: float) -> None:
    season = 8 if season_lengths == [4] else season_lengths[0]  # a block has two seasons of four
    y, row = seasonal(season_lengths[0]), ROW * season_lengths[0]
    y[row:] *= factor
    found = shift(y, row + 2 * season - 1, season_lengths)
    assert found is not None
    assert (found.row, found.stop, found.is_ratio) == (row, None, True)
    assert found.change == pytest.approx(factor, rel=0.15)


@pytest.mark.parametrize("season_lengths", SEASONS)
def test_shift_is_found_however_old_it_is_and_never_before_it_has_lasted(season_lengths: list[int]) -> None:
    season = 8 if season_lengths == [4] else season_lengths[0]
    y, row = seasonal(season_lengths[0]), ROW * season_lengths[0]
    y[row:] *= 1.8
    ends = np.arange(row - 5 * season, len(y))
    found = np.array([bool(each) for each in shifts(y, ends, season_lengths)])
    assert found.tolist() == (ends >= row + 2 * season - 1).tolist()


def test_shift_of_values_below_zero_is_a_difference() -> None:
    y = seasonal(24) - 100
    y[960:] += 80
    found = shift(y, 1100, [24])
    assert found is not None
    assert (found.row, found.is_ratio) == (960, False)
    assert found.change == pytest.approx(80, rel=0.1)


@pytest.mark.parametrize("season_lengths", SEASONS[:4])
@pytest.mark.parametrize("factor", [0.4, 2.5])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_change_that_lasts_less_than_a_season_is_no_shift(
    season_lengths: list[int], factor: float, share: float
) -> None:
    season = season_lengths[0]
    y, row = seasonal(season), ROW * season
    y[row : row + int(share * season)] *= factor
    assert not any(shifts(y, np.arange(row, row + 4 * season), season_lengths))


def test_level_that_returned_has_not_shifted() -> None:
    y = seasonal(24)
    y[900:1100] *= 2
    assert shift(y, 1099, [24]) is not None
    assert not any(shifts(y, np.arange(1148, len(y)), [24]))


def test_change_as_large_as_earlier_ones_is_usual() -> None:
    y = seasonal(24)
    for row in (200, 600):
        y[row : row + 200] *= 2
    y[1200:] *= 2
    assert shift(y, 1300, [24]) is None


@pytest.mark.parametrize("season_lengths", SEASONS)
def test_series_that_wander_have_no_shift(season_lengths: list[int]) -> None:
    for seed in range(20):
        y = seasonal(season_lengths[0], seed=seed)
        assert not any(shifts(y, np.arange(season_lengths[0] * 12, len(y), 3), season_lengths))


def test_series_without_a_season_or_with_few_of_them_have_no_shift() -> None:
    y = seasonal(24)
    y[960:] *= 2
    assert shift(y, 1200, [1]) is None
    assert shift(y[960 - 6 * 24 : 960 + 2 * 24], 8 * 24 - 1, [24]) is None


@pytest.mark.filterwarnings("error")
def test_zeros_and_constants_have_no_shift() -> None:
    assert not any(shifts(np.zeros(1000), np.arange(1000), [24]))
    assert not any(shifts(np.full(1000, 1 / 3), np.arange(1000), [24]))
    closed = seasonal(24)
    closed[600:700] = 0
    closed[960:] *= 2
    assert not any(shifts(closed, np.arange(len(closed)), [24]))


def test_rows_after_an_origin_are_not_seen() -> None:
    y = seasonal(24)
    y[960:] *= 1.7
    ends = np.arange(900, 1200, 7)
    found = shifts(y, ends, [24, 168])
    assert any(found)
    assert not all(found)
    for end, each in zip(ends, found, strict=True):
        later = np.where(np.arange(len(y)) > end, -5 * y, y)
        assert shifts(later, np.array([end]), [24, 168]) == [each]
