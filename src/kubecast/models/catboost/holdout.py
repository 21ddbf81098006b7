"""The tail of each series that stops a fit early."""

import numpy as np
from numpy.typing import NDArray

from kubecast.data.panel import Cutoffs, Panel
from kubecast.models.catboost.features import FeatureSpec

TAIL_SHARE = 10  # the tail is one row in so many
SHORT_SHARE = 3  # of a short history


def ends_and_lengths(panel: Panel, until: Cutoffs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row of each cut-off, and the number of rows that its series has up to there."""
    ends = panel.row_index(until)
    return ends, panel.history_lengths(ends)


def tail_lengths(
    panel: Panel, length: NDArray[np.int64], spec: FeatureSpec, max_rows: int
) -> NDArray[np.int64]:
    """Steps of each series that are held out: the horizon or a tenth, of few rows kept at most half.

    Of a short history, a third of the rows that can be fitted to: less a horizon, none might be left.

    Args:
        panel: Gives the horizon.
        length: Rows of each series up to its cut-off.
        spec: Of the features.
        max_rows: Newest rows of each series that are kept.
    """
    kept = np.minimum(length, max_rows)
    horizon = np.where(kept < length, np.minimum(panel.spec.horizon, kept // 2), panel.spec.horizon)
    tail = np.maximum(horizon, kept // TAIL_SHARE)
    third = np.maximum(length - spec.needed, 0) // SHORT_SHARE
    return np.asarray(tail if panel.spec.splits.is_full else np.minimum(tail, third))


def in_tail(
    panel: Panel, until: Cutoffs, rows: NDArray[np.int64], spec: FeatureSpec, max_rows: int
) -> NDArray[np.bool_]:
    """Whether each of the rows is held out; shape (rows,)."""
    ends, length = ends_and_lengths(panel, until)
    first = np.zeros(len(panel.ids), dtype=np.int64)
    first[panel.series_codes[ends]] = ends - tail_lengths(panel, length, spec, max_rows) + 1
    return np.asarray(rows >= first[panel.series_codes[rows]])
