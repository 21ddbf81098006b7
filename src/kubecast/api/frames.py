"""DataFrames of the caller: pandas in gives pandas out, polars in gives polars out.

polars is never imported here: where a caller has a frame of it, it is there.
"""

from typing import Any, TypeAlias

import narwhals as nw
import pandas as pd
import pyarrow as pa

from kubecast.errors import DataError

Frame: TypeAlias = Any
"""A DataFrame of pandas or polars, or a table of PyArrow."""


def to_pandas(df: Frame, name: str) -> pd.DataFrame:
    """The rows of a caller's frame.

    Args:
        df: The frame.
        name: Of the caller's argument, for messages.

    Raises:
        DataError: It is no DataFrame.
    """
    if isinstance(df, pd.DataFrame):
        return df
    return _eager(df, name).to_pandas()


def like(table: pd.DataFrame, df: Frame) -> Frame:
    """A result as a frame of the library that another frame is of; pandas where that is None."""
    if df is None or isinstance(df, pd.DataFrame):
        return table
    rows = pa.Table.from_pandas(table, preserve_index=False)
    return nw.from_arrow(rows, backend=_eager(df, "df").implementation).to_native()


def empty(df: Frame) -> Frame:
    """None of the rows of a frame: enough for ``like``."""
    return df.iloc[:0] if isinstance(df, pd.DataFrame) else _eager(df, "df").head(0).to_native()


def _eager(df: Frame, name: str) -> "nw.DataFrame[Any]":
    try:
        return nw.from_native(df, eager_only=True)
    except TypeError as error:
        found = type(df).__name__
        raise DataError(f"{name}: found {found}; allowed: a DataFrame of pandas or polars") from error
