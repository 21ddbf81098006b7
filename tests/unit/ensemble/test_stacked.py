"""The stack's table in blocks of series."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kubecast.data import parquet
from kubecast.data.parquet import series_blocks, write_series
from kubecast.ensemble.cross_fitting import FoldSpans
from kubecast.scoring.conformal import ConformalQuantiles, conformal_scores
from kubecast.scoring.score_counts import ScoreCounts
from tests.support.forecasts import scales, stack_table, stack_whole
from tests.unit.ensemble.stacks import GREEDY, KINDS, mixture


def tables() -> dict[str, pd.DataFrame]:
    plain = mixture(series=6, noise=0.5)
    unequal = plain[(plain["unique_id"] != "s2") | (plain["split"] == "validation")].reset_index(drop=True)
    lacks_a_fold = (plain["unique_id"] == "s2") & (plain["split"] == "validation") & (plain["fold"] == 0)
    return {
        "by series": plain,
        "unequal series": unequal,
        "unequal folds": plain[~lacks_a_fold].reset_index(drop=True),
        "by fold": plain.sort_values(["split", "fold", "unique_id"], kind="stable", ignore_index=True),
        "by time": plain.sort_values(["cutoff", "ds"], kind="stable", ignore_index=True),
    }


@pytest.mark.parametrize("order", [*tables()])
def test_blocks_are_those_of_whole_series_and_make_the_same_table(
    order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tables()[order]
    recipe, stacked = stack_table(table, scales(table), GREEDY, KINDS, {}, 24)
    [whole] = stacked.blocks()
    monkeypatch.setattr(parquet, "BLOCK_ROWS", 500)
    of_blocks, stacked = stack_table(table, scales(table), GREEDY, KINDS, {}, 24)
    assert of_blocks == recipe
    blocks = list(stacked.blocks())
    pd.testing.assert_frame_equal(pd.concat(blocks, ignore_index=True), whole)
    names = [set(block["unique_id"]) for block in blocks]
    assert sum(map(len, names)) == len(set().union(*names))
    assert len(blocks) == {"by fold": 1, "by time": 1, "unequal series": 5}.get(order, 6)
    assert all(len(block) <= 500 for block in blocks) or len(blocks) == 1


@pytest.mark.parametrize("order", [*tables()])
def test_widths_of_a_fold_are_those_of_the_errors_apart_from_it(
    order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, levels = tables()[order], GREEDY.quantiles
    monkeypatch.setattr(parquet, "BLOCK_ROWS", 500)
    _, stacked = stack_table(table, scales(table), GREEDY, KINDS, {}, 24)
    scores = conformal_scores(stacked.whole(), scales(table), "ensemble")
    validation = table.index[table["split"] == "validation"]
    folds = FoldSpans.of(table.loc[validation]).folds(table.loc[validation])
    assert len(stacked.widths.of_folds) == len(folds) > 1
    for number, fold in folds.items():
        apart = ScoreCounts.of_table(scores[scores.index.isin(validation[fold.others])])
        assert stacked.widths.of_folds[number] == ConformalQuantiles.fit(apart, levels, 5)


def test_widths_are_those_of_the_errors_whatever_the_scale() -> None:
    table = mixture(series=12, noise=0.5)
    series = scales(table)
    _, plain = stack_whole(table, series, GREEDY, KINDS, {}, 24)
    _, scaled = stack_whole(table, series.assign(scale=series["scale"] * 1e6), GREEDY, KINDS, {}, 24)
    np.testing.assert_allclose(scaled["q0.9"] - scaled["q0.1"], plain["q0.9"] - plain["q0.1"], rtol=2e-3)


def test_series_larger_than_a_block_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    table = mixture(series=3)
    _, stacked = stack_table(table, scales(table), GREEDY, KINDS, {}, 24)
    monkeypatch.setattr(parquet, "BLOCK_ROWS", 1)
    assert [block["unique_id"].unique().tolist() for block in stacked.blocks()] == [["s1"], ["s2"], ["s3"]]


def test_blocks_are_written_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = mixture(series=5)
    _, stacked = stack_table(table, scales(table), GREEDY, KINDS, {}, 24)
    whole = stacked.whole()
    monkeypatch.setattr(parquet, "BLOCK_ROWS", 700)
    assert len(list(stacked.blocks())) > 1
    write_series(stacked.blocks(), tmp_path / "forecasts.parquet")
    read = pd.concat(series_blocks(tmp_path / "forecasts.parquet"), ignore_index=True)
    texts = {"unique_id": object, "split": object}
    pd.testing.assert_frame_equal(read.astype(texts), whole, check_dtype=False)
    assert np.isfinite(read["q0.1"]).all()
