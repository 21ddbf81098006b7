"""Preparation by blocks of series: the panel and its findings do not depend on how rows are cut."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kubecast.config.training import TrainingSettings
from kubecast.data import parquet
from kubecast.data.panel import Panel
from kubecast.data.preparation import build_panel, write_panel
from kubecast.data.sample import generate_series
from kubecast.errors import DataError
from tests.support.panels import WITH_COVARIATES, hourly, small_settings

TABLES = ("frame", "static", "series", "origins", "future_covariates")


def faulty() -> pd.DataFrame:
    """Series with every fault that is told of many of them at once, and covariates after their ends."""
    rows = generate_series(12, [400] * 8 + [380, 300, 60, 20], covariates=True)
    series = [rows["unique_id"] == f"s{number}" for number in range(12)]
    place = rows.groupby("unique_id").cumcount()
    rows.loc[series[0] & place.between(100, 180), "y"] = 5.0  # flat
    rows.loc[series[1], "y"] = rows.loc[series[0], "y"].to_numpy()  # the same as another
    rows.loc[series[2] & (place > 250), "y"] *= 1000  # another unit
    rows.loc[series[3], "y"] *= place[series[3]] % 3 == 0  # often 0
    rows.loc[series[4], "y"] = 7.0  # constant
    rows.loc[series[5] & place.between(50, 60), "y"] = np.nan
    rows.loc[series[6] & place.between(50, 250), "y"] = np.nan  # too much
    rows.loc[series[7], "y"] = np.nan  # all
    rows.loc[series[8] & (place == 5), "region"] = "elsewhere"
    rows.loc[series[9], "region"] = None
    rows.loc[series[0] & (place < 3), "promotion"] = np.nan
    rows.loc[series[2] & (place == 90), "visitors"] = np.nan
    ahead = rows[place < 60].assign(y=np.nan, visitors=np.nan, promotion=1.0)
    ahead["ds"] += (
        pd.Timedelta(hours=1) + rows["ds"].max() - ahead.groupby("unique_id")["ds"].transform("min")
    )
    ended = series[5] & (place > 394) | series[9] & (place > 200)
    return pd.concat([rows[~ended], ahead[~ahead["unique_id"].isin(["s5", "s9"])]]).sample(
        frac=1, random_state=1
    )


def leaking() -> pd.DataFrame:
    """A covariate that is the target."""
    rows = hourly(covariates=True)
    return rows.assign(visitors=rows["y"])


def quarters() -> pd.DataFrame:
    """Quarter hours that are brought together to hours, which begin and end inside one."""
    rows = generate_series(4, [1604, 1600, 1401, 1602], frequency="15min", season_length=96)
    return rows[(rows.index % 7 != 0) & (rows["ds"] < rows["ds"].max() - pd.Timedelta(minutes=20))]


CASES: dict[str, tuple[Callable[[], pd.DataFrame], TrainingSettings]] = {
    "plain": (hourly, small_settings(season_lengths=None, frequency=None)),
    "faulty": (faulty, small_settings(data=WITH_COVARIATES)),
    "leaking": (leaking, small_settings(data=WITH_COVARIATES)),
    "resampled": (quarters, small_settings(data={"min_samples": 1, "resample": "sum", "empty": "zero"})),
    "months": (
        lambda: generate_series(5, [90, 88, 60, 90, 31], frequency="MS", season_length=12),
        small_settings(frequency="MS", season_lengths=[12], data={"min_samples": 1, "align": "series_end"}),
    ),
    "few": (
        lambda: generate_series(3, [30, 28, 12], frequency="D", season_length=7),
        small_settings(frequency="D", season_lengths=[7]),
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[pd.DataFrame, TrainingSettings]:
    rows, settings = CASES[request.param]
    return rows(), settings


def assert_equal(panel: Panel, other: Panel) -> None:
    assert panel.spec == other.spec
    assert panel.report == other.report
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(panel, name), getattr(other, name))


@pytest.mark.parametrize("size", [50, 450])
def test_panel_does_not_depend_on_the_size_of_blocks(
    case: tuple[pd.DataFrame, TrainingSettings], size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build_panel(*case)
    monkeypatch.setattr(parquet, "BLOCK_ROWS", size)
    assert_equal(build_panel(*case), whole)
    outline = write_panel(lambda: iter([case[0]]), case[1], tmp_path)
    assert outline.frame.empty
    assert_equal(Panel.load(tmp_path), whole)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", *[".parquet"] * 5]


def test_every_finding_is_among_the_cases() -> None:
    found = {
        each.what for rows, given in CASES.values() for each in build_panel(rows(), given).report.findings
    }
    assert found >= {
        *("missing", "left_out", "stale", "static", "covariate", "leak", "flat", "duplicate", "unit_change"),
        *("short", "constant", "zeros", "intermittent", "constant_future", "resampled", "partial"),
        *("origins_left_out", "future_dates", "split"),
    }


def test_series_without_a_target_may_fill_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BLOCK_ROWS", 1)
    rows, settings = hourly(covariates=True), small_settings(data=WITH_COVARIATES)
    first = rows["unique_id"] == "s0"
    assert build_panel(rows.assign(y=rows["y"].mask(first)), settings).report.series == 2
    late = rows["ds"] > rows["ds"].min() + pd.Timedelta(days=9)
    with pytest.raises(DataError, match="no series has a target value; allowed: numbers in y"):
        build_panel(rows.assign(y=rows["y"].where(late)), settings, as_of=rows.loc[~late, "ds"].max())
