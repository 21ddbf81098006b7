"""A sample of whole series: the same ones however the data is ordered, and whatever other rows they have."""

import hashlib

import numpy as np
import pandas as pd


def sample_series(rows: "pd.Series[int]", most: int) -> "pd.Series[int]":
    """Choose series by the hash of their names.

    Args:
        rows: Of each series, indexed by its name.
        most: Rows of the sample; one series at least is in it.

    Returns:
        The chosen ones among ``rows``, in their order; all of them where they have no more than ``most``.

    >>> sample_series(pd.Series({"a": 2, "b": 1, "c": 1}), 3).to_dict()
    {'b': 1, 'c': 1}
    """
    order = np.argsort([hashlib.sha256(str(name).encode()).digest() for name in rows.index], kind="stable")
    until = np.cumsum(rows.to_numpy()[order])
    return rows.iloc[np.sort(order[: max(int(np.searchsorted(until, most, side="right")), 1)])]
