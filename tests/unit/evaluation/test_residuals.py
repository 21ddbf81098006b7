"""What errors are like."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from kubecast.evaluation.residuals import LAGS, Residuals, residuals, scaled_errors, season_phase
from kubecast.scoring.metrics import lead_times
from tests.support.forecasts import forecasts, scales


def described(table: pd.DataFrame, series: pd.DataFrame) -> Residuals | None:
    return residuals([scaled_errors(table.assign(lead_time=lead_times), series, "good")])


def test_normal_errors_lie_on_the_diagonal() -> None:
    table = forecasts({"good": 2.0}, series=5, origins=60, splits=("test",))
    result = described(table, scales(table))
    assert result is not None
    assert result.count == sum(result.counts) == len(table)
    assert result.mean == pytest.approx(0, abs=0.2)
    assert result.deviation == pytest.approx(2, rel=0.05)
    assert np.abs(np.subtract(result.normal, result.observed)).max() < 0.5


def one_step(errors: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """Autocorrelation and bands of one-step errors, shape (series, origins)."""
    series, origins = errors.shape
    cutoff = np.tile(pd.date_range("2025-01-01", periods=origins, freq="h"), series)
    name = np.repeat([f"s{at}" for at in range(series)], origins)
    table = pd.DataFrame({"unique_id": name, "cutoff": cutoff, "ds": cutoff + pd.Timedelta(hours=1)})
    table = table.assign(split="test", fold=0, observed=True, y=100.0, good=100.0 - errors.ravel())
    names = pd.unique(name)
    result = residuals(
        [
            scaled_errors(
                table.assign(lead_time=lead_times),
                pd.DataFrame({"unique_id": names, "scale": 1.0, "rmsse_scale": 1.0}),
                "good",
            )
        ]
    )
    assert result is not None
    return result.autocorrelation, result.bands


@pytest.mark.slow
@pytest.mark.parametrize(("series", "origins"), [(1000, 10), (20, 60)])
def test_independent_errors_stay_inside_the_band_at_95_percent_of_the_lags(series: int, origins: int) -> None:
    random, inside = np.random.default_rng(0), []
    for _ in range(30):
        result, bands = one_step(random.normal(size=(series, origins)))
        inside += (np.abs(result) < bands).tolist()
    assert np.mean(inside) == pytest.approx(0.95, abs=0.04)


def test_each_lag_has_the_band_of_its_own_pairs() -> None:
    _, bands = one_step(np.random.default_rng(0).normal(size=(4, 10)))
    assert bands == pytest.approx([1.96 / np.sqrt(4 * (10 - lag)) for lag in range(1, 6)])


def test_errors_that_follow_one_another_a_little_leave_the_band_of_many_series() -> None:
    noise = np.random.default_rng(0).normal(size=(1000, 11))
    result, bands = one_step(noise[:, 1:] + 0.2 * noise[:, :-1])
    assert result[0] > 2 * bands[0]


def test_forecast_that_is_too_low_has_errors_above_zero() -> None:
    table = forecasts({"good": 1.0}, splits=("test",))
    table["good"] -= 3 * table["unique_id"].str[1:].astype(float)
    result = described(table, scales(table))
    assert result is not None
    assert result.mean == pytest.approx(3, abs=0.3)


def test_errors_that_follow_from_one_another_are_correlated() -> None:
    table = forecasts({"good": 0.0}, series=2, folds=1, origins=60, horizon=1, splits=("test",))
    random = np.random.default_rng(0)
    for _, rows in table.groupby("unique_id"):
        error = 0.0
        for row in rows.sort_values("cutoff").index:
            error = 0.9 * error + random.normal()
            table.loc[row, "good"] = table.loc[row, "y"] - error
    result = described(table, scales(table).assign(scale=1.0))
    assert result is not None
    assert len(result.autocorrelation) == LAGS
    assert result.autocorrelation[0] > 0.7 > result.autocorrelation[5]


def test_blocks_do_not_follow_one_another() -> None:
    table = forecasts({"good": 1.0}, series=1, folds=6, origins=1, splits=("test",))
    result = described(table, scales(table))
    assert result is not None
    assert (result.autocorrelation, result.bands) == ([], [])


def test_what_does_not_count_is_left_out() -> None:
    table = forecasts({"good": 1.0}, splits=("test",))
    assert described(table.assign(observed=False), scales(table)) is None
    table.loc[0, "observed"] = False
    table.loc[0, "good"] = 1e9
    result = described(table, scales(table))
    assert result is not None
    assert result.count == len(table) - 1
    assert result.deviation < 2


def test_perfect_forecast_has_one_bin() -> None:
    table = forecasts({"good": 0.0}, splits=("test",))
    result = described(table, scales(table))
    assert result is not None
    assert (result.deviation, result.counts, result.autocorrelation) == (0.0, [len(table)], [])


def test_phase_is_alike_for_every_series() -> None:
    times = ["2024-01-01 03:00", "2024-01-01 04:00", "2024-01-02 03:00", "2024-01-02 05:00"]
    assert season_phase(pd.Series(pd.to_datetime(times)), "h", 24, pd.Timestamp(times[0])).tolist() == [
        0,
        1,
        0,
        2,
    ]
    months = pd.Series(pd.to_datetime(["2024-02-01", "2024-03-01", "2025-01-01", "2025-02-01"]))
    assert season_phase(months, "MS", 12, months[0]).tolist() == [0, 1, 11, 0]
