"""A sample of whole series: the same ones however the data is ordered, and whatever other rows they have."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_HASHES = 2**64


def sample_series(
    rows: "pd.Series[int]", most: int, strata: "pd.Series[Any] | None" = None
) -> "pd.Series[int]":
    """Choose series by the hash of their names.

    Args:
        rows: Of each series, indexed by its name.
        most: Rows of the sample. A series that is larger than what is left is skipped; the first of these
            comes in all the same where the others fill less than half.
        strata: Of each series, on the index of ``rows``. Each gives about the same share of its rows.

    Returns:
        The chosen ones among ``rows``, in their order; all of them where they have no more than ``most``.

    >>> sample_series(pd.Series({"a": 2, "b": 1, "c": 1}), 3).to_dict()
    {'b': 1, 'c': 1}
    """
    hashes = np.array([_hash(name) for name in rows.index], dtype=np.uint64)
    order = np.argsort(hashes, kind="stable")
    if strata is not None:
        shares = _shares(rows.iloc[order], strata.iloc[order])
        order = order[np.argsort(shares, kind="stable")]
    return rows.iloc[np.sort(_fitting(rows.to_numpy(), order, most))]


def _fitting(rows: NDArray[np.integer], order: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """One series after the other, as long as there is place for it."""
    chosen: list[int] = []
    skipped: list[int] = []
    left = most
    for at, count in zip(order.tolist(), rows[order].tolist(), strict=True):
        (chosen if count <= left else skipped).append(at)
        left -= count if count <= left else 0
    return np.array(chosen + skipped[: int(left > most // 2)], dtype=np.intp)


def _hash(name: object) -> int:
    return int.from_bytes(hashlib.sha256(str(name).encode()).digest()[:8], "big")


def _shares(rows: "pd.Series[int]", strata: "pd.Series[Any]") -> NDArray[np.float64]:
    """The share of its stratum's rows that is in a sample when each series comes into it."""
    until, total = rows.groupby(strata).cumsum(), rows.groupby(strata).transform("sum")
    start = strata.map({name: _hash(name) / _HASHES for name in strata.unique()})
    return np.asarray((until - start * rows) / total, dtype=np.float64)


def strata_of(series: pd.DataFrame) -> "pd.Series[str]":
    """Series that are alike: by the order of their scale, of their length, and by how many zeros they have.

    Args:
        series: ``unique_id``, ``scale``, ``train_rows`` and ``zeros``: of training rows alone.

    Returns:
        Indexed by the series' names.
    """
    with np.errstate(divide="ignore"):
        scale = np.floor(np.log10(series["scale"].to_numpy(dtype=np.float64)))
        length = np.floor(np.log2(series["train_rows"].to_numpy(dtype=np.float64)))
    zeros = np.ceil(2 * series["zeros"].to_numpy(dtype=np.float64))  # none, up to half, more
    alike = [" ".join(f"{value:g}" for value in own) for own in zip(scale, length, zeros, strict=True)]
    return pd.Series(alike, pd.Index(series["unique_id"]))
