"""What is known of each series on its grid, from which all that concerns every series is decided."""

import numpy as np
import pandas as pd

from kubecast.config.training import TrainingSettings
from kubecast.data.findings import Notes
from kubecast.data.grid import series_bounds
from kubecast.errors import DataError


def extents_of(frame: pd.DataFrame) -> pd.DataFrame:
    """The extent of each series of a block.

    Args:
        frame: ``unique_id`` (categorical), ``ds`` and ``observed``, each series from its first target to its
            last, on the grid.

    Returns:
        ``unique_id`` as text, ``end``, ``rows``, ``observed`` (of the rows) and ``gap``, the most rows
        between two targets.
    """
    starts, stops = series_bounds(frame)
    seen = np.append(0, np.cumsum(frame["observed"].to_numpy()))
    targets = np.flatnonzero(frame["observed"].to_numpy())
    between = np.diff(targets, prepend=-1) - 1  # of the first of a series 0, as it begins with one
    return pd.DataFrame(
        {
            "unique_id": frame["unique_id"].to_numpy(dtype=object)[starts],
            "end": frame["ds"].to_numpy()[stops - 1],
            "rows": stops - starts,
            "observed": seen[stops] - seen[starts],
            "gap": np.maximum.reduceat(between, seen[starts]) if len(starts) else between,
        }
    )


def without_gappy(
    extents: pd.DataFrame, seasons: list[int], settings: TrainingSettings, notes: Notes
) -> pd.DataFrame:
    """Leave out series with too much missing, and report what is missing in the others.

    Args:
        extents: Of all series.
        seasons: Season lengths.
        settings: Hold what is allowed.
        notes: Receives what is missing, and what is left out.

    Raises:
        DataError: No series is left.
    """
    max_gap = settings.data.max_gap or 3 * max(seasons)
    zero = ", or training.data.empty: zero, where a step without a row is one of 0"
    left_out: dict[str, str] = {}
    for name, size, observed, gap in extents.loc[
        extents["gap"] > 0, ["unique_id", "rows", "observed", "gap"]
    ].itertuples(index=False):
        count = size - observed
        amount = f"{count} of {size} targets are missing, {gap} of them in one gap"
        if gap > max_gap:
            left_out[name] = f"{amount}; allowed: training.data.max_gap = {max_gap}{zero}"
        elif count / size > settings.data.max_missing:
            share = f"{settings.data.max_missing:g}"
            left_out[name] = f"{amount}; allowed: a share of training.data.max_missing = {share}{zero}"
        else:
            notes.add("missing", amount, series=name, count=int(count))
    for name, detail in left_out.items():
        notes.add("left_out", detail, series=name)
    kept = extents[~extents["unique_id"].isin(list(left_out))].reset_index(drop=True)
    if kept.empty:
        name, detail = next(iter(left_out.items()))
        raise DataError(f"series {name}: {detail}")
    return kept
