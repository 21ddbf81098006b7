from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from kubecast.data.panel import Cutoffs, Panel
from kubecast.data.preparation import build_panel
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


def test_panel_of_too_few_rows_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"the panel has 1110 rows; allowed: at least training.data.min_samples = 5000"
    ):
        build_panel(hourly(), small_settings(data={"min_samples": 5000}))


def test_panel_without_a_series_to_fit_is_refused(make_panel: Make) -> None:
    rows = hourly(series=3, rows=100)
    rows.loc[rows["ds"].dt.hour % 3 > 0, "y"] = np.nan
    with pytest.raises(DataError, match="no series has the 31 training rows and origins"):
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
