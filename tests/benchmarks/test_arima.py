"""That the ARIMA benchmark's own sides fit what they are given."""

import numpy as np
import pytest

from benchmarks.arima import SIDES, Case, Job


@pytest.mark.parametrize("order", [None, [1, 1, 1, 0]])
def test_kubecast_fits_a_search_and_given_orders(order: list[int] | None) -> None:
    y = np.random.default_rng(0).normal(size=260).cumsum()
    case = Case(y, 240, [239, 247], 6)
    side = "kubecast" if order is None else "kubecast, given orders"

    found = SIDES[side](Job(case, 0, 30.0, order))

    assert found.forecasts.shape == (2, 6)
    assert np.isfinite(found.forecasts).all()
    assert found.order is not None
    assert order is None or found.order == order


def test_a_season_with_its_profile_is_fitted() -> None:
    y = np.sin(np.arange(300) * 2 * np.pi / 24) + np.random.default_rng(0).normal(0, 0.1, 300)

    found = SIDES["kubecast, with its profile"](Job(Case(y, 280, [], 6), 24, 30.0, None))

    assert found.order is not None
