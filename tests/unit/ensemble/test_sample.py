"""The sample of series that weights are fitted to."""

import numpy as np
import pandas as pd
import pytest

from kubecast.ensemble import stacking
from kubecast.ensemble.sample import sample_series
from tests.support.forecasts import scales
from tests.unit.ensemble.stacks import mixture, stacked


def names(count: int = 100) -> "pd.Series[str]":
    return pd.Series(np.repeat([f"s{number}" for number in range(count)], np.arange(count) % 5 + 1))


def test_all_rows_are_in_a_sample_that_is_large_enough() -> None:
    assert sample_series(names(), len(names())).all()
    assert sample_series(names().iloc[:0], 5).shape == (0,)


@pytest.mark.parametrize("most", [1, 20, 150, 290])
def test_sample_is_of_whole_series_and_the_same_in_any_order(most: int) -> None:
    rows = names()
    chosen = sample_series(rows, most)
    assert 0 < chosen.sum() <= max(most, 5)
    assert not set(rows[chosen]) & set(rows[~chosen])
    shuffled = rows.sample(frac=1, random_state=1)
    assert set(shuffled[sample_series(shuffled, most)]) == set(rows[chosen])


def test_larger_sample_holds_the_smaller_one() -> None:
    rows = names()
    assert set(rows[sample_series(rows, 60)]) < set(rows[sample_series(rows, 120)])


def test_weights_of_a_large_panel_are_those_of_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    table = mixture(series=8, noise=0.5)
    table.loc[table["unique_id"] == "s3", "observed"] = False  # never in it
    whole, _ = stacked(table)
    validation = table[(table["split"] == "validation") & table["observed"]]
    monkeypatch.setattr(stacking, "MOST_ROWS", len(validation) // 2)
    recipe, result = stacked(table)
    chosen = validation["unique_id"][sample_series(validation["unique_id"], len(validation) // 2)].unique()
    assert 2 <= len(chosen) < 7
    note = f"the weights are fitted to {len(chosen)} of 7 series, chosen by the hash of their names"
    assert recipe.notes == [*whole.notes, note]
    monkeypatch.undo()
    alone, part = stacked(table[table["unique_id"].isin(chosen)])
    assert recipe.weights == alone.weights
    assert recipe.loss == alone.loss
    assert len(result) == len(table)
    assert set(recipe.scales) == set(scales(table)["unique_id"])
    rows = result["unique_id"].isin(chosen)
    pd.testing.assert_series_equal(
        result.loc[rows, "ensemble"].reset_index(drop=True), part["ensemble"].reset_index(drop=True)
    )
    assert result["ensemble"].notna().all()
