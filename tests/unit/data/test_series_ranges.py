"""Every row is in one range, wherever ranges and blocks begin."""

import itertools
import operator
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from kubecast.data.series_ranges import SeriesRange, in_ranges, ranges_of, row_counts

UNUSUAL = ["", " ", "10", "9", "A", "Z", "a", "a b", "a\n", "b", "Ä", "é", "́e", "日本", "\uffff", "😀"]


def series(sizes: list[int], names: list[str] | None = None) -> pd.DataFrame:
    ids = sorted(names) if names else [f"s{number:05}" for number in range(len(sizes))]
    return pd.DataFrame({"unique_id": ids, "rows": sizes})


def rows_of(table: pd.DataFrame) -> pd.DataFrame:
    names = np.repeat(table["unique_id"].to_numpy(dtype=object), table["rows"])
    return pd.DataFrame({"unique_id": names, "y": np.arange(len(names))})


def cut(rows: pd.DataFrame, ends: list[int]) -> Iterator[pd.DataFrame]:
    """Blocks of whole series that end after so many series."""
    codes, _ = pd.factorize(rows["unique_id"])
    for begin, end in itertools.pairwise([0, *ends, len(rows)]):
        yield rows[(codes >= begin) & (codes < end)].reset_index(drop=True)


def joined(blocks: Iterator[pd.DataFrame], ranges: list[SeriesRange]) -> dict[int, pd.DataFrame]:
    parts = itertools.groupby(in_ranges(blocks, ranges), key=operator.itemgetter(0))
    return {number: pd.concat([rows for _, rows in part], ignore_index=True) for number, part in parts}


def expected(rows: pd.DataFrame, ranges: list[SeriesRange]) -> dict[int, pd.DataFrame]:
    """A plain groupby by the number of each row's range."""
    names = [*dict.fromkeys(rows["unique_id"])]
    numbers = np.repeat(np.arange(len(ranges)), [each.series for each in ranges])
    number_of = dict(zip(names, numbers.tolist(), strict=True))
    groups = rows.groupby([number_of[name] for name in rows["unique_id"]])
    return {number: groups.get_group(number).reset_index(drop=True) for number in range(len(ranges))}


def assert_same(actual: dict[int, pd.DataFrame], other: dict[int, pd.DataFrame]) -> None:
    assert [*actual] == [*other]
    for number, rows in actual.items():
        pd.testing.assert_frame_equal(rows, other[number])


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 64, 1000])
@pytest.mark.parametrize(
    "table",
    [
        series([10]),
        series([10] * 16),
        series([1] * 63),
        series([1, 2, 3, 4, 5, 1000, 5, 4, 3, 2, 1]),
        series([1_000_000, 1, 1, 1]),
        series([1, 1, 1, 1_000_000]),
        series([5] * len(UNUSUAL), UNUSUAL),
    ],
    ids=["one", "equal", "short", "giant", "giant first", "giant last", "unusual names"],
)
def test_ranges_have_every_series_once_and_are_no_more_than_asked(table: pd.DataFrame, count: int) -> None:
    ranges = ranges_of(table, count)
    assert 1 <= len(ranges) <= min(count, len(table))
    position = 0
    for each in ranges:
        own = table.iloc[position : position + each.series]
        assert (each.first, each.last) == (own["unique_id"].iloc[0], own["unique_id"].iloc[-1])
        assert each.rows == own["rows"].sum()
        position += each.series
    assert position == len(table)


@pytest.mark.parametrize("count", [2, 5, 20])
def test_range_has_no_more_than_its_share_and_a_series(count: int) -> None:
    sizes = np.random.default_rng(0).integers(1, 100, 500).tolist()
    ranges = ranges_of(series(sizes), count)
    assert len(ranges) == count
    assert max(each.rows for each in ranges) <= sum(sizes) / count + max(sizes)


@pytest.mark.parametrize("ends", [[], [1, 2, 3], [0, 0, 9, 9]])
@pytest.mark.parametrize("dtype", ["object", "category"])
def test_rows_of_each_series_are_counted(ends: list[int], dtype: str) -> None:
    table = series([*range(1, len(UNUSUAL) + 1)], UNUSUAL)
    blocks = [block.astype({"unique_id": dtype}) for block in cut(rows_of(table), ends)]
    counts = row_counts(blocks)
    assert dict(zip(counts["unique_id"], counts["rows"], strict=True)) == dict(
        zip(table["unique_id"], table["rows"], strict=True)
    )
    assert [*counts["unique_id"]] == [*table["unique_id"]]


def test_no_series_have_no_ranges() -> None:
    assert ranges_of(series([]), 3) == []
    assert [*in_ranges(iter([]), [])] == []


def test_billions_of_rows_are_counted() -> None:
    assert [each.rows for each in ranges_of(series([3_000_000_000] * 4), 2)] == [6_000_000_000] * 2


@pytest.mark.parametrize("count", [1, 2, 5, 16, 100])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", ["object", "str", "category"])
def test_rows_are_cut_as_by_a_groupby_whatever_the_blocks(count: int, seed: int, dtype: str) -> None:
    random = np.random.default_rng(seed)
    table = series(random.integers(1, 9, len(UNUSUAL)).tolist(), UNUSUAL)
    rows, ranges = rows_of(table).astype({"unique_id": dtype}), ranges_of(table, count)
    ends = sorted(random.integers(0, len(table) + 1, seed).tolist())
    assert_same(joined(cut(rows, ends), ranges), expected(rows, ranges))


@pytest.mark.parametrize("ends", [[], [*range(1, 40)], [0, 0, 39, 40, 40]])
def test_giant_series_is_in_one_range(ends: list[int]) -> None:
    table = series([*[2] * 20, 5000, *[2] * 20])
    rows, ranges = rows_of(table), ranges_of(table, 4)
    assert_same(joined(cut(rows, ends), ranges), expected(rows, ranges))
    [giant] = [each for each in ranges if each.rows >= 5000]
    assert giant.last == "s00020"


def test_range_names_itself() -> None:
    assert str(SeriesRange(first="a", last="a", series=1, rows=3)) == "series a"
    assert str(SeriesRange(first="a", last="b", series=12_000, rows=3)) == "series a to b (12,000)"
