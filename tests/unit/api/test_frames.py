from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from kubecast.api.frames import empty, like, rows_of, to_pandas
from kubecast.config.training import DataSettings
from kubecast.errors import DataError
from tests.support.panels import hourly


def test_a_frame_of_pandas_is_taken_and_given_as_it_is() -> None:
    rows = hourly(series=1, rows=30)
    assert to_pandas(rows, "df") is rows
    assert like(rows, rows.iloc[:0]) is rows
    assert like(rows, None) is rows
    assert len(empty(rows)) == 0


def test_blanks_around_the_names_of_columns_do_not_count() -> None:
    rows = hourly(series=1, rows=30)
    pd.testing.assert_frame_equal(to_pandas(rows.rename(columns={"y": " y", "ds": "ds "}), "df"), rows)


def test_a_table_of_arrow_comes_back_as_one() -> None:
    check(pa.Table, pa.Table.from_pandas(hourly(series=2, rows=60)))


def test_a_frame_of_polars_comes_back_as_one() -> None:
    polars = pytest.importorskip("polars")
    df = polars.from_pandas(hourly(series=2, rows=60))
    check(polars.DataFrame, df)
    with pytest.raises(
        DataError, match=r"^df: found LazyFrame; allowed: a DataFrame of pandas or polars, or"
    ):
        to_pandas(df.lazy(), "df")


def check(kind: type, df: Any) -> None:
    rows = to_pandas(df, "df")
    pd.testing.assert_frame_equal(rows, hourly(series=2, rows=60), check_dtype=False)
    times = rows.assign(ds=rows["ds"].dt.tz_localize("Europe/Berlin"))
    again = like(times, empty(df))
    assert isinstance(again, kind)
    pd.testing.assert_frame_equal(to_pandas(again, "df"), times, check_dtype=False)


def test_a_file_is_read_and_gives_pandas(tmp_path: Path) -> None:
    rows, file = hourly(series=1, rows=30), tmp_path / "demand.csv"
    rows.to_csv(file, index=False)
    for location in (file, str(file)):
        assert rows_of(location, "df", DataSettings())["y"].astype(float).tolist() == rows["y"].tolist()
        assert like(rows, location) is rows
        assert empty(location) is None
    with pytest.raises(DataError, match=rf"{file}: .* 100"):
        rows_of(file, "df", DataSettings(max_bytes=100))


@pytest.mark.parametrize("wrong", [[1, 2], b"demand.csv", pd.Series([1.0])])
def test_anything_else_is_refused_in_one_line(wrong: object) -> None:
    with pytest.raises(
        DataError, match=r"^future_df: found \w+; allowed: a DataFrame of pandas or polars, or"
    ):
        to_pandas(wrong, "future_df")
