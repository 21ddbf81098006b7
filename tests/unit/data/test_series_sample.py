"""The sample of series that weights and models are fitted to."""

import numpy as np
import pandas as pd
import pytest

from kubecast.data.series_sample import sample_series, strata_of
from kubecast.ensemble import stacking
from tests.support.forecasts import scales
from tests.unit.ensemble.stacks import mixture, stacked


def rows(count: int = 100) -> "pd.Series[int]":
    return pd.Series(np.arange(count) % 5 + 1, [f"s{number}" for number in range(count)])


def test_all_series_are_in_a_sample_that_is_large_enough() -> None:
    pd.testing.assert_series_equal(sample_series(rows(), rows().sum()), rows())
    assert sample_series(rows().iloc[:0], 5).empty


@pytest.mark.parametrize("most", [1, 20, 150, 290])
def test_sample_is_the_same_in_any_order(most: int) -> None:
    chosen = sample_series(rows(), most)
    assert 0 < chosen.sum() <= max(most, 5)
    shuffled = rows().sample(frac=1, random_state=1)
    pd.testing.assert_series_equal(sample_series(shuffled, most)[chosen.index], chosen)


def test_large_series_does_not_end_a_sample() -> None:
    sizes = pd.Series({**dict.fromkeys([f"s{number}" for number in range(50)], 10), "large": 1_000})
    for most in (200, 999):
        chosen = sample_series(sizes, most)
        assert "large" not in chosen
        assert chosen.sum() == min(most // 10, 50) * 10
    assert sample_series(sizes[["large"]], 200).sum() == 1_000


def test_few_small_series_are_no_sample_of_large_ones() -> None:
    sizes = pd.Series({**dict.fromkeys([f"s{number}" for number in range(50)], 1_000), "small": 10})
    chosen = sample_series(sizes, 900)
    assert (len(chosen), "small" in chosen, chosen.sum()) == (2, True, 1_010)
    assert sample_series(sizes, 2_500).sum() == 2_010


def test_weights_of_a_large_panel_are_those_of_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    table = mixture(series=8, noise=0.5)
    table.loc[table["unique_id"] == "s3", "observed"] = False  # never in it
    whole, _ = stacked(table)
    validation = table[(table["split"] == "validation") & table["observed"]]
    monkeypatch.setattr(stacking, "MOST_ROWS", len(validation) // 2)
    recipe, result = stacked(table)
    counts = validation.groupby("unique_id").size()
    chosen = sample_series(counts, len(validation) // 2).index
    assert 2 <= len(chosen) < 7
    note = f"the weights are fitted to {len(chosen)} of 7 series, chosen by the hash of their names"
    assert recipe.notes == [*whole.notes, note]
    monkeypatch.undo()
    alone, part = stacked(table[table["unique_id"].isin(chosen)])
    assert recipe.weights == alone.weights
    assert recipe.loss == alone.loss
    assert len(result) == len(table)
    assert set(recipe.scales) == set(scales(table)["unique_id"])
    is_chosen = result["unique_id"].isin(chosen)
    pd.testing.assert_series_equal(
        result.loc[is_chosen, "ensemble"].reset_index(drop=True), part["ensemble"].reset_index(drop=True)
    )
    assert result["ensemble"].notna().all()


def facts(count: int = 3_000) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "unique_id": [f"s{number}" for number in range(count)],
            "scale": 10.0 ** random.integers(-1, 4, count),
            "train_rows": random.choice([40, 300, 2_000], count, p=[0.6, 0.3, 0.1]),
            "zeros": random.choice([0.0, 0.2, 0.9], count, p=[0.8, 0.15, 0.05]),
        }
    )


def test_each_stratum_gives_its_share_of_rows() -> None:
    series = facts()
    rows, strata = series.set_index("unique_id")["train_rows"], strata_of(series)
    chosen = sample_series(rows, int(rows.sum() * 0.2), strata)
    shares = rows[chosen.index].groupby(strata).sum() / rows.groupby(strata).sum()
    largest = rows.groupby(strata).max() / rows.groupby(strata).sum()
    assert strata.nunique() == 45
    assert 0.19 < chosen.sum() / rows.sum() <= 0.2
    assert ((shares.reindex(largest.index).fillna(0.0) - 0.2).abs() <= largest + 0.01).all()


def test_strata_are_those_of_a_series_own_training_rows() -> None:
    series = facts()
    own = strata_of(series.iloc[7:8]).item()
    assert own == strata_of(series).iloc[7]
    unknown = series.iloc[:1].assign(scale=np.nan, train_rows=0, zeros=np.nan)
    assert strata_of(unknown).item() == "nan -inf nan"


def test_sample_of_strata_is_the_same_in_any_order() -> None:
    series = facts()
    shuffled = series.sample(frac=1, random_state=1)
    chosen, again = (
        sample_series(each.set_index("unique_id")["train_rows"], 100_000, strata_of(each))
        for each in (series, shuffled)
    )
    assert set(chosen.index) == set(again.index)
