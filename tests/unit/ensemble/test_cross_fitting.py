import pandas as pd
import pytest

from kubecast.ensemble.cross_fitting import FoldSpans
from kubecast.scoring.metrics import ENSEMBLE
from tests.support.forecasts import forecasts, scales
from tests.unit.ensemble.stacks import GREEDY, cross_fit, stacked


@pytest.mark.parametrize("method", ["greedy", "nnls"])
def test_altering_a_blocks_targets_does_not_change_its_combination(method: str) -> None:
    table = forecasts({"a": 1.0, "b": 1.2}, splits=["validation"], origins=8)
    held = table["fold"] == 1
    # A target that lies inside the fold's range is the same number in every row that shows it.
    inside = table["ds"].between(table.loc[held, "ds"].min(), table.loc[held, "ds"].max())
    altered = table.assign(y=table["y"].where(~inside, table["y"] * -7 + 3))
    before, weights = cross_fit(table, scales(table), method)
    after, changed = cross_fit(altered, scales(table), method)
    pd.testing.assert_series_equal(before[held], after[held], check_exact=True)
    assert weights[1] == changed[1]
    assert weights[0] != changed[0]


def test_altering_a_blocks_targets_does_not_change_its_stack() -> None:
    table = forecasts({"a": 1.0, "b": 1.2}, series=1, origins=8)
    held = (table["fold"] == 1) & (table["split"] == "validation")
    inside = table["ds"].between(table.loc[held, "ds"].min(), table.loc[held, "ds"].max())
    altered = table.assign(y=table["y"].where(~inside, table["y"] + 0.2))
    settings = GREEDY.model_copy(update={"method": "ols"})  # fitted weights are not shrunk
    kinds = {"a": "catboost", "b": "lstm"}
    (before, combined), (after, changed) = (stacked(each, settings, kinds) for each in (table, altered))
    assert {before.method, after.method} == {"ols"}
    pd.testing.assert_series_equal(
        combined.loc[held, ENSEMBLE], changed.loc[held, ENSEMBLE], check_exact=True
    )
    assert before.fold_weights[1] == after.fold_weights[1]
    assert before.fold_weights[0] != after.fold_weights[0]


def test_origins_whose_targets_overlap_a_block_are_not_fitted_to() -> None:
    table = forecasts({"a": 1.0}, series=1, horizon=3, splits=["validation"])
    rows = table[FoldSpans.of(table).folds(table)[1].others]
    held = table[table["fold"] == 1]
    assert len(rows)
    assert ((rows["ds"] < held["ds"].min()) | (rows["ds"] > held["ds"].max())).all()
    # Cut-offs are hours 0 to 11 and fold 1's are 4 to 7, whose targets are hours 5 to 10.
    hours = (rows["cutoff"] - table["cutoff"].min()) / pd.Timedelta(hours=1)
    assert sorted(set(hours)) == [0.0, 1.0, 10.0, 11.0]


def test_series_without_an_origin_in_the_block_goes_by_the_others_clock() -> None:
    table = forecasts({"a": 1.0}, series=2, horizon=3, splits=["validation"])
    table = table[~((table["unique_id"] == "s2") & (table["fold"] == 1))]
    kept = table[FoldSpans.of(table).folds(table)[1].others]
    cutoffs = kept.groupby("unique_id")["cutoff"].unique()
    assert cutoffs["s1"].tolist() == cutoffs["s2"].tolist()
