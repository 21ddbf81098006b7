"""A sample of whole series: the same ones however the data is ordered, and whatever other rows they have."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def sample_series(names: "pd.Series[Any]", most: int) -> NDArray[np.bool_]:
    """Which rows belong to the series of a sample, chosen by the hash of their names.

    Args:
        names: The series of each row.
        most: Rows of the sample; one series at least is in it.

    Returns:
        Shape (rows,); all of them where they are no more than ``most``.

    >>> sample_series(pd.Series(["a", "a", "b", "c"]), 3)
    array([False, False,  True,  True])
    """
    codes, series = pd.factorize(names)
    order = np.argsort([hashlib.sha256(str(name).encode()).digest() for name in series], kind="stable")
    rows = np.cumsum(np.bincount(codes, minlength=len(series))[order])
    chosen = np.zeros(len(series), dtype=bool)
    chosen[order[: max(int(np.searchsorted(rows, most, side="right")), 1)]] = True
    return np.asarray(chosen[codes])
