"""What a panel knows of each series beside its rows, so that nobody has to read these for it."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def facts_of_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The extent of each series.

    Args:
        frame: ``unique_id``, ``ds`` and ``y``, in order of series and time; no series is empty.

    Returns:
        ``unique_id`` as text, ``begin`` and ``end``, its first and last time, and ``size``, its mean absolute
        target, 0 where none was observed; in the order of the series.
    """
    names, ds = frame["unique_id"].to_numpy(dtype=object), frame["ds"].to_numpy()
    first = np.flatnonzero(np.append(len(names) > 0, names[1:] != names[:-1]))
    last = np.append(first[1:], len(names)) - 1
    codes = np.repeat(np.arange(len(first)), last - first + 1)
    size = _means(np.abs(frame["y"].to_numpy(dtype=np.float64)), codes, len(first))
    facts = {"unique_id": names[first], "begin": ds[first], "end": ds[last], "size": np.nan_to_num(size)}
    return pd.DataFrame(facts)


def facts_of_training(frame: pd.DataFrame, trained: NDArray[np.bool_]) -> pd.DataFrame:
    """The targets of each series in its training rows.

    Args:
        frame: ``unique_id`` (categorical), ``y`` and ``observed``.
        trained: Which rows are training rows, shape (rows,).

    Returns:
        ``train_mean``, and ``zeros``, the share of 0 among them, NaN where none was observed; a row for each
        category.
    """
    seen = trained & frame["observed"].to_numpy(dtype=bool)
    codes, y = frame["unique_id"].cat.codes.to_numpy()[seen], frame["y"].to_numpy(dtype=np.float64)[seen]
    count = len(frame["unique_id"].cat.categories)
    return pd.DataFrame({"train_mean": _means(y, codes, count), "zeros": _means(y == 0, codes, count)})


def _means(values: NDArray[np.generic], codes: NDArray[np.generic], count: int) -> NDArray[np.float64]:
    """The mean of each group's values that are not missing; NaN where it has none."""
    known = ~np.isnan(values.astype(np.float64))
    sums = np.bincount(codes[known], values[known].astype(np.float64), count)
    sizes = np.bincount(codes[known], minlength=count)
    return np.asarray(np.divide(sums, sizes, out=np.full(count, np.nan), where=sizes > 0))
