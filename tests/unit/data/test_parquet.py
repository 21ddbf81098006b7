from pathlib import Path

import pandas as pd
import pyarrow.compute as pc
import pytest

from kubecast.data import parquet
from kubecast.data.parquet import SeriesReader, column_names, read_parquet, series_blocks, write_series
from kubecast.errors import DataError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pd.DataFrame({"y": [1.0, 2.0]}).to_parquet(tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


def test_python_opens_no_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow's threads would let go of it as the process ends, and abort."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr("pandas.io.parquet.get_handle", refused)
    with pytest.raises(AssertionError, match="opened"):
        pd.read_parquet(file)
    assert read_parquet(file)["y"].tolist() == [1.0, 2.0]


def test_bytes_of_a_file_are_read_as_the_file(file: Path) -> None:
    pd.testing.assert_frame_equal(read_parquet(file.read_bytes()), pd.read_parquet(file))


@pytest.mark.parametrize(("size", "count"), [(1, 4), (2, 3), (3, 3), (7, 2), (100, 1)])
def test_blocks_hold_whole_series_however_row_groups_cut_them(
    tmp_path: Path, size: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "BLOCK_ROWS", size)
    table = pd.DataFrame({"unique_id": list("aaabccccdd"), "y": range(10), "other": 0.5})
    write_series([table], tmp_path / "a.parquet")
    assert column_names(tmp_path / "a.parquet") == ["unique_id", "y", "other"]
    blocks = list(series_blocks(tmp_path / "a.parquet", ["unique_id", "y"]))
    plain = pd.concat([block.astype({"unique_id": object}) for block in blocks], ignore_index=True)
    pd.testing.assert_frame_equal(plain, table[["unique_id", "y"]])
    names = [name for block in blocks for name in block["unique_id"].unique()]
    assert names == list("abcd")
    assert len(blocks) == count


@pytest.mark.parametrize(
    ("size", "rows"), [(1, [2, 2, 2, 4]), (4, [2, 4, 4]), (5, [2, 4, 4]), (6, [4, 6]), (99, [10])]
)
def test_small_row_groups_are_read_together(
    tmp_path: Path, size: int, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pd.DataFrame({"unique_id": list("aabbccddee"), "y": range(10)})
    write_series([table[at : at + 2] for at in range(0, 10, 2)], tmp_path / "a.parquet")
    monkeypatch.setattr(parquet, "BLOCK_ROWS", size)
    blocks = list(series_blocks(tmp_path / "a.parquet"))
    plain = pd.concat([block.astype({"unique_id": object}) for block in blocks], ignore_index=True)
    pd.testing.assert_frame_equal(plain, table)
    assert [len(block) for block in blocks] == rows


def test_empty_file_is_one_empty_block(tmp_path: Path) -> None:
    table = pd.DataFrame({"unique_id": pd.Series([], dtype=object), "y": pd.Series([], dtype=float)})
    write_series([table], tmp_path / "a.parquet")
    [block] = series_blocks(tmp_path / "a.parquet")
    assert (list(block.columns), len(block)) == (["unique_id", "y"], 0)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_reader_takes_one_range_of_series_after_the_other(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "BLOCK_ROWS", size)
    table = pd.DataFrame({"unique_id": list("aaabccccdd"), "y": range(10), "other": list("xyyxxxyxxx")})
    write_series([table], tmp_path / "a.parquet")
    for rows, kept in ((None, table), (pc.field("other") != "y", table[table["other"] != "y"])):
        reader = SeriesReader.of_file(tmp_path / "a.parquet", ["unique_id", "y"], rows)
        for last, names in (("a", "a"), ("c5", "bc"), ("c9", ""), ("z", "d"), ("zz", "")):
            expected = kept.loc[kept["unique_id"].isin([*names]), ["unique_id", "y"]]
            some = reader.until(last).astype({"unique_id": object})
            pd.testing.assert_frame_equal(some, expected.reset_index(drop=True))


@pytest.mark.parametrize("size", [1, 2, 100])
def test_reader_refuses_series_that_are_out_of_order(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "BLOCK_ROWS", size)
    table = pd.DataFrame({"unique_id": list("aacbb"), "y": 1.0})
    write_series([table], tmp_path / "a.parquet")
    reader = SeriesReader.of_file(tmp_path / "a.parquet", ["unique_id", "y"])
    with pytest.raises(DataError, match="rows are not in ascending order of series"):
        reader.until("z")


def test_categories_are_written_as_texts_whatever_they_are_in_each_block(tmp_path: Path) -> None:
    table = pd.DataFrame({"unique_id": list("abcd"), "kind": list("xyzx")})
    parts = (table[:0], table[:1], table[1:])
    blocks = [rows.astype({"unique_id": "category", "kind": "category"}) for rows in parts]
    write_series(blocks, tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "a.parquet"), table)
