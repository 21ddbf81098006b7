"""A saved panel in blocks of whole series."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from kubecast.data import parquet
from kubecast.data.panel import Panel
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.preparation import build_panel
from kubecast.errors import DataError
from tests.support.panels import WITH_COVARIATES, hourly, small_settings

RANGES = [
    ("s0", "s0", ["s0"]),
    ("s1", "s2", ["s1", "s2"]),
    ("a", "z", ["s0", "s1", "s2"]),
    ("s01", "s1z", ["s1"]),
]
TABLES = ("frame", "static", "series", "origins", "future_covariates")


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A panel of three series with covariates, in row groups that hold none of them whole."""
    monkeypatch.setattr(parquet, "BLOCK_ROWS", 100)
    build_panel(hourly(covariates=True), small_settings(data=WITH_COVARIATES)).save(tmp_path / "panel")
    return tmp_path / "panel"


def test_blocks_together_are_the_panel(saved: Path) -> None:
    whole, blocks = Panel.load(saved), [*PanelBlocks.open(saved)]
    assert [block.ids.tolist() for block in blocks] == [[name] for name in whole.ids]
    for name in TABLES:
        together = pd.concat([getattr(block, name) for block in blocks], ignore_index=True)
        pd.testing.assert_frame_equal(together, getattr(whole, name))
    assert {block.spec.model_dump_json() for block in blocks} == {whole.spec.model_dump_json()}


def test_outline_has_all_but_the_rows(saved: Path) -> None:
    whole, outline = Panel.load(saved), PanelBlocks.open(saved).outline
    pd.testing.assert_frame_equal(outline.frame, whole.frame.iloc[:0].reset_index(drop=True))
    for name in TABLES[1:]:
        pd.testing.assert_frame_equal(getattr(outline, name), getattr(whole, name))


def test_damaged_rows_are_named(saved: Path) -> None:
    damaged = bytearray((saved / "panel.parquet").read_bytes())
    damaged[200] ^= 0xFF
    (saved / "panel.parquet").write_bytes(damaged)
    with pytest.raises(DataError, match=r"panel: not a panel \("):
        list(PanelBlocks.open(saved))


def test_blocks_of_a_panel_in_one_row_group_are_one(tmp_path: Path) -> None:
    build_panel(hourly(), small_settings()).save(tmp_path / "panel")
    assert len([*PanelBlocks.open(tmp_path / "panel")]) == 1


@pytest.mark.parametrize(("least", "count"), [(1, 3), (401, 2), (10_000, 1)])
def test_larger_blocks_hold_the_same_series(saved: Path, least: int, count: int) -> None:
    panel = PanelBlocks.open(saved)
    larger = [*panel.larger(least)]
    assert len(larger) == count
    assert all(len(block.frame) >= least for block in larger[:-1])
    pd.testing.assert_frame_equal(
        pd.concat([block.frame for block in larger], ignore_index=True), panel.whole().frame
    )
    assert [name for block in larger for name in block.origins["unique_id"].unique()] == [*panel.whole().ids]


@pytest.mark.parametrize(("first", "last", "names"), RANGES)
def test_series_between_two_names_are_those_of_the_panel(
    saved: Path, first: str, last: str, names: list[str]
) -> None:
    panel = PanelBlocks.open(saved)
    part, expected = panel.between(first, last), panel.only(names)
    assert [block.ids.tolist() for block in part] == [[name] for name in names]
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(part.whole(), name), getattr(expected, name))


def test_no_row_after_the_last_name_is_read(saved: Path) -> None:
    panel = PanelBlocks.open(saved)
    read: list[str] = []

    def rows() -> Iterator[pd.DataFrame]:
        for block in panel.rows():
            read.extend(block["unique_id"].unique())
            yield block

    part = replace(panel, rows=rows).between("s0", "s0")
    assert len([*part]) == 1
    assert read == ["s0", "s1"]
