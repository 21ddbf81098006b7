"""Which rows are training, validation and test; the origins of each; and the scales of scaled errors."""

from dataclasses import dataclass
from math import gcd

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.config.training import DataSettings, ValidationSettings
from kubecast.errors import DataError


@dataclass(frozen=True)
class Splits:
    """The plan of a split, in whole steps counted back from the end.

    Attributes:
        length: Steps that the shares were taken of: the panel's median.
        train: Steps before the validation split.
        validation: Steps of the validation split.
        test: Steps of the test split.
        minimum: Training rows that a series needs to be fitted; a shorter one gets the fallback.
    """

    length: int
    train: int
    validation: int
    test: int
    minimum: int


def plan_splits(
    length: int, horizon: int, season: int, data: DataSettings, validation: ValidationSettings
) -> Splits:
    """Split ``length`` steps by time.

    Args:
        length: Steps of the panel's median series.
        horizon: Steps to forecast.
        season: The first season length.
        data: Holds the shares.
        validation: Holds the folds and the stride.

    Raises:
        DataError: The series are too short for the horizon.
    """
    stride = validation.origin_stride or 1
    test = max(horizon, round(data.test_ratio * length))
    held_out = max(horizon + 2 * stride * (validation.cv_folds - 1), round(data.val_ratio * length))
    minimum = horizon + season + 1
    train = length - test - held_out
    if train < minimum:
        needed = smallest_length(horizon, season, data, validation)
        raise DataError(
            f"horizon {horizon} with season length {season} and {validation.cv_folds} folds needs series of"
            f" {needed} rows, the median is {length}; allowed: a shorter horizon, fewer folds or more data"
        )
    return Splits(length, train, held_out, test, minimum)


def smallest_length(horizon: int, season: int, data: DataSettings, validation: ValidationSettings) -> int:
    """The fewest rows of a series that ``plan_splits`` accepts."""
    stride = validation.origin_stride or 1
    minimum = horizon + season + 1
    span = horizon + 2 * stride * (validation.cv_folds - 1)
    length = minimum + span + horizon
    while (
        length - max(horizon, round(data.test_ratio * length)) - max(span, round(data.val_ratio * length))
        < minimum
    ):
        length += 1
    return length


def stride_of(span: int, validation: ValidationSettings, season: int) -> int:
    """Steps between origins in a split whose first and last origin lie ``span`` steps apart.

    The default is the smallest that gives at most ``max_origins`` and has no factor in common with the
    season, so that origins fall on every phase of it.
    """
    if validation.origin_stride is not None:
        return validation.origin_stride
    stride = max(1, -(-span // max(validation.max_origins - 1, 1)))
    while gcd(stride, season) > 1:
        stride += 1
    return stride


def origin_steps(splits: Splits, horizon: int, validation: ValidationSettings, season: int) -> pd.DataFrame:
    """The origins of both splits, counted in steps back from the end of the series.

    Returns:
        ``back`` (steps between the origin and the end), ``split``, ``fold``; oldest first.
    """
    tables = []
    for split, begin, size in (
        ("validation", splits.validation + splits.test, splits.validation),
        ("test", splits.test, splits.test),
    ):
        span = size - horizon
        stride = stride_of(span, validation, season)
        steps = np.arange(0, span + 1, stride)[-validation.max_origins :]
        folds = np.array_split(np.arange(len(steps)), min(validation.cv_folds, len(steps)))
        fold = np.concatenate([np.full(len(rows), number) for number, rows in enumerate(folds)])
        tables.append(pd.DataFrame({"back": begin - steps, "split": split, "fold": fold}))
    return pd.concat(tables, ignore_index=True)


def scales(y: NDArray[np.float64], observed: NDArray[np.bool_], season: int) -> tuple[float, float]:
    """The denominators of MASE and RMSSE of one series, from its observed training rows.

    Args:
        y: Shape (rows,).
        observed: Shape (rows,).
        season: m; a scale that is zero or undefined falls back to m = 1.

    Returns:
        The mean absolute and the root mean squared seasonal difference; NaN where both are zero or undefined.

    Source: Hyndman & Koehler (2006), "Another look at measures of forecast accuracy".
    """
    for lag in dict.fromkeys((season, 1)):
        both = observed[lag:] & observed[:-lag]
        difference = (y[lag:] - y[:-lag])[both]
        if len(difference) and np.any(difference != 0):
            return float(np.mean(np.abs(difference))), float(np.sqrt(np.mean(difference**2)))
    return float("nan"), float("nan")


def series_scales(frame: pd.DataFrame, season: int) -> pd.DataFrame:
    """The scales of every series; one without its own gets the panel's median relative scale.

    Args:
        frame: Training rows alone: ``unique_id``, ``y``, ``observed``.
        season: The first season length.

    Returns:
        ``unique_id``, ``scale``, ``rmsse_scale``; NaN for a series that has none, which is then not scored.
    """
    rows = []
    for unique_id, group in frame.groupby("unique_id", sort=True, observed=True):
        y, observed = group["y"].to_numpy(dtype=np.float64), group["observed"].to_numpy(dtype=bool)
        level = float(np.mean(np.abs(y[observed]))) if observed.any() else float("nan")
        rows.append((unique_id, *scales(y, observed, season), level))
    table = pd.DataFrame(rows, columns=["unique_id", "scale", "rmsse_scale", "level"])
    level_of = table.pop("level").where(lambda values: values > 0)
    for column in ("scale", "rmsse_scale"):
        table[column] = table[column].fillna(level_of * (table[column] / level_of).dropna().median())
    return table
