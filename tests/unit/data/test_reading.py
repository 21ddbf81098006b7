"""Rows that come in blocks are forgotten one after the other."""

import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kubecast.data import parquet
from kubecast.data.findings import Notes
from kubecast.data.preparation import write_panel
from kubecast.data.reading import known_of, read_blocks
from kubecast.data.row_blocks import Rows
from tests.support.panels import small_settings

SERIES, ROWS = 20, 500  # of a block


def block(number: int) -> pd.DataFrame:
    names = np.repeat([f"{number:03}-{each:02}" for each in range(SERIES)], ROWS)
    ds = np.tile(pd.date_range("2024-01-01", periods=ROWS, freq="h"), SERIES)
    return pd.DataFrame(
        {"unique_id": names, "ds": ds, "y": np.random.default_rng(number).normal(9, 1, len(ds))}
    )


def source(blocks: int) -> Rows:
    def rows() -> Iterator[pd.DataFrame]:
        return map(block, range(blocks))

    return rows


def last(_name: str, blocks: Iterable[pd.DataFrame]) -> Rows:
    for each in blocks:
        kept = each
    return lambda: iter([kept])


def peak_of_reading(blocks: int, _folder: Path) -> int:
    tracemalloc.start()
    try:
        read_blocks(source(blocks), small_settings(), Notes(), last, None)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def peak_of_preparation(blocks: int, folder: Path) -> int:
    tracemalloc.start()
    try:
        write_panel(source(blocks), small_settings(), folder)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("peak", [peak_of_reading, peak_of_preparation])
def test_memory_does_not_grow_with_the_number_of_blocks(
    peak: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(peak)
    monkeypatch.setattr(parquet, "BLOCK_ROWS", SERIES * ROWS)
    peak(2, tmp_path)  # imports
    assert peak(24, tmp_path) < 1.6 * peak(4, tmp_path)


def test_what_is_known_of_several_blocks_takes_no_more_of_them_than_it_must() -> None:
    read = []

    def rows() -> Iterator[pd.DataFrame]:
        for number in range(4):
            read.append(number)
            yield block(number)

    known_of(rows, small_settings())
    assert read == [0, 1, 0]  # two tell that there are several, and the first tells the type of the times
