import re
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubecast.api.frames import to_pandas
from kubecast.data.columns import Known, listed, read_block, read_future
from kubecast.data.findings import Finding, Notes
from kubecast.data.reading import read_blocks
from kubecast.data.roles import OPTIONS
from kubecast.data.row_blocks import in_memory, one_block
from kubecast.data.series_names import match_names
from kubecast.data.timestamps import Days
from kubecast.errors import DataError
from tests.support.panels import WITH_COVARIATES, small_settings


def row_index(y: Any, **columns: Any) -> pd.DataFrame:
    ds = pd.date_range("2024-01-01", periods=len(y), freq="h")
    return pd.DataFrame({"ds": ds, "y": y, **columns})


def read(rows: pd.DataFrame, **changes: object) -> tuple[pd.DataFrame, list[str]]:
    frame, findings = read_with_findings(rows, **changes)
    return frame, [finding.what for finding in findings]


def read_with_findings(rows: pd.DataFrame, **changes: object) -> tuple[pd.DataFrame, list[Finding]]:
    notes = Notes()
    blocks, _ = read_blocks(one_block(rows), small_settings(**changes), notes, in_memory, None)
    [frame] = blocks()
    return frame, notes.findings


@pytest.mark.parametrize(
    "values",
    [
        [1, 0, None],
        ["1", " 0.0 ", ""],
        ["+1", "-0", "NaN"],
        ["1e0", "0", "n/a"],
        [True, False, None],
        ["True", "false", ""],
        [Decimal(1), Decimal(0), None],
        pd.array([1, 0, None], dtype="Int64"),
        pd.array([1, 0, None], dtype="float64[pyarrow]"),
        pd.array(["1", "0", None], dtype="string[pyarrow]"),
        pd.Categorical(["1", "0", None]),
    ],
    ids=str,
)
def test_numbers_are_read_however_they_are_written(values: Any) -> None:
    np.testing.assert_array_equal(read(row_index(values))[0]["y"], [1, 0, np.nan])


@pytest.mark.parametrize("text", ["1_000", "0x10", "1,234.5", "12 kg", "(5)", "2024-01-01", "truely"])
def test_text_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"row 1: y holds .*; allowed: numbers with a decimal point"):
        read(row_index(["1", text, "2"]))


def test_timestamps_are_no_numbers() -> None:
    with pytest.raises(DataError, match="y holds '2024"):
        read(row_index(pd.date_range("2024-01-01", periods=3)))


@pytest.mark.parametrize("ids", [[1, 2, 10], ["1", "2", "10"], pd.Categorical(["1", "2", "10"])], ids=str)
def test_series_are_named_by_text_in_its_order(ids: Any) -> None:
    frame, _ = read(row_index([1, 2, 3], unique_id=ids))
    assert list(frame["unique_id"]) == ["1", "10", "2"]
    assert list(frame["y"]) == [1, 3, 2]


@pytest.mark.parametrize(
    "ids",
    [
        [1, 2, 10],
        [1.0, 2.0, 10.0],
        ["1", "2", "10"],
        ["1.0", "2.00", "10"],
        [Decimal("1.00"), Decimal("2.00"), Decimal("10.00")],
        pd.array([1, 2, 10], dtype="Int64"),
        pd.array([1.0, 2.0, 10.0], dtype="float64[pyarrow]"),
        pd.Series([1, 2.0, "10.0"], dtype=object),
        pd.Categorical([1, 2, 10]),
    ],
    ids=str,
)
def test_whole_numbers_name_the_same_series_whatever_the_type_of_their_column(ids: Any) -> None:
    frame, _ = read(row_index([1, 2, 3], unique_id=ids))
    assert list(frame["unique_id"]) == ["1", "10", "2"]
    rows = row_index([1, 2, 3], unique_id=ids)
    as_floats = Known(names=["1.0", "2", "10.0"])  # as they were named once
    known = read_block(rows, small_settings(), as_floats).frame
    assert list(known["unique_id"]) == ["1.0", "10.0", "2"]


def test_floats_too_large_to_name_one_series_are_refused_and_their_remedies_work() -> None:
    large = [9007199254740993, 9007199254740995, 1]
    with pytest.raises(
        DataError, match=r"^row 0, 1: unique_id 9007199254740992 is a float, .*: whole numbers"
    ):
        read(row_index([1, 2, 3], unique_id=[float(each) for each in large]))
    with pytest.raises(DataError, match="unique_id 16777216 is a float"):
        read(row_index([1, 2, 3], unique_id=np.array([16777216, 16777217, 1], dtype=np.float32)))
    sparse = pd.arrays.SparseArray([1.0, 2.0, 3.0])
    assert set(read(row_index([1, 2, 3], unique_id=sparse))[0]["unique_id"]) == {"1", "2", "3"}
    for ids in (large, [str(each) for each in large], [Decimal(each) for each in large]):
        frame, _ = read(row_index([1, 2, 3], unique_id=ids))
        assert set(frame["unique_id"]) == {str(each) for each in large}


@pytest.mark.parametrize("dtype", ["datetime64[ns]", "category", "timestamp[ns][pyarrow]", object])
def test_dates_name_series(dtype: Any) -> None:
    days = pd.Series(pd.date_range("2026-01-01", periods=3)).astype(dtype)
    assert len(read(row_index([1, 2, 3], unique_id=days))[0]["unique_id"].cat.categories) == 3


def test_each_float_is_judged_by_its_own_width() -> None:
    with pytest.raises(DataError, match="unique_id 2048 is a float"):
        read(row_index([1, 2, 3], unique_id=np.array([2048, 2049, 1], dtype=np.float16)))
    wide = np.longdouble(2) ** 53 + np.arange(3)
    with pytest.raises(DataError, match="unique_id 9007199254740992 is a float"):
        read(row_index([1, 2, 3], unique_id=wide))
    mixed = pd.Series([1e8, np.float32(3), "x"], dtype=object)
    assert set(read(row_index([1, 2, 3], unique_id=mixed))[0]["unique_id"]) == {"100000000", "3", "x"}


@pytest.mark.parametrize("name", ["007", "1.10", "1.0.0", "1e3", "-", "1.", ".0", "9007199254740993"])
def test_what_is_no_whole_number_with_zeros_after_it_keeps_its_name(name: str) -> None:
    assert list(read(row_index([1, 2], unique_id=[name, "x"]))[0]["unique_id"].cat.categories) == [name, "x"]


def test_name_that_is_known_as_it_stands_is_kept() -> None:
    assert match_names(["1", "1.0"], ["1.0", "1"]) == {"1": "1", "1.0": "1.0"}


def test_number_and_text_name_the_same_series() -> None:
    frame, _ = read(row_index([1, 2, 3], unique_id=pd.Series([1, "1", "2"], dtype=object)))
    assert frame["unique_id"].nunique() == 2


@pytest.mark.parametrize("name", ["a/b", "../x", "<script>alert(1)</script>", "Zürich ☀", "a,b", "x\ny"])
def test_any_text_may_name_a_series(name: str) -> None:
    frame, _ = read(row_index([1, 2], unique_id=name))
    assert list(frame["unique_id"].cat.categories) == [name]


@pytest.mark.parametrize("name", [None, "", "  "])
def test_series_without_a_name_is_refused(name: str | None) -> None:
    with pytest.raises(DataError, match=r"row 1: unique_id is empty"):
        read(row_index([1, 2], unique_id=pd.Series(["a", name])))


def test_order_of_the_series_in_the_file_does_not_matter() -> None:
    rows = pd.concat([row_index([1, 2], unique_id=name) for name in ("b", "a", "10", "9")], ignore_index=True)
    assert read(rows)[1] == []
    interleaved = rows.sort_values("ds", kind="stable")
    assert read(interleaved)[1] == []


def test_only_rows_before_an_earlier_one_of_their_series_count_as_unsorted() -> None:
    rows = row_index([1, 2, 3, 4]).iloc[[0, 2, 1, 3]]
    frame, findings = read_with_findings(rows)
    assert [(finding.what, finding.count) for finding in findings] == [("sorted", 1)]
    assert list(frame["y"]) == [1, 2, 3, 4]


def test_messages_name_the_lines_of_the_file() -> None:
    rows = row_index(["1", "x", "y", "z", "w"]).set_axis([2, 3, 5, 6, 7])
    rows.attrs["unit"] = "line"
    with pytest.raises(DataError, match=r"^line 3, 5, 6 and 1 more: y holds 'x'"):
        read(rows)


def test_columns_are_renamed_and_unknown_ones_noted() -> None:
    rows = pd.DataFrame({"shop": ["a"], "day": ["2024-01-01"], "sales": ["5"], "": ["0"], "y": ["9"]})
    columns = {"unique_id": "shop", "ds": "day", "y": "sales"}
    frame, findings = read(rows, data={"columns": columns})
    assert list(frame.columns) == ["unique_id", "ds", "y"]
    assert frame["y"].tolist() == [5.0]
    assert findings == ["ignored"]


def test_renamed_series_column_must_be_there() -> None:
    with pytest.raises(DataError, match=r"column shop is missing; found: ds, y"):
        read(row_index([1]), data={"columns": {"unique_id": "shop"}})


def test_static_covariates_are_numbers_where_all_are() -> None:
    rows = row_index([1, 2], size=["1.5", "1.5"], region=["7a", "7a"], floor=[2, 2])
    frame, _ = read(rows, data={"covariates": {"static": ["size", "region", "floor"]}})
    assert frame.loc[0, ["size", "region", "floor"]].tolist() == [1.5, "7a", 2.0]


def test_repeated_rows_are_equal_in_every_column() -> None:
    rows = row_index([1.0, np.nan], promotion=[0, 1], visitors=[np.nan, 2], region="r")
    twice = pd.concat([rows, rows], ignore_index=True)
    frame, findings = read(twice, data=WITH_COVARIATES)
    assert (len(frame), findings) == (2, ["sorted", "deduplicated"])
    twice.loc[3, "promotion"] = 0
    with pytest.raises(
        DataError, match=r"row 1, 3: series series has two different rows at 2024-01-01 01:00:00"
    ):
        read(twice, data=WITH_COVARIATES)


def test_frame_without_rows_or_with_a_column_twice_is_refused() -> None:
    with pytest.raises(DataError, match="the data has no rows"):
        read(row_index([1]).head(0))
    with pytest.raises(DataError, match="column 'y' appears more than once"):
        read(row_index([1]).iloc[:, [0, 1, 1]])
    rows = row_index([1])
    with pytest.raises(DataError, match="column 'y' appears more than once; allowed: each name once, blanks"):
        read(to_pandas(rows.assign(**{" y": rows["y"]}), "df"))


def test_future_needs_only_its_own_columns() -> None:
    rows = row_index([0, 0], unique_id="a", promotion=["1", "0"]).drop(columns="y")
    future, _ = read_future(rows, small_settings(data=WITH_COVARIATES), Days(True))
    assert list(future.columns) == ["unique_id", "ds", "promotion"]
    with pytest.raises(DataError, match="column promotion is missing"):
        read_future(rows.drop(columns="promotion"), small_settings(data=WITH_COVARIATES), Days(True))


def test_long_lists_are_cut() -> None:
    assert listed("ab") == "a, b"
    assert listed(range(7)) == "0, 1, 2, 3, 4 and 2 more"


def test_remedy_for_a_file_without_series_names_its_column_and_works() -> None:
    rows = pd.concat(
        [row_index([1, 2, y], item_id=name, price=1.0) for name, y in (("a", 3), ("b", 4))], ignore_index=True
    )
    message = (
        r"no column unique_id, so that all rows are one series; .* e.g. training.data.columns.(\S+)=(\S+)$"
    )
    with pytest.raises(DataError, match=message) as error:
        read(rows)
    found = re.search(message, str(error.value))
    assert found is not None
    frame, _ = read(rows, data={"columns": {found[1]: found[2]}})
    assert frame["unique_id"].unique().tolist() == ["a", "b"]


def test_series_that_follow_one_another_without_their_column_are_told() -> None:
    rows = row_index(
        [1, 2, 3, 4], store=["a", "a", "b", "b"], weekday=[1, 2, 1, 2], note=["w", "x", "y", "z"]
    )
    _, findings = read_with_findings(rows)
    (finding,) = (each for each in findings if each.what == "one_series")
    assert finding.detail.endswith("allowed: e.g. training.data.columns.unique_id=store")


@pytest.mark.parametrize(("role", "name"), [("ds", "date"), ("y", "Sales"), ("unique_id", "sku")])
def test_remedy_for_a_missing_column_names_one_that_looks_like_it_and_works(role: str, name: str) -> None:
    rows = row_index([1, 2], unique_id="a").rename(columns={role: name})
    columns = {"unique_id": "series"} if role == "unique_id" else {}
    with pytest.raises(DataError, match=rf"training.data.columns.{role}, e.g. {OPTIONS[role]} {name}$"):
        read(rows, data={"columns": columns})
    assert len(read(rows, data={"columns": {role: name}})[0]) == 2


def test_remedies_for_two_rows_of_one_time_work() -> None:
    rows = pd.concat([row_index([1.0, 2, 3], unique_id="a"), row_index([5.0], unique_id="a")])
    with pytest.raises(DataError, match=r"allowed: one for each time, training.data.resample, e.g. sum, or"):
        read(rows)
    assert read(rows, data={"resample": "sum"})[0]["y"].tolist() == [1, 5, 2, 3]
    autumn = pd.DataFrame({"ds": ["2024-10-27 01:00", *["2024-10-27 02:00"] * 2], "y": [1, 2, 3]})
    with pytest.raises(DataError, match=r"training.data.timezone where it is the hour that a local clock"):
        read(autumn)
    assert read(autumn, data={"timezone": "Europe/Berlin"})[0]["ds"].is_unique


def test_blanks_around_a_name_are_not_part_of_it() -> None:
    rows = pd.DataFrame(
        {"unique_id": ["a", "a ", " a"], "ds": pd.date_range("2024-01-01", periods=3), "y": 1.0}
    )
    frame, _ = read(rows)
    assert frame["unique_id"].cat.categories.tolist() == ["a"]
