from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kubecast.data.calendars import steps_after
from kubecast.data.panel import Cutoffs, Panel
from kubecast.data.preparation import build_panel
from kubecast.errors import DataError
from tests.support.panels import WITH_COVARIATES, hourly, small_settings


def with_gaps(seed: int) -> pd.DataFrame:
    """Rows with a tenth of the targets missing or left out, never the first and the last."""
    random = np.random.default_rng(seed)
    rows = hourly(rows=300, seed=seed)
    inner = rows.groupby("unique_id").cumcount(ascending=False).gt(0) & rows.groupby(
        "unique_id"
    ).cumcount().gt(0)
    rows.loc[inner & (random.random(len(rows)) < 0.1), "y"] = np.nan
    return rows[~inner | (random.random(len(rows)) > 0.05)]


def some_origins(panel: Panel, seed: int, count: int = 20) -> Cutoffs:
    rows = np.random.default_rng(seed).choice(len(panel.frame), count, replace=False)
    return Cutoffs.from_frame(panel.frame.iloc[rows], "ds")


@pytest.fixture(scope="module", params=range(3))
def gappy(request: pytest.FixtureRequest) -> Panel:
    return build_panel(with_gaps(request.param), small_settings())


def test_history_is_every_row_up_to_the_cutoff_and_nothing_after(gappy: Panel) -> None:
    origins = some_origins(gappy, 0)
    history = gappy.history(origins).set_index(["unique_id", "cutoff"])
    for unique_id, cutoff in origins.frame.itertuples(index=False):
        expected = gappy.frame[(gappy.frame["unique_id"] == unique_id) & (gappy.frame["ds"] <= cutoff)]
        pd.testing.assert_frame_equal(
            history.loc[[(unique_id, cutoff)]].reset_index(drop=True),
            expected.drop(columns="unique_id").reset_index(drop=True),
        )


def test_last_rows_of_history_are_its_tail(gappy: Panel) -> None:
    origins = some_origins(gappy, 1)
    tail = gappy.history(origins).groupby(["unique_id", "cutoff"], sort=False).tail(5).reset_index(drop=True)
    pd.testing.assert_frame_equal(gappy.history(origins, last=5), tail)


def test_history_targets_and_future_meet_at_the_cutoff(gappy: Panel) -> None:
    origins = some_origins(gappy, 2)
    targets, future = gappy.targets(origins), gappy.future(origins)
    assert len(future) == 6 * len(origins)
    assert (targets["ds"] > targets["cutoff"]).all()
    joined = future.merge(gappy.frame, on=["unique_id", "ds"])[list(targets.columns)]
    pd.testing.assert_frame_equal(targets, joined)


def test_order_of_the_cutoffs_is_kept(gappy: Panel) -> None:
    origins = some_origins(gappy, 3)
    for rows in (gappy.history(origins), gappy.future(origins)):
        pd.testing.assert_frame_equal(Cutoffs.from_frame(rows).frame, origins.frame)


def test_lagged_values_are_those_of_the_same_series(gappy: Panel) -> None:
    rows, series = np.arange(len(gappy.frame)), gappy.frame.groupby("unique_id")
    for lag in (0, 1, 24):
        values = gappy.lagged(gappy.filled, rows, lag)
        expected = pd.Series(gappy.filled).groupby(gappy.series_codes).shift(lag)
        np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(gappy.history_lengths(rows), series.cumcount() + 1)


def test_altering_later_rows_never_changes_earlier_filled_values(gappy: Panel) -> None:
    for row in np.random.default_rng(0).choice(len(gappy.frame), 10):
        changed = gappy.frame.copy()
        changed.loc[row + 1 :, "y"] *= -3
        later = Panel(changed, gappy.static, gappy.spec, gappy.series, gappy.origins)
        np.testing.assert_array_equal(later.filled[: row + 1], gappy.filled[: row + 1])


def test_filled_keeps_what_was_observed_and_repeats_the_season_else(gappy: Panel) -> None:
    y, observed = gappy.frame["y"].to_numpy(), gappy.frame["observed"].to_numpy()
    np.testing.assert_array_equal(gappy.filled[observed], y[observed])
    assert np.isfinite(gappy.filled).all()
    row = next(row for row in np.flatnonzero(~observed) if row - gappy.indptr[gappy.series_codes[row]] >= 24)
    assert gappy.filled[row] == gappy.filled[row - 24]


def test_series_are_found_by_their_rows(gappy: Panel) -> None:
    assert list(gappy.ids) == ["s0", "s1", "s2"]
    for code, unique_id in enumerate(gappy.ids):
        rows = gappy.frame.iloc[gappy.indptr[code] : gappy.indptr[code + 1]]
        assert (rows["unique_id"] == unique_id).all()
        assert rows["ds"].diff().dropna().eq(pd.Timedelta(hours=1)).all()
        assert (gappy.series_codes[gappy.indptr[code] : gappy.indptr[code + 1]] == code).all()


@pytest.mark.parametrize(
    ("unique_id", "cutoff"),
    [
        ("s9", "2024-01-05"),
        ("s0", "2023-01-01"),
        ("s0", "2025-01-01"),
        ("s2", "2024-01-01"),
        ("s0", "2024-01-05T00:30"),
    ],
)
def test_cutoff_on_no_row_is_refused(panel: Panel, unique_id: str, cutoff: str) -> None:
    origins = Cutoffs(
        pd.DataFrame(
            {
                "unique_id": ["s0", unique_id],
                "cutoff": pd.to_datetime(["2024-01-05", cutoff], format="ISO8601"),
            }
        )
    )
    with pytest.raises(DataError, match=f"series {unique_id}: cut-off .* is on none of its rows"):
        panel.row_index(origins)


def test_parts_and_ends_are_cutoffs(panel: Panel) -> None:
    assert panel.ends.frame["cutoff"].eq(pd.Timestamp("2024-01-17T15:00")).all()
    assert len(panel.train_end) == 3
    assert len(panel.split("validation")) + len(panel.split("test")) == len(panel.origins)


def test_no_origins_give_empty_frames(panel: Panel) -> None:
    none = Cutoffs(panel.ends.frame.iloc[:0])
    for rows in (panel.history(none), panel.future(none), panel.targets(none)):
        assert rows.empty


def test_known_future_covariates_run_beyond_the_last_target() -> None:
    rows = hourly(series=1, covariates=True)
    rows.loc[rows.index[-6:], ["y", "visitors"]] = np.nan
    panel = build_panel(rows, small_settings(data=WITH_COVARIATES))
    assert len(panel.future_covariates) == 6
    future = panel.future(panel.ends)
    np.testing.assert_array_equal(future["promotion"], rows["promotion"].tail(6))
    assert "visitors" not in future


@pytest.mark.parametrize("start", ["2024-01-01", "1999-12-31 23:17:05"])
@pytest.mark.parametrize(
    "frequency",
    ["500ms", "s", "15min", "90min", "2h", "D", "7D", "B", "2B", "W-MON", "2W-WED", "SMS", "MS", "2MS", "ME",
     "BMS", "QS", "QE-DEC", "YS-JAN", "YE-FEB"],
)  # fmt: skip
def test_steps_after_a_cutoff_go_on_with_the_grid(frequency: str, start: str) -> None:
    grid = pd.date_range(start, periods=20, freq=frequency)
    times = steps_after(pd.Series(grid[[3, 10, 3]]), 4, frequency)
    np.testing.assert_array_equal(times, [grid[4:8], grid[11:15], grid[4:8]])
    assert times.dtype == "datetime64[ns]"


def test_no_cutoff_has_no_steps_after_it() -> None:
    assert steps_after(pd.Series([], dtype="datetime64[ns]"), 4, "h").shape == (0, 4)


def test_saved_and_loaded_panel_is_equal(covariate_panel: Panel, tmp_path: Path) -> None:
    covariate_panel.save(tmp_path / "panel")
    loaded = Panel.load(tmp_path / "panel")
    for name in ("frame", "static", "series", "origins", "future_covariates"):
        pd.testing.assert_frame_equal(getattr(loaded, name), getattr(covariate_panel, name))
    assert (loaded.spec, loaded.report) == (covariate_panel.spec, covariate_panel.report)
    origins = loaded.split("test")
    pd.testing.assert_frame_equal(loaded.future(origins), covariate_panel.future(origins))


@pytest.mark.parametrize("name", ["panel.json", "panel.parquet", "origins.parquet"])
@pytest.mark.parametrize("fault", ["missing", "truncated", "empty", "foreign"])
def test_corrupted_folder_is_refused(panel: Panel, tmp_path: Path, name: str, fault: str) -> None:
    panel.save(tmp_path)
    file = tmp_path / name
    if fault == "missing":
        file.unlink()
    elif fault == "foreign":
        pd.DataFrame({"x": [1]}).to_parquet(file)
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2 if fault == "truncated" else 0])
    with pytest.raises(DataError, match="not a panel") as caught:
        Panel.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_flipped_bit_in_the_data_is_refused(panel: Panel, tmp_path: Path) -> None:
    panel.save(tmp_path)
    file = tmp_path / "panel.parquet"
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.write_bytes(data)
    with pytest.raises(DataError, match="not a panel"):
        Panel.load(tmp_path)


def test_covariates_are_foreseen_as_far_as_they_go_without_a_hole() -> None:
    rows = hourly(series=2, covariates=True)
    rows.loc[rows.groupby("unique_id").cumcount(ascending=False) < 8, ["y", "visitors"]] = np.nan
    s1 = rows.index[rows["unique_id"] == "s1"]
    panel = build_panel(rows.drop(index=s1[-5]), small_settings(data=WITH_COVARIATES))
    ends = panel.row_index(panel.ends)
    for back, expected in ((0, [True, False]), (2, [True, False]), (3, [True, True]), (9, [True, True])):
        assert (
            panel.has_future_covariates(Cutoffs.from_frame(panel.frame.iloc[ends - back], "ds")).tolist()
            == expected
        )


def test_without_known_future_covariates_every_origin_is_foreseen(panel: Panel) -> None:
    assert panel.has_future_covariates(
        Cutoffs.from_frame(panel.frame.iloc[panel.row_index(panel.ends) - 6], "ds")
    ).all()


def test_renamed_series_are_in_order_of_their_new_names(panel: Panel) -> None:
    new = panel.renamed({"s0": "c", "s1": "a", "s2": "b"})
    assert new.ids.tolist() == ["a", "b", "c"]
    assert new.static["unique_id"].tolist() == new.series["unique_id"].tolist() == ["a", "b", "c"]
    old = panel.frame[panel.frame["unique_id"] == "s1"]
    np.testing.assert_array_equal(new.frame.loc[new.frame["unique_id"] == "a", "y"], old["y"])
    assert len(new.row_index(new.split("test"))) == len(panel.split("test"))
