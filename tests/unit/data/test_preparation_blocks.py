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


def decades() -> pd.DataFrame:
    """Days that are brought together to ten: the first series begins before the others, inside one."""
    rows = generate_series(4, [1210, 1200, 1195, 1200], frequency="D", season_length=7)
    return rows[rows.index % 9 != 0]


def closed() -> pd.DataFrame:
    """Daily series with hardly a target on Sundays, and two covariates of each kind with gaps."""
    rows = generate_series(4, 200, frequency="D", season_length=7)
    rows["y"] = rows["y"].mask(rows["ds"].dt.weekday == 6)
    random = np.random.default_rng(2)
    for name, series in (("price", "s0"), ("promotion", "s2"), ("visitors", "s3"), ("wind", "s1")):
        rows[name] = random.normal(size=len(rows))
        gap = (rows["unique_id"] == series) & (rows.groupby("unique_id").cumcount() == 50)
        rows[name] = rows[name].mask(gap)
    rows["wind"] = 2 * rows["price"]  # follows from another
    shifted = (rows["unique_id"] == "s1") & (rows.groupby("unique_id").cumcount() > 120)
    rows.loc[shifted, "y"] *= 2.5
    return rows


TWO_OF_A_KIND = {
    "min_samples": 5000,
    "covariates": {"future": ["promotion", "price"], "past": ["wind", "visitors"]},
    "max_missing": 0.5,
}
SUMS = {"min_samples": 1, "resample": "sum"}


CASES: dict[str, tuple[Callable[[], pd.DataFrame], TrainingSettings]] = {
    "plain": (hourly, small_settings(season_lengths=None, frequency=None)),
    "faulty": (faulty, small_settings(data=WITH_COVARIATES)),
    "leaking": (leaking, small_settings(data=WITH_COVARIATES)),
    "resampled": (quarters, small_settings(data={"min_samples": 1, "resample": "sum", "empty": "zero"})),
    **{
        f"every {frequency}": (decades, small_settings(frequency=frequency, season_lengths=[4], data=SUMS))
        for frequency in ("10D", "3D", "2W-SUN", "2MS")
    },
    "every 5h": (quarters, small_settings(frequency="5h", season_lengths=[4], data=SUMS)),
    "closed": (closed, small_settings(frequency="D", season_lengths=[7], data=TWO_OF_A_KIND)),
    "months": (
        lambda: generate_series(5, [90, 88, 60, 90, 31], frequency="MS", season_length=12),
        small_settings(frequency="MS", season_lengths=[12], data={"min_samples": 1, "align": "series_end"}),
    ),
    "few": (
        lambda: generate_series(3, [30, 28, 12], frequency="D", season_length=7),
        small_settings(frequency="D", season_lengths=[7]),
    ),
}


def assert_equal(panel: Panel, other: Panel) -> None:
    assert panel.spec == other.spec
    assert panel.report == other.report
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(panel, name), getattr(other, name))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [*((name, 50) for name in CASES), ("plain", 450), ("faulty", 450)])
def test_panel_does_not_depend_on_the_size_of_blocks(
    name: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, settings = CASES[name]
    case = make(), settings
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
        *("origins_left_out", "future_dates", "split", "closed_days", "collinear", "level_shift"),
        *("not_scored", "few_rows"),
    }


def test_series_without_a_target_may_fill_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BLOCK_ROWS", 1)
    rows, settings = hourly(covariates=True), small_settings(data=WITH_COVARIATES)
    first = rows["unique_id"] == "s0"
    assert build_panel(rows.assign(y=rows["y"].mask(first)), settings).report.series == 2
    late = rows["ds"] > rows["ds"].min() + pd.Timedelta(days=9)
    with pytest.raises(DataError, match="no series has a target value; allowed: numbers in y"):
        build_panel(rows.assign(y=rows["y"].where(late)), settings, as_of=rows.loc[~late, "ds"].max())


def test_gap_of_one_series_is_held_to_the_rows_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    times = pd.date_range("2024-01-01", periods=70_000, freq="s")
    steady = pd.DataFrame({"unique_id": "a", "ds": times, "y": np.arange(70_000) % 60.0})
    late = times[:100] + pd.Timedelta(days=20)
    gappy = pd.DataFrame({"unique_id": "b", "ds": times[:100].append(late), "y": 1.0})
    monkeypatch.setattr(parquet, "BLOCK_ROWS", 50)
    panel = build_panel(pd.concat([steady, gappy]), small_settings(frequency="s", season_lengths=[60]))
    assert [each.series for each in panel.report.findings if each.what == "left_out"] == ["b"]
