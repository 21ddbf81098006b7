"""The values of a column as numbers or text, and how messages name the rows that hold them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from kubecast.errors import DataError

LARGEST = 1e100  # squares of larger values overflow

_MISSING = ["", "nan", "na", "n/a", "null", "none"]


@dataclass(frozen=True)
class Labels:
    """The labels by which messages name the rows of the source.

    Attributes:
        index: One label for each row.
        unit: ``line`` or ``row``.
        ordered: Whether the rows are in the order of the source.
    """

    index: "pd.Index[Any]"
    unit: str
    ordered: bool = True

    @classmethod
    def of_frame(cls, rows: pd.DataFrame) -> "Labels":
        """Take the labels of a frame, e.g. that of ``read_data``."""
        return cls(rows.index, str(rows.attrs.get("unit", "row")), bool(rows.attrs.get("ordered", True)))

    def at(self, bad: NDArray[np.bool_]) -> str:
        """Name the first three rows of a mask and count the others."""
        rows = np.flatnonzero(bad)
        more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
        if isinstance(self.index, pd.MultiIndex):  # of a folder: the file, and the line or row in it
            return "; ".join(f"{file}: {self.unit} {label}" for file, label in self.index[rows[:3]]) + more
        return f"{self.unit} {', '.join(str(self.index[row]) for row in rows[:3])}{more}"


def numbers(column: "pd.Series[Any]", name: str, labels: Labels) -> NDArray[np.float64]:
    """The values as float64, NaN where they are missing.

    Raises:
        DataError: One is no number, or too large.
    """
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        values = _from_text(_trimmed(column), name, labels)
    large = np.abs(values) > LARGEST
    if large.any():
        raise DataError(
            f"{labels.at(large)}: {name} is {values[large][0]:g}; allowed: finite, at most {LARGEST:g}"
        )
    return values


def _trimmed(column: "pd.Series[Any]") -> pa.ChunkedArray:
    if isinstance(column.dtype, pd.ArrowDtype):
        text = pa.array(column).cast(pa.string())
    else:
        text = pa.array(column.astype(str), mask=column.isna().to_numpy(), type=pa.string())
    return pc.utf8_trim_whitespace(text if isinstance(text, pa.ChunkedArray) else pa.chunked_array([text]))


def _from_text(text: pa.ChunkedArray, name: str, labels: Labels) -> NDArray[np.float64]:
    try:
        values = text.cast(pa.float64())
    except pa.ArrowInvalid:
        return _from_odd_text(text, name, labels)
    return np.asarray(values.to_numpy(), dtype=np.float64)


def _from_odd_text(text: pa.ChunkedArray, name: str, labels: Labels) -> NDArray[np.float64]:
    """Text that Arrow does not read as numbers at once: words for a missing value, booleans, or mistakes."""
    words = text.to_pandas().fillna("").str.lower()
    missing = words.isin(_MISSING).to_numpy()
    truth = words.map({"true": 1.0, "false": 0.0}).to_numpy(dtype=np.float64)
    values = (
        truth if not np.isnan(truth[~missing]).any() else pd.to_numeric(words, errors="coerce").to_numpy()
    )
    bad = np.isnan(values) & ~missing
    if bad.any():
        word = str(words[bad].iloc[0])
        hint = (
            " (a decimal comma?)" if word.lstrip("+-").replace(",", "", 1).isdigit() and "," in word else ""
        )
        raise DataError(
            f"{labels.at(bad)}: {name} holds {word[:40]!r}{hint}; allowed: numbers with a decimal point"
        )
    return np.asarray(values, dtype=np.float64)


def text_or_numbers(
    column: "pd.Series[Any]", name: str, text: bool | None, labels: Labels
) -> "pd.Series[Any]":
    """Text or numbers; numbers where every value is one, if it is not known."""
    if text is None:
        if column.isna().all():
            raise DataError(f"column {name} holds no value; allowed: numbers or text")
        text = not all_numbers(column)
    if text:
        words = _trimmed(column).to_pandas().astype(object)
        return pd.Series(words.where(words.notna() & (words != ""), None))
    return pd.Series(numbers(column, name, labels))


def all_numbers(column: "pd.Series[Any]") -> bool:
    """Whether each value is a number or missing."""
    if pd.api.types.is_numeric_dtype(column):
        return True
    text = _trimmed(column)
    missing = pc.is_in(pc.utf8_lower(text), pa.array(_MISSING))
    try:
        text.filter(pc.invert(missing)).cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True
