import numpy as np
import pandas as pd
import pytest

from kubecast.scoring.metrics import ENSEMBLE
from kubecast.scoring.significance import over_origins, over_series, paired_difference
from tests.support.forecasts import START, scales


def paired_table(difference: np.ndarray, horizon: int = 1, stride: int = 1) -> pd.DataFrame:
    """One member is perfect, the ensemble errs by ``difference``, of shape (series, origins)."""
    tables = []
    for number, errors in enumerate(difference, start=1):
        for at, error in enumerate(errors):
            cutoff = START + pd.Timedelta(hours=at * stride)
            ds = pd.date_range(cutoff, periods=horizon + 1, freq="h")[1:]
            base = {"unique_id": f"s{number}", "cutoff": cutoff, "ds": ds, "split": "test", "observed": True}
            tables.append(pd.DataFrame({**base, "y": 0.0, "good": 0.0, ENSEMBLE: number * error}))
    return pd.concat(tables, ignore_index=True)


def test_disjoint_origins_give_the_textbook_standard_error() -> None:
    errors = np.abs(np.random.default_rng(0).normal(size=(1, 30)))
    rows = paired_table(errors)
    paired = paired_difference(rows, scales(rows), ENSEMBLE, "good", rows["cutoff"])
    assert paired.difference == pytest.approx(errors.mean())
    assert paired.standard_error == pytest.approx(errors.std(ddof=1) / 30**0.5)
    assert (paired.over, paired.origins, paired.disjoint_origins) == ("origins", 30, 30)


def test_overlapping_origins_count_for_less() -> None:
    shocks = np.abs(np.random.default_rng(1).normal(size=63))
    errors = np.convolve(shocks, np.ones(4) / 4, "valid")[None, :]
    rows = paired_table(errors, horizon=4)
    paired = paired_difference(rows, scales(rows), ENSEMBLE, "good", rows["cutoff"])
    assert paired.disjoint_origins == 15
    assert paired.standard_error is not None
    assert paired.standard_error > 1.5 * errors.std(ddof=1) / 60**0.5


def test_stride_of_a_horizon_leaves_origins_disjoint() -> None:
    rows = paired_table(np.ones((1, 12)), horizon=4, stride=4)
    paired = paired_difference(rows, scales(rows), ENSEMBLE, "good", rows["cutoff"])
    assert paired.disjoint_origins == 12
    assert paired.standard_error == 0


def test_one_origin_and_many_series_use_the_spread_over_series() -> None:
    errors = np.abs(np.random.default_rng(2).normal(size=(30, 1)))
    rows = paired_table(errors, horizon=6)
    paired = paired_difference(rows, scales(rows), ENSEMBLE, "good", rows["cutoff"])
    assert paired.over == "series"
    assert paired.standard_error == pytest.approx(errors.std(ddof=1) / 30**0.5)


@pytest.mark.parametrize("origins", [1, 3])
def test_too_little_to_tell_has_no_standard_error(origins: int) -> None:
    rows = paired_table(np.ones((2, origins)), horizon=6)
    paired = paired_difference(rows, scales(rows), ENSEMBLE, "good", rows["cutoff"])
    assert paired.difference == pytest.approx(1.0)
    assert (paired.standard_error, paired.over) == (None, None)


def test_nothing_scored_gives_nothing() -> None:
    rows = paired_table(np.ones((1, 3))).assign(observed=False)
    paired = paired_difference(rows, scales(rows), ENSEMBLE, "good", rows["cutoff"])
    assert (paired.difference, paired.standard_error, paired.p_value, paired.origins) == (None, None, None, 0)


@pytest.mark.parametrize(("difference", "expected"), [(-1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_difference_without_spread_is_certain(difference: float, expected: float) -> None:
    rows = paired_table(np.zeros((1, 12)))
    rows[ENSEMBLE], rows["good"] = max(difference, 0.0), max(-difference, 0.0)
    paired = paired_difference(rows, scales(rows), ENSEMBLE, "good", rows["cutoff"])
    assert paired.p_value == expected


def test_few_origins_and_series_have_an_error_but_no_test() -> None:
    rows = paired_table(np.abs(np.random.default_rng(3).normal(size=(2, 9))))
    paired = paired_difference(rows, scales(rows), ENSEMBLE, "good", rows["cutoff"])
    assert paired.standard_error is not None
    assert paired.p_value is None


@pytest.mark.parametrize("overlap", [1, 6])
def test_test_over_ten_disjoint_origins_rejects_at_its_nominal_rate(overlap: int) -> None:
    random = np.random.default_rng(4)
    rejected = 0
    for _ in range(2_000):
        shocks = random.normal(size=10 * overlap + overlap - 1)
        spread = over_origins(np.convolve(shocks, np.ones(overlap) / overlap, "valid"), overlap)
        rejected += spread is not None and spread.p_value < 0.05
    assert 0.04 < rejected / 2_000 < 0.065


@pytest.mark.slow
def test_test_over_twenty_series_rejects_near_its_nominal_rate() -> None:
    random = np.random.default_rng(5)
    rejected = sum(over_series(random.normal(size=20)).p_value < 0.05 for _ in range(100))
    assert rejected < 13


def test_bootstrap_is_the_same_each_time_and_finds_what_is_better() -> None:
    errors = np.random.default_rng(6).normal(-1.0, 1.0, size=40)
    assert over_series(errors) == over_series(errors)
    assert over_series(errors).p_value < 0.001
    assert over_series(-errors).p_value > 0.999
