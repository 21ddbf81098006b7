from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from kubecast.config.training import TrainingSettings
from kubecast.data.origins import join_forecasts
from kubecast.data.panel import KEYS, Cutoffs, Panel
from kubecast.data.preparation import build_panel
from kubecast.data.sample import generate_series
from kubecast.errors import DataError
from tests.support.panels import WITH_COVARIATES, hourly, small_settings
from tests.unit.data.preparing import data, findings

Make = Callable[..., Panel]


def test_cutoffs_are_the_same_time_for_all_series_that_end_together(panel: Panel) -> None:
    assert panel.spec.align == "calendar"
    assert panel.series["train_end"].nunique() == panel.series["validation_end"].nunique() == 1
    assert panel.origins.groupby(["split", "fold"])["unique_id"].nunique().eq(3).all()


def test_origins_lie_in_their_part_and_their_horizon_ends_in_it(panel: Panel) -> None:
    joined = panel.origins.merge(panel.series, on="unique_id")
    ends = joined["cutoff"] + pd.Timedelta(hours=6)
    validation = joined["split"] == "validation"
    assert (joined["cutoff"] >= joined["train_end"]).all()
    assert (ends[validation] <= joined["validation_end"][validation]).all()
    assert (joined["cutoff"][~validation] >= joined["validation_end"][~validation]).all()
    assert len(panel.targets(panel.split("test"))) == 6 * len(panel.split("test"))


def test_series_that_end_far_apart_have_clocks_of_their_own(make_panel: Make) -> None:
    rows = hourly(series=2)
    rows.loc[rows["unique_id"] == "s1", "ds"] += pd.Timedelta(days=30)
    panel = make_panel(rows)
    assert panel.spec.align == "series_end"
    back = (
        panel.ends.frame.set_index("unique_id")["cutoff"] - panel.series.set_index("unique_id")["train_end"]
    )
    assert back.nunique() == 1


def test_calendar_cutoffs_count_from_the_last_end_of_all(make_panel: Make) -> None:
    rows = hourly(series=3)
    late = (rows["unique_id"] == "s1") & (rows["ds"] > "2024-01-17")
    dead = (rows["unique_id"] == "s2") & (rows["ds"] > "2024-01-10")
    panel = make_panel(rows[~late & ~dead], data=data(align="calendar"))
    series = panel.series.set_index("unique_id")
    assert series.loc["s0", "train_end"] == series.loc["s1", "train_end"]
    assert series.loc["s2", "train_end"] == pd.Timestamp("2024-01-10")
    per_series = panel.origins.groupby(["split", "unique_id"])["cutoff"].agg(set)
    assert per_series["validation", "s0"] == per_series["validation", "s1"]
    assert per_series["test", "s1"] < per_series["test", "s0"]  # a subset
    assert "s2" not in set(panel.origins["unique_id"])


@pytest.mark.parametrize(("ended", "align"), [(1, "calendar"), (2, "series_end")])
def test_a_few_series_that_ended_do_not_decide_when_the_others_are_cut(
    make_panel: Make, ended: int, align: str
) -> None:
    rows = hourly(series=6, rows=700)
    dead = rows["unique_id"].isin([f"s{number}" for number in range(ended)]) & (rows["ds"] > "2024-01-20")
    panel = make_panel(rows[~dead])
    assert panel.spec.align == align
    assert panel.series["train_end"].iloc[ended:].nunique() == 1


def test_a_series_that_is_ahead_does_not_set_the_clock_for_the_others(make_panel: Make) -> None:
    rows = hourly(series=8, rows=700)
    ahead = rows["unique_id"] == "s7"
    moved = rows.assign(ds=rows["ds"] + ahead * pd.Timedelta(days=5))
    panel, plain = make_panel(moved), make_panel(rows)
    assert panel.spec.align == "calendar"
    assert set(panel.series["train_end"]) == set(plain.series["train_end"])
    assert set(panel.split("test").frame["cutoff"]) == set(plain.split("test").frame["cutoff"])


def test_series_on_different_grids_cannot_share_a_calendar(make_panel: Make) -> None:
    rows = hourly(series=2)
    rows.loc[rows["unique_id"] == "s1", "ds"] += pd.Timedelta(minutes=20)
    assert make_panel(rows).spec.align == "series_end"
    assert make_panel(rows, data=data(align="series_end")).spec.align == "series_end"
    with pytest.raises(
        DataError, match=r"series end on different grids; allowed: training.data.align: series_end"
    ):
        make_panel(rows, data=data(align="calendar"))


@pytest.mark.parametrize("align", ["calendar", "series_end"])
def test_short_series_is_routed_to_the_fallback_and_reported(make_panel: Make, align: str) -> None:
    rows = hourly(series=4)
    rows = rows[(rows["unique_id"] != "s3") | (rows["ds"] > "2024-01-16T12:00")]
    panel = make_panel(rows, data=data(align=align))
    assert panel.series["route"].tolist() == ["model", "model", "model", "fallback"]
    assert findings(panel)["short"] == ["s3"]
    assert panel.series["train_end"].isna().tolist() == [False, False, False, True]
    assert len(panel.train_end) == 3


def test_series_without_scale_is_reported_and_zero_scale_falls_back(make_panel: Make) -> None:
    rows = hourly(series=3)
    rows.loc[rows["unique_id"] == "s1", "y"] = 0.0
    rows.loc[rows["unique_id"] == "s2", "y"] = 5.0
    panel = make_panel(rows)
    assert findings(panel)["not_scored"] == ["s1"]
    assert findings(panel)["constant"] == ["s1", "s2"]
    assert panel.series.set_index("unique_id")["scale"].notna().tolist() == [True, False, True]


def test_panel_of_few_rows_is_told_and_taken() -> None:
    panel = build_panel(hourly(), small_settings(data={"min_samples": 5000}))
    (finding,) = (each for each in panel.report.findings if each.what == "few_rows")
    assert finding.detail.startswith("the panel has 1110 rows, training.data.min_samples is 5000")
    assert "few_rows" not in findings(build_panel(hourly(), small_settings(data={"min_samples": 1110})))


def test_400_daily_rows_are_split_as_the_settings_ask() -> None:
    rows = hourly(series=1).assign(ds=pd.date_range("2024-01-01", periods=400, freq="D"))
    settings = TrainingSettings(horizon=14)
    panel = build_panel(rows, settings)
    assert panel.spec.splits.is_full
    assert (panel.spec.frequency, panel.spec.season_lengths) == ("D", [7])


def test_a_season_and_a_split_that_are_given_up_are_findings(make_panel: Make) -> None:
    panel = make_panel(hourly(series=1, rows=50), horizon=20)
    assert (panel.spec.splits.rung, panel.spec.season_lengths) == ("no_validation", [1])
    assert findings(panel)["split"] == [""]
    panel = make_panel(hourly(series=1, rows=50), horizon=12)
    assert (panel.spec.splits.rung, panel.spec.season_lengths) == ("full", [1])
    (finding,) = (each for each in panel.report.findings if each.what == "season")
    assert finding.detail == (
        "no two cycles of 24 steps lie in the 22 training rows of the median series: MASE has m = 1"
    )


def test_a_series_too_short_for_a_validation_split_is_fitted_up_to_the_test_split(make_panel: Make) -> None:
    rows = hourly(series=4)
    panel = make_panel(rows[(rows["unique_id"] != "s3") | (rows["ds"] > "2024-01-14")])
    assert panel.series["route"].tolist() == ["model"] * 4
    assert (panel.series["train_end"] == panel.series["validation_end"]).tolist() == [False] * 3 + [True]
    assert findings(panel)["short"] == ["s3"]
    of_validation = panel.origins[panel.origins["split"] == "validation"]
    assert set(of_validation["unique_id"]) == {"s0", "s1", "s2"}
    assert "s3" in set(panel.split("test").frame["unique_id"])


def test_long_series_keep_split_and_season_beside_many_short_ones(make_panel: Make) -> None:
    alone = make_panel(generate_series(2, 400))
    panel = make_panel(generate_series(6, [400, 400, 52, 50, 49, 20]))
    assert panel.spec.splits == alone.spec.splits
    pd.testing.assert_frame_equal(panel.series.iloc[:2], alone.series)
    pd.testing.assert_frame_equal(
        panel.origins[panel.origins["unique_id"].isin(["s0", "s1"])].reset_index(drop=True), alone.origins
    )
    (finding,) = (each for each in panel.report.findings if each.what == "split")
    assert finding.detail == (
        "2 of 6 series have at least 400 rows, and the split that they allow; the median series has 51"
    )


def months(lengths: list[int], later: dict[int, int]) -> pd.DataFrame:
    """Monthly series that end together, but for some that end so many months later or, below 0, earlier."""
    tables = []
    for number, rows in enumerate(lengths):
        ds = pd.date_range(end="2020-12-01", periods=rows, freq="MS") + pd.DateOffset(
            months=later.get(number, 0)
        )
        y = 100 + 10 * np.sin(2 * np.pi * ds.month / 12) + np.random.default_rng(number).normal(size=rows)
        tables.append(pd.DataFrame({"unique_id": f"s{number}", "ds": ds, "y": y}))
    return pd.concat(tables, ignore_index=True)


@pytest.mark.parametrize(
    ("lengths", "later", "rung", "length"),
    [
        ([40, 40, 40, 132], {3: -60}, "no_validation", 40),
        ([40, 40, 40, 132], {3: -11}, "full", 132),
        ([40, 40, 40, 132], {3: -12}, "no_validation", 40),
    ],
)
def test_long_series_that_ended_before_the_test_split_do_not_decide_how_it_is_split(
    lengths: list[int], later: dict[int, int], rung: str, length: int
) -> None:
    settings = TrainingSettings(horizon=12, frequency="MS", season_lengths=[12])
    panel = build_panel(months(lengths, later), settings)
    assert panel.spec.align == "calendar"
    assert (panel.spec.splits.rung, panel.spec.splits.length) == (rung, length)
    assert len(panel.split("test"))


def test_gaps_of_the_longer_series_do_not_shorten_the_split_of_the_median_one() -> None:
    rows = months([78, 79, 81, 82], {})
    rows.loc[
        rows["unique_id"].isin(["s2", "s3"]) & rows.groupby("unique_id").cumcount().isin(range(2, 26)), "y"
    ] = np.nan
    settings = TrainingSettings(horizon=12, frequency="MS", season_lengths=[12], data={"max_missing": 0.5})
    panel = build_panel(rows, settings)
    assert panel.spec.splits.is_full
    assert len(panel.split("validation")) == 36


def test_a_series_beside_longer_ones_is_fitted_from_horizon_and_four_rows(make_panel: Make) -> None:
    panel = make_panel(generate_series(5, [400, 400, 400, 50, 49]))
    assert panel.spec.splits.test == 40
    assert panel.series["route"].tolist() == [*["model"] * 4, "fallback"]


def test_panel_without_a_series_to_fit_is_refused(make_panel: Make) -> None:
    rows = hourly(series=3, rows=100)
    rows.loc[rows["ds"].dt.hour % 12 > 0, "y"] = np.nan
    with pytest.raises(DataError, match="no series has the 10 training rows that a fit needs, the most is"):
        make_panel(rows, data=data(max_missing=0.9))


def test_origins_of_a_series_that_ends_early_are_kept_while_its_covariates_are_known(
    make_panel: Make,
) -> None:
    rows = hourly(series=2, covariates=True)
    early = rows["unique_id"].eq("s1") & rows["ds"].gt(rows["ds"].max() - pd.Timedelta(hours=3))
    panel = make_panel(rows[~early], data=WITH_COVARIATES)
    assert panel.spec.align == "calendar"
    assert len(panel.future(Cutoffs.from_frame(panel.origins))) == 6 * len(panel.origins)
    assert "origins_left_out" in findings(panel)
    counts = panel.origins.groupby(["split", "unique_id"]).size()
    assert counts["test", "s1"] < counts["test", "s0"]
    assert "origins_left_out" not in findings(make_panel(rows, data=WITH_COVARIATES))


def test_panel_of_constant_series_alone_is_refused(make_panel: Make) -> None:
    with pytest.raises(DataError, match="no series varies in its training split; allowed: at least one"):
        make_panel(hourly().assign(y=5.0))


def joinable() -> tuple[pd.DataFrame, pd.DataFrame]:
    cutoff = pd.Timestamp("2024-01-01")
    keys = pd.DataFrame({"unique_id": ["a", "a", "b", "b"], "cutoff": cutoff})
    keys["ds"] = cutoff + pd.to_timedelta([1, 2, 1, 2], unit="h")
    return keys.assign(y=[1.0, 2.0, 3.0, 4.0]), keys.assign(m=[10.0, 20.0, 30.0, 40.0])


def test_forecasts_stand_beside_their_targets_whatever_their_order() -> None:
    table, forecasts = joinable()
    whole = table.assign(m=forecasts["m"])
    pd.testing.assert_frame_equal(join_forecasts(table, forecasts), whole)
    pd.testing.assert_frame_equal(join_forecasts(table, forecasts[::-1]), whole)
    named = forecasts.astype({"unique_id": "category"})
    pd.testing.assert_frame_equal(join_forecasts(table, named[::-1]), whole)
    pd.testing.assert_frame_equal(join_forecasts(table, forecasts[1:]), whole[1:].reset_index(drop=True))
    left = join_forecasts(table, forecasts[1:], "left")
    pd.testing.assert_frame_equal(left, whole.assign(m=[np.nan, 20.0, 30.0, 40.0]))
    assert join_forecasts(table.head(0), forecasts).empty


def test_forecast_that_is_there_twice_is_refused() -> None:
    table, forecasts = joinable()
    with pytest.raises(pd.errors.MergeError):
        join_forecasts(table, pd.concat([forecasts, forecasts[[*KEYS, "m"]].head(1)]))
