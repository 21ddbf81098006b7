"""Season profiles: causal, smoothed, the same ahead."""

import numpy as np
import pytest

from kubecast.models.arima.profile import season_profile


def test_season_profile_is_causal_and_smooths_each_phase() -> None:
    values = np.array([1.0, 10.0, 3.0, 20.0, 8.0, 30.0])
    profile = season_profile(values, [(2, 0.5)])
    np.testing.assert_array_equal(profile.before, [1, 10, 1, 10, 2, 15])
    flat = np.zeros((1, 3))
    np.testing.assert_array_equal(profile.values_ahead(np.array([3]), flat), [[2, 15, 2]])


def test_season_profile_without_smoothing_is_the_mean_so_far() -> None:
    values = np.random.default_rng(0).normal(size=(40, 2))
    profile = season_profile(values, [(4, 0.0)])
    np.testing.assert_allclose(profile.parts[0].after[-1], values[3::4].mean(axis=0))
    np.testing.assert_allclose(season_profile(values, [(4, 1.0)]).before[4:], values[:-4])


@pytest.mark.parametrize("seasons", [[(4, 0.3)], [(12, 0.0), (4, 0.6)], []])
def test_season_profile_ahead_is_what_the_later_rows_would_give(seasons: list[tuple[int, float]]) -> None:
    values = np.random.default_rng(1).normal(size=60).cumsum()
    profile = season_profile(values, seasons)
    ends, ahead = np.array([30, 37]), np.arange(1, 21)
    later = values[ends[:, None] + ahead]
    remainder = (values - profile.before)[ends[:, None] + ahead]
    np.testing.assert_allclose(profile.remainder_ahead(ends, later), remainder)
    np.testing.assert_allclose(profile.values_ahead(ends, remainder), later)
