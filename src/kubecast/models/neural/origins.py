"""The rows that windows of training and validation end on."""

from dataclasses import dataclass

import numpy as np

from kubecast.data.panel import Cutoffs, Panel
from kubecast.errors import ModelError
from kubecast.models.neural.spec import Rows, WindowSpec

TAIL_SHARE = 0.1  # of each series' rows, held out for validation


@dataclass(frozen=True)
class WindowOrigins:
    """Rows that training and validation windows end on.

    Attributes:
        train: Every target lies before the tail.
        validation: Every target lies in the tail; empty without one.
        short: Reason by series, for each that has no training window.
    """

    train: Rows
    validation: Rows
    short: dict[str, str]


def window_origins(panel: Panel, until: Cutoffs, spec: WindowSpec, hold_out: bool) -> WindowOrigins:
    """Find the rows that training and validation windows end on.

    Args:
        panel: Holds the rows.
        until: The last row of each series that may be seen.
        spec: Gives the history that a window needs, and the horizon.
        hold_out: Keep the last max(horizon, 10 %) rows of each series for validation windows.

    Raises:
        ModelError: No series has a training window; the message gives the fewest rows for one.
    """
    least = _least_rows(spec, hold_out)
    observed = np.concatenate([[0], np.cumsum(panel.frame["observed"].to_numpy(dtype=np.int64))])
    train, validation, short, longest = [], [], {}, 0
    for name, end in zip(until.frame["unique_id"], panel.row_index(until), strict=True):
        first = int(panel.indptr[panel.series_codes[end]])
        length = int(end) - first + 1
        longest = max(longest, length)
        tail = _tail(length, spec.horizon) if hold_out else 0
        rows = np.arange(first + spec.history - 1, end - spec.horizon + 1)
        rows = rows[observed[rows + 1 + spec.horizon] > observed[rows + 1]]
        train.append(rows[rows <= end - tail - spec.horizon])
        validation.append(rows[rows >= end - tail] if hold_out else rows[:0])
        if not len(train[-1]):
            short[str(name)] = f"{length} rows up to the cut-off, {least} needed to fit to it"
    if not sum(map(len, train)):
        raise ModelError(
            f"no series has a window: the longest has {longest} rows up to its cut-off; allowed: at least"
            f" {least} for windows of {spec.sequence_length} steps and horizon {spec.horizon}"
        )
    return WindowOrigins(np.concatenate(train), np.concatenate(validation), short)


def _tail(length: int, horizon: int) -> int:
    return max(horizon, int(np.ceil(TAIL_SHARE * length)))


def _least_rows(spec: WindowSpec, hold_out: bool) -> int:
    least = spec.history + spec.horizon
    while hold_out and least - _tail(least, spec.horizon) < spec.history + spec.horizon:
        least += 1
    return least
