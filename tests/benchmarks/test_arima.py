"""That the ARIMA benchmark's own sides fit what they are given."""

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import arima
from benchmarks.arima import SIDES, Case, Fit, Job


@pytest.mark.parametrize("order", [None, [1, 1, 1, 0]])
def test_kubecast_fits_a_search_and_given_orders(order: list[int] | None) -> None:
    y = np.random.default_rng(0).normal(size=260).cumsum()
    case = Case(y, 240, [239, 247], 6)
    side = "kubecast" if order is None else "kubecast, given orders"

    result = SIDES[side](Job(case, 0, 30.0, order))

    assert result.forecasts.shape == (2, 6)
    assert np.isfinite(result.forecasts).all()
    assert result.order is not None
    assert order is None or result.order == order


def test_a_season_with_its_profile_is_fitted() -> None:
    y = np.sin(np.arange(300) * 2 * np.pi / 24) + np.random.default_rng(0).normal(0, 0.1, 300)

    result = SIDES["kubecast, with its profile"](Job(Case(y, 280, [], 6), 24, 30.0, None))

    assert result.order is not None


@pytest.mark.parametrize("order", [None, [1, 1, 1, 0]])
def test_a_fit_of_other_rows_comes_before_those_that_are_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: list[int] | None
) -> None:
    jobs = []

    def fixed(job: Job) -> Fit:
        jobs.append(job)
        return Fit(np.empty((0, 24)), float(len(jobs)), order)

    monkeypatch.setitem(SIDES, "kubecast", fixed)
    orders = tmp_path / "orders.json"
    orders.write_text(json.dumps([order]))
    options = {"side": "kubecast", "case": "noise-60", "folder": tmp_path, "series": 1, "time_limit": 30.0}
    result = arima.fit_all(Namespace(**options, orders=orders if order else None))
    assert result == {"seconds": [2.0], "mase": [None], "orders": [order]}
    warm, timed = jobs
    assert [job.order for job in jobs] == [order, order]
    assert (warm.case.fitted, timed.case.fitted) == (200, 60)
