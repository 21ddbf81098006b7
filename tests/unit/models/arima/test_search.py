"""The search of orders by conditional least squares."""

import numpy as np
import pytest

from kubecast.models.arima import search
from kubecast.models.arima.css import (
    Criterion,
    Css,
    Orders,
    fit_css,
)
from kubecast.models.arima.filter import Floats
from kubecast.models.arima.search import Limits, neighbours, search_css
from tests.unit.models.arima.support import simulated


@pytest.mark.parametrize("stepwise", [True, False])
def test_a_search_finds_the_orders_of_a_simulated_series(stepwise: bool) -> None:
    css = search_css(simulated([0.6, -0.3], []), Limits(4, 4), "bic", True, stepwise)
    assert css.orders == Orders(2, 0)


@pytest.mark.parametrize("criterion", ["aic", "aicc", "bic"])
def test_a_stepwise_search_ends_where_no_neighbour_is_better(criterion: Criterion) -> None:
    values, limits = simulated([0.6, -0.3], [0.5]), Limits(5, 5)
    best = search_css(values, limits, criterion, True, True)
    near = [orders for orders in neighbours(best.orders) if limits.allow(orders, len(values))]
    assert best.criterion(criterion) <= min(fit_css(values, orders).criterion(criterion) for orders in near)


@pytest.mark.slow
def test_a_stepwise_search_fits_fewer_orders_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[Orders] = []

    def counted(values: Floats, orders: Orders) -> Css:
        fitted.append(orders)
        return fit_css(values, orders)

    monkeypatch.setattr(search, "fit_css", counted)
    for stepwise in (True, False):
        search_css(simulated([0.6], [0.3], rows=300), Limits(5, 5), "aic", True, stepwise)
    every = 2 * 6 * 6
    assert len(fitted) - every <= every / 2
    assert len(set(fitted[-every:])) == every


@pytest.mark.slow
def test_a_season_of_a_week_of_hours_is_searched() -> None:
    ar = np.convolve([1, -0.5], [1, *[0] * 167, -0.7])
    css = search_css(simulated(list(-ar[1:]), [], rows=1_500), Limits(2, 1, 168), "bic", False, True)
    assert (css.orders.p, css.orders.period) == (1, 168)
    assert css.orders.seasonal_p


def test_no_order_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="no orders fit 2 values"):
        search_css(np.arange(2.0), Limits(1, 1), "aic", False, True)
