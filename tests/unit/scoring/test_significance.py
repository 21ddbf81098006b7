import numpy as np
import pandas as pd
import pytest

from kubecast.scoring.loss_grid import LossGrid
from kubecast.scoring.metrics import ENSEMBLE
from kubecast.scoring.significance import Paired, over_origins, paired_difference
from tests.support.forecasts import START, panel_of, scales


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


def grid_of(rows: pd.DataFrame, align: str = "calendar") -> LossGrid:
    return LossGrid.from_table(rows, scales(rows), panel_of(rows, align), [ENSEMBLE, "good"])


def paired(rows: pd.DataFrame, align: str = "calendar") -> Paired:
    return paired_difference(grid_of(rows, align), ENSEMBLE, "good")


def test_disjoint_origins_give_the_textbook_standard_error() -> None:
    errors = np.abs(np.random.default_rng(0).normal(size=(1, 30)))
    rows = paired_table(errors)
    result = paired(rows)
    assert result.difference == pytest.approx(errors.mean())
    assert result.standard_error == pytest.approx(errors.std(ddof=1) / 30**0.5)
    assert (result.over, result.origins, result.disjoint_origins) == ("origins", 30, 30)


def test_overlapping_origins_count_for_less() -> None:
    shocks = np.abs(np.random.default_rng(1).normal(size=63))
    errors = np.convolve(shocks, np.ones(4) / 4, "valid")[None, :]
    rows = paired_table(errors, horizon=4)
    result = paired(rows)
    assert result.disjoint_origins == 15
    assert result.standard_error is not None
    assert result.standard_error > 1.5 * errors.std(ddof=1) / 60**0.5


def test_stride_of_a_horizon_leaves_origins_disjoint() -> None:
    rows = paired_table(np.ones((1, 12)), horizon=4, stride=4)
    result = paired(rows)
    assert result.disjoint_origins == 12
    assert result.standard_error == 0


def test_many_series_of_dates_of_their_own_use_the_spread_over_series() -> None:
    errors = np.abs(np.random.default_rng(2).normal(size=(30, 1)))
    result = paired(paired_table(errors, horizon=6), "series_end")
    assert result.over == "series"
    assert result.standard_error == pytest.approx(errors.std(ddof=1) / 30**0.5, rel=0.1)
    assert result.p_value is not None


def test_one_date_that_all_series_share_is_no_test() -> None:
    result = paired(paired_table(np.abs(np.random.default_rng(2).normal(size=(30, 1))), horizon=6))
    assert (result.over, result.p_value) == ("series", None)
    assert result.standard_error is not None


def test_few_dates_that_all_series_share_add_their_spread() -> None:
    common = np.abs(np.random.default_rng(3).normal(size=(1, 4)))
    result = paired(paired_table(common + np.zeros((30, 4)), horizon=6, stride=6))
    assert result.over == "series and origins"
    assert result.standard_error == pytest.approx(common.std(ddof=1) / 2, rel=0.1)


@pytest.mark.parametrize("origins", [1, 3])
def test_too_little_to_tell_has_no_standard_error(origins: int) -> None:
    rows = paired_table(np.ones((2, origins)), horizon=6)
    result = paired(rows)
    assert result.difference == pytest.approx(1.0)
    assert (result.standard_error, result.over) == (None, None)


def test_nothing_scored_gives_nothing() -> None:
    rows = paired_table(np.ones((1, 3))).assign(observed=False)
    result = paired(rows)
    assert (result.difference, result.standard_error, result.p_value, result.origins) == (None, None, None, 0)


@pytest.mark.parametrize(("difference", "expected"), [(-1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_difference_without_spread_is_certain(difference: float, expected: float) -> None:
    rows = paired_table(np.zeros((1, 12)))
    rows[ENSEMBLE], rows["good"] = max(difference, 0.0), max(-difference, 0.0)
    result = paired(rows)
    assert result.p_value == expected


def test_few_origins_and_series_have_an_error_but_no_test() -> None:
    rows = paired_table(np.abs(np.random.default_rng(3).normal(size=(2, 9))))
    result = paired(rows)
    assert result.standard_error is not None
    assert result.p_value is None


@pytest.mark.parametrize("overlap", [1, 6])
def test_test_over_ten_disjoint_origins_rejects_at_its_nominal_rate(overlap: int) -> None:
    random = np.random.default_rng(4)
    rejected = 0
    for _ in range(2_000):
        shocks = random.normal(size=10 * overlap + overlap - 1)
        spread = over_origins(np.convolve(shocks, np.ones(overlap) / overlap, "valid"), overlap)
        rejected += spread is not None and spread.p_value < 0.05
    assert 0.04 < rejected / 2_000 < 0.065


def rejected(cells: np.ndarray, grid: LossGrid) -> bool:
    """Whether a gain is found in differences of shape (series, origins)."""
    sums = {ENSEMBLE: cells, "good": np.zeros_like(cells)}
    counts = np.ones_like(cells)
    drawn = LossGrid(sums, counts, np.arange(len(cells)), grid.overlap, grid.same_dates)
    p_value = paired_difference(drawn, ENSEMBLE, "good").p_value
    return p_value is not None and p_value < 0.05


@pytest.mark.slow
def test_null_pairs_whose_series_share_their_dates_are_hardly_promoted() -> None:
    """500 pairs of equally good models, of series that are correlated by one half, on few dates."""
    random = np.random.default_rng(5)
    grid = grid_of(paired_table(np.zeros((1, 2))))
    promoted = 0
    for number in range(500):
        dates = (2, 3, 5, 9)[number % 4]
        shared, own = random.normal(size=(1, dates)), random.normal(size=(30, dates))
        promoted += rejected(np.sqrt(0.5) * (shared + own), grid)
    assert promoted <= 0.07 * 500


def test_better_model_is_found_on_few_dates() -> None:
    random = np.random.default_rng(6)
    grid = grid_of(paired_table(np.zeros((1, 2))))
    cells = random.normal(-0.5, 0.3, size=(1, 5)) + random.normal(size=(30, 5))
    assert rejected(cells, grid)
    assert not rejected(-cells, grid)
