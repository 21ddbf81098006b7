"""The table that is stacked: the same whatever the blocks are that it is made of."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kubecast.data import parquet
from kubecast.data.levels import LevelChanges, ScaleLevels, with_level_ratio
from kubecast.data.origins import split_targets
from kubecast.data.panel import KEYS, Cutoffs, Panel
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.parquet import write_series
from kubecast.data.preparation import build_panel
from kubecast.data.sample import generate_series
from kubecast.ensemble.assembly import Assembled, assemble
from kubecast.ensemble.naive import naive_candidates, naive_yardsticks, with_naive
from kubecast.errors import DataError
from kubecast.models.artifact import PRODUCTION
from tests.support.panels import hourly, small_settings

SHIFTED = "s1"


def long_series() -> pd.DataFrame:
    """Hourly series, one of which has twice its level from its 220th row on."""
    rows = hourly(series=4, rows=480)
    is_late = (rows["unique_id"] == SHIFTED) & (rows.groupby("unique_id").cumcount() >= 220)
    return rows.assign(y=rows["y"].where(~is_late, 2 * rows["y"]))


PANELS = {
    "long": lambda: build_panel(long_series(), small_settings()),
    # One validation origin, whose last targets are the test split's.
    "short": lambda: build_panel(generate_series(4, 20), small_settings(season_lengths=[1])),
}


def member(panel: Panel, name: str, path: Path) -> pd.DataFrame:
    """Forecasts as a trainer writes them, those from the last rows after the evaluated ones; in one file."""
    origins = Cutoffs.from_frame(panel.origins)
    evaluated = panel.grid(origins).assign(split="test", fold=0)
    production = panel.grid(panel.ends).assign(split=PRODUCTION, fold=0)
    table = pd.concat([evaluated, production], ignore_index=True)
    table[name] = np.random.default_rng(len(name)).normal(size=len(table))
    write_series([table], path)
    return table[table["split"] != PRODUCTION]


@pytest.mark.parametrize("kind", [*PANELS])
@pytest.mark.parametrize("size", [50, 300, 10_000])
def test_table_is_that_of_the_whole_panel(
    tmp_path: Path, kind: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = PANELS[kind]()
    monkeypatch.setattr(parquet, "BLOCK_ROWS", size)
    panel.save(tmp_path / "panel")
    files = {name: tmp_path / f"{name}.parquet" for name in ("first", "other")}
    expected, levels = _whole(panel)
    for name, path in files.items():
        expected = expected.merge(member(panel, name, path)[[*KEYS, name]], on=KEYS, how="left")
    assembled = assemble(PanelBlocks.open(tmp_path / "panel"), files, tmp_path / "table.parquet")
    table = pd.concat(assembled.forecasts.blocks(), ignore_index=True)
    pd.testing.assert_frame_equal(table.astype({"unique_id": object, "split": object}), expected)
    assert assembled.scale_levels == levels
    assert len(table) < len(panel.grid(Cutoffs.from_frame(panel.origins))) or kind == "long"
    assert (SHIFTED in levels.ratios) == (kind == "long")


def _whole(panel: Panel) -> tuple[pd.DataFrame, ScaleLevels]:
    changes = LevelChanges.detect(panel, Cutoffs.from_frame(panel.origins))
    levels = ScaleLevels.find(panel)
    naives = [*naive_candidates(panel.spec), *naive_yardsticks(panel)]
    table = with_level_ratio(split_targets(panel), changes, levels)
    return with_naive(table, panel, changes, naives), levels


@pytest.mark.parametrize("size", [50, 10_000])
def test_relative_scale_is_the_median_over_all_series(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = PANELS["long"]()
    monkeypatch.setattr(parquet, "BLOCK_ROWS", size)
    panel.save(tmp_path / "panel")
    assembled: Assembled = assemble(PanelBlocks.open(tmp_path / "panel"), {}, tmp_path / "table.parquet")
    training = panel.history(panel.train_end)
    size_of = training["y"].abs().groupby(training["unique_id"]).mean()
    ratios = panel.series.set_index("unique_id")["scale"] / size_of
    assert assembled.relative_scale == pytest.approx(ratios.median(), rel=1e-12)


def test_member_whose_series_are_out_of_order_is_refused(tmp_path: Path) -> None:
    panel = PANELS["long"]()
    panel.save(tmp_path / "panel")
    table = member(panel, "first", tmp_path / "first.parquet")
    backwards = table.sort_values("unique_id", ascending=False, kind="stable")
    write_series([backwards], tmp_path / "first.parquet")
    with pytest.raises(DataError, match="ascending order of series"):
        assemble(
            PanelBlocks.open(tmp_path / "panel"),
            {"first": tmp_path / "first.parquet"},
            tmp_path / "table.parquet",
        )


@pytest.mark.parametrize("ended", ["s0", "s2"])
def test_block_without_an_origin_adds_no_rows(
    tmp_path: Path, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = PANELS["long"]()
    kept = panel.origins[panel.origins["unique_id"] != ended].reset_index(drop=True)
    panel = replace(panel, origins=kept)
    monkeypatch.setattr(parquet, "BLOCK_ROWS", 50)  # each series is a block
    panel.save(tmp_path / "panel")
    expected = _whole(panel)[0].merge(
        member(panel, "first", tmp_path / "first.parquet")[[*KEYS, "first"]], on=KEYS
    )
    files = {"first": tmp_path / "first.parquet"}
    assembled = assemble(PanelBlocks.open(tmp_path / "panel"), files, tmp_path / "table.parquet")
    table = pd.concat(assembled.forecasts.blocks(), ignore_index=True)
    pd.testing.assert_frame_equal(table.astype({"unique_id": object, "split": object}), expected)
    assert ended not in set(table["unique_id"])
