"""Data of the caller: pandas in gives pandas out, polars in gives polars out; or where the data is.

polars is never imported here: where a caller has a frame of it, it is there.
"""

from pathlib import Path
from typing import Any, TypeAlias

import narwhals as nw
import pandas as pd
import pyarrow as pa

from kubecast.config.training import DataSettings
from kubecast.data.files import read_data, settings_for
from kubecast.errors import DataError

Frame: TypeAlias = Any
"""A DataFrame of pandas or polars, or a table of PyArrow."""

Data: TypeAlias = Any
"""A frame, or the path or URL of a file, a folder, a table or a database."""


def is_location(data: Data) -> bool:
    """Whether it is a path or a URL."""
    return isinstance(data, str | Path)


def rows_of(data: Data, name: str, settings: DataSettings) -> pd.DataFrame:
    """The rows of a frame or of a data file.

    Args:
        data: The frame, or where the rows are.
        name: Of the caller's argument, for messages.
        settings: Say how a file is read.

    Raises:
        DataError: It is neither, or cannot be read.
    """
    if not is_location(data):
        return to_pandas(data, name)
    return read_data(str(data), settings_for(str(data), settings)).rows


def to_pandas(df: Frame, name: str) -> pd.DataFrame:
    """The rows of a caller's frame, whose columns' names lose the blanks around them.

    Raises:
        DataError: It is no DataFrame.
    """
    rows = df if isinstance(df, pd.DataFrame) else _eager(df, name).to_pandas()
    plain = {each: each.strip() for each in rows.columns if isinstance(each, str) and each != each.strip()}
    return rows.rename(columns=plain) if plain else rows


def like(table: pd.DataFrame, data: Data) -> Frame:
    """A result as a frame of the library that the data is a frame of; pandas where it is none."""
    if data is None or is_location(data) or isinstance(data, pd.DataFrame):
        return table
    rows = pa.Table.from_pandas(table, preserve_index=False)
    return nw.from_arrow(rows, backend=_eager(data, "df").implementation).to_native()


def empty(data: Data) -> Frame:
    """None of the rows of a frame, enough for ``like``; None of what is no frame."""
    if is_location(data):
        return None
    return data.iloc[:0] if isinstance(data, pd.DataFrame) else _eager(data, "df").head(0).to_native()


def _eager(df: Frame, name: str) -> "nw.DataFrame[Any]":
    try:
        return nw.from_native(df, eager_only=True)
    except TypeError as error:
        found = type(df).__name__
        raise DataError(
            f"{name}: found {found}; allowed: a DataFrame of pandas or polars, or the path or URL of a file"
        ) from error
