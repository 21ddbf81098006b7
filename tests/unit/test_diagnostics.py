"""What errors are like."""

import numpy as np
import pandas as pd
import pytest

from kubecast.diagnostics import LAGS, residuals, season_phase
from tests.unit.forecast_tables import forecasts, scales


def test_normal_errors_lie_on_the_diagonal() -> None:
    table = forecasts({"good": 2.0}, series=5, origins=60, parts=("test",))
    found = residuals(table, scales(table), "good")
    assert found is not None
    assert found.count == sum(found.counts) == len(table)
    assert found.mean == pytest.approx(0, abs=0.2)
    assert found.deviation == pytest.approx(2, rel=0.05)
    assert np.abs(np.subtract(found.normal, found.observed)).max() < 0.5
    assert found.band is not None
    assert np.mean(np.abs(found.autocorrelation) < found.band) > 0.8


def test_forecast_that_is_too_low_has_errors_above_zero() -> None:
    table = forecasts({"good": 1.0}, parts=("test",))
    table["good"] -= 3 * table["unique_id"].str[1:].astype(float)
    found = residuals(table, scales(table), "good")
    assert found is not None
    assert found.mean == pytest.approx(3, abs=0.3)


def test_errors_that_follow_from_one_another_are_correlated() -> None:
    table = forecasts({"good": 0.0}, series=2, blocks=1, origins=60, horizon=1, parts=("test",))
    random = np.random.default_rng(0)
    for _, rows in table.groupby("unique_id"):
        error = 0.0
        for row in rows.sort_values("cutoff").index:
            error = 0.9 * error + random.normal()
            table.loc[row, "good"] = table.loc[row, "y"] - error
    found = residuals(table, scales(table).assign(scale=1.0), "good")
    assert found is not None
    assert len(found.autocorrelation) == LAGS
    assert found.autocorrelation[0] > 0.7 > found.autocorrelation[5]


def test_blocks_do_not_follow_one_another() -> None:
    table = forecasts({"good": 1.0}, series=1, blocks=6, origins=1, parts=("test",))
    found = residuals(table, scales(table), "good")
    assert found is not None
    assert (found.autocorrelation, found.band) == ([], None)


def test_what_does_not_count_is_left_out() -> None:
    table = forecasts({"good": 1.0}, parts=("test",))
    assert residuals(table.assign(observed=False), scales(table), "good") is None
    table.loc[0, "observed"] = False
    table.loc[0, "good"] = 1e9
    found = residuals(table, scales(table), "good")
    assert found is not None
    assert found.count == len(table) - 1
    assert found.deviation < 2


def test_perfect_forecast_has_one_bin() -> None:
    table = forecasts({"good": 0.0}, parts=("test",))
    found = residuals(table, scales(table), "good")
    assert found is not None
    assert (found.deviation, found.counts, found.autocorrelation) == (0.0, [len(table)], [])


def test_phase_is_alike_for_every_series() -> None:
    times = ["2024-01-01 03:00", "2024-01-01 04:00", "2024-01-02 03:00", "2024-01-02 05:00"]
    assert season_phase(pd.Series(pd.to_datetime(times)), "h", 24).tolist() == [0, 1, 0, 2]
    months = pd.Series(pd.to_datetime(["2024-02-01", "2024-03-01", "2025-01-01", "2025-02-01"]))
    assert season_phase(months, "MS", 12).tolist() == [0, 1, 11, 0]
