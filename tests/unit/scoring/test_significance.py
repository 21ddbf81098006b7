import numpy as np
import pandas as pd
import pytest

from kubecast.scoring.metrics import ENSEMBLE
from kubecast.scoring.significance import _over_origins, _over_series, paired_difference
from tests.unit.forecast_tables import START, scales


def paired_table(difference: np.ndarray, horizon: int = 1, stride: int = 1) -> pd.DataFrame:
    """One member is perfect, the ensemble errs by ``difference``, of shape (series, origins)."""
    tables = []
    for number, errors in enumerate(difference, start=1):
        for at, error in enumerate(errors):
            cutoff = START + pd.Timedelta(hours=at * stride)
            ds = pd.date_range(cutoff, periods=horizon + 1, freq="h")[1:]
            base = {"unique_id": f"s{number}", "cutoff": cutoff, "ds": ds, "part": "test", "observed": True}
            tables.append(pd.DataFrame({**base, "y": 0.0, "good": 0.0, ENSEMBLE: number * error}))
    return pd.concat(tables, ignore_index=True)


def test_disjoint_origins_give_the_textbook_standard_error() -> None:
    errors = np.abs(np.random.default_rng(0).normal(size=(1, 30)))
    rows = paired_table(errors)
    found = paired_difference(rows, scales(rows), ENSEMBLE, "good", rows["cutoff"])
    assert found.difference == pytest.approx(errors.mean())
    assert found.standard_error == pytest.approx(errors.std(ddof=1) / 30**0.5)
    assert (found.over, found.origins, found.disjoint_origins) == ("origins", 30, 30)


def test_overlapping_origins_count_for_less() -> None:
    shocks = np.abs(np.random.default_rng(1).normal(size=63))
    errors = np.convolve(shocks, np.ones(4) / 4, "valid")[None, :]
    rows = paired_table(errors, horizon=4)
    found = paired_difference(rows, scales(rows), ENSEMBLE, "good", rows["cutoff"])
    assert found.disjoint_origins == 15
    assert found.standard_error is not None
    assert found.standard_error > 1.5 * errors.std(ddof=1) / 60**0.5


def test_stride_of_a_horizon_leaves_origins_disjoint() -> None:
    rows = paired_table(np.ones((1, 12)), horizon=4, stride=4)
    found = paired_difference(rows, scales(rows), ENSEMBLE, "good", rows["cutoff"])
    assert found.disjoint_origins == 12
    assert found.standard_error == 0


def test_one_origin_and_many_series_use_the_spread_over_series() -> None:
    errors = np.abs(np.random.default_rng(2).normal(size=(30, 1)))
    rows = paired_table(errors, horizon=6)
    found = paired_difference(rows, scales(rows), ENSEMBLE, "good", rows["cutoff"])
    assert found.over == "series"
    assert found.standard_error == pytest.approx(errors.std(ddof=1) / 30**0.5)


@pytest.mark.parametrize("origins", [1, 3])
def test_too_little_to_tell_has_no_standard_error(origins: int) -> None:
    rows = paired_table(np.ones((2, origins)), horizon=6)
    found = paired_difference(rows, scales(rows), ENSEMBLE, "good", rows["cutoff"])
    assert found.difference == pytest.approx(1.0)
    assert (found.standard_error, found.over) == (None, None)


def test_nothing_scored_gives_nothing() -> None:
    rows = paired_table(np.ones((1, 3))).assign(observed=False)
    found = paired_difference(rows, scales(rows), ENSEMBLE, "good", rows["cutoff"])
    assert (found.difference, found.standard_error, found.p_value, found.origins) == (None, None, None, 0)


@pytest.mark.parametrize(("difference", "expected"), [(-1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_difference_without_spread_is_certain(difference: float, expected: float) -> None:
    rows = paired_table(np.zeros((1, 12)))
    rows[ENSEMBLE], rows["good"] = max(difference, 0.0), max(-difference, 0.0)
    found = paired_difference(rows, scales(rows), ENSEMBLE, "good", rows["cutoff"])
    assert found.p_value == expected


def test_few_origins_and_series_have_an_error_but_no_test() -> None:
    rows = paired_table(np.abs(np.random.default_rng(3).normal(size=(2, 9))))
    found = paired_difference(rows, scales(rows), ENSEMBLE, "good", rows["cutoff"])
    assert found.standard_error is not None
    assert found.p_value is None


@pytest.mark.parametrize("overlap", [1, 6])
def test_test_over_ten_disjoint_origins_rejects_at_its_nominal_rate(overlap: int) -> None:
    random = np.random.default_rng(4)
    rejected = 0
    for _ in range(2_000):
        shocks = random.normal(size=10 * overlap + overlap - 1)
        spread = _over_origins(np.convolve(shocks, np.ones(overlap) / overlap, "valid"), overlap)
        rejected += spread is not None and spread.p_value < 0.05
    assert 0.04 < rejected / 2_000 < 0.065


def test_test_over_twenty_series_rejects_near_its_nominal_rate() -> None:
    random = np.random.default_rng(5)
    rejected = sum(_over_series(random.normal(size=20)).p_value < 0.05 for _ in range(100))
    assert rejected < 13


def test_bootstrap_is_the_same_each_time_and_finds_what_is_better() -> None:
    errors = np.random.default_rng(6).normal(-1.0, 1.0, size=40)
    assert _over_series(errors) == _over_series(errors)
    assert _over_series(errors).p_value < 0.001
    assert _over_series(-errors).p_value > 0.999
