"""The split of each series: its cut-offs, origins, route and scales, by the plan that ``splits`` makes."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.offsets import Tick

from kubecast.config.training import TrainingSettings
from kubecast.data.calendars import offset_of
from kubecast.data.findings import Notes
from kubecast.data.grid import series_bounds
from kubecast.data.panel import Cutoffs, Panel, PanelSpec
from kubecast.data.splits import Splits, origin_steps, plan_splits, series_scales
from kubecast.errors import DataError

Alignment = Literal["calendar", "series_end"]

_TOGETHER = (
    0.75  # share of series; the others ended, and are no reason to cut those that go on at other times
)


def plan_split(frame: pd.DataFrame, horizon: int, season: int, settings: TrainingSettings) -> Splits:
    """Plan the split of a panel by the length of its median series.

    Args:
        frame: Its rows on the grid, ``unique_id`` categorical.
        horizon: Steps to forecast.
        season: The first season length.
        settings: Hold the shares, the folds and the least number of rows.

    Raises:
        DataError: The panel has too few rows, or its series are too short for the horizon.
    """
    if len(frame) < settings.data.min_samples:
        raise DataError(
            f"the panel has {len(frame)} rows; allowed: at least training.data.min_samples ="
            f" {settings.data.min_samples}"
        )
    length = int(frame["unique_id"].value_counts().median())
    return plan_splits(length, horizon, season, settings.data, settings.validation)


def alignment_of(frame: pd.DataFrame, frequency: str, horizon: int, settings: TrainingSettings) -> Alignment:
    """Calendar cut-offs where most series end within one horizon of the last one, and all share one grid.

    Raises:
        DataError: The settings say calendar cut-offs, and the series end on different grids.
    """
    align = settings.data.align
    if align == "series_end":
        return align
    late = _steps_late(frame, frequency)
    if late is None and align == "calendar":
        raise DataError("series end on different grids; allowed: training.data.align: series_end, or auto")
    together = late is not None and (align == "calendar" or (late <= horizon).mean() >= _TOGETHER)
    return "calendar" if together else "series_end"


def _steps_late(frame: pd.DataFrame, frequency: str) -> NDArray[np.int64] | None:
    """The steps that each series ends before the last one does; None where they are on different grids."""
    ends = frame["ds"].to_numpy()[series_bounds(frame)[1] - 1]
    offset = offset_of(frequency)
    if isinstance(offset, Tick):
        late = (ends.max() - ends).astype(np.int64)
        return None if (late % offset.nanos).any() else late // offset.nanos
    unique, at = np.unique(ends, return_inverse=True)
    last = unique[-1]
    steps = []
    for end in unique:
        times = pd.date_range(end, last, freq=offset)
        if times[0] != end or times[-1] != last:
            return None
        steps.append(len(times) - 1)
    return np.array(steps, dtype=np.int64)[at]


@dataclass(frozen=True)
class _Cuts:
    """The row of each series that lies so many steps before the end of its clock."""

    starts: NDArray[np.intp]
    stops: NDArray[np.intp]
    late: NDArray[np.int64]

    def rows(self, back: NDArray[np.int64] | int) -> NDArray[np.int64]:
        """The row; -1 before a series begins, and its last row where it ended earlier. Shape (series, …)."""
        shape = (-1, *(1 for _ in np.shape(back)))
        starts, stops, late = (each.reshape(shape) for each in (self.starts, self.stops, self.late))
        rows = np.minimum(stops - 1 - (back - late), stops - 1)
        return np.asarray(np.where(rows >= starts, rows, -1), dtype=np.int64)


def split_series(
    frame: pd.DataFrame, spec: PanelSpec, splits: Splits, settings: TrainingSettings, notes: Notes
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split every series by a plan.

    Args:
        frame: The panel's rows on the grid, in order, ``unique_id`` categorical.
        spec: Says how cut-offs are aligned.
        splits: The plan, in steps.
        settings: Hold the folds and the stride of origins.
        notes: Receives the series that are too short or have no scale.

    Returns:
        ``Panel.series`` and ``Panel.origins``.

    Raises:
        DataError: No series varies, or none can be fitted and evaluated.
    """
    starts, stops = series_bounds(frame)
    late = _steps_late(frame, spec.frequency) if spec.align == "calendar" else None
    cuts = _Cuts(starts, stops, np.zeros(len(starts), dtype=np.int64) if late is None else late)
    train = cuts.rows(splits.validation + splits.test)
    series = pd.DataFrame(
        {
            "unique_id": frame["unique_id"].cat.categories.astype(object),
            "train_end": _times_at(frame, train),
            "validation_end": _times_at(frame, cuts.rows(splits.test)),
        }
    )
    series["route"] = _routes(frame, series["unique_id"], starts, train, splits, notes)
    trained = np.arange(len(frame)) <= np.repeat(train, stops - starts)
    series = series.merge(series_scales(frame[trained], spec.season_lengths[0]), on="unique_id", how="left")
    for name in series.loc[series["scale"].isna(), "unique_id"]:
        notes.add("not_scored", "no scale: too few or only equal training rows", series=name)
    if series["scale"].isna().all():
        raise DataError("no series varies in its training split; allowed: at least one that does")
    steps = origin_steps(splits, spec.horizon, settings.validation, spec.season_lengths[0])
    origins = _origins(frame, series["unique_id"], cuts, steps)
    if set(origins["split"]) != {"validation", "test"} or (series["route"] == "fallback").all():
        raise DataError(
            f"no series has the {splits.minimum} training rows and origins to be fitted and evaluated;"
            " allowed: longer series or a shorter horizon"
        )
    return series, origins


def _times_at(frame: pd.DataFrame, rows: NDArray[np.int64]) -> NDArray[Any]:
    return np.where(rows >= 0, frame["ds"].to_numpy()[rows], np.datetime64("NaT", "ns"))


def _routes(
    frame: pd.DataFrame,
    names: "pd.Series[Any]",
    starts: NDArray[np.intp],
    train: NDArray[np.int64],
    splits: Splits,
    notes: Notes,
) -> NDArray[np.object_]:
    running = np.append(0, np.cumsum(frame["observed"].to_numpy()))
    observed = np.where(train >= 0, running[train + 1] - running[starts], 0)
    short = observed < splits.minimum
    for name, count in zip(names[short], observed[short], strict=True):
        detail = f"{count} observed training rows, {splits.minimum} needed: forecast by the fallback"
        notes.add("short", detail, series=name)
    return np.where(short, "fallback", "model").astype(object)


def _origins(frame: pd.DataFrame, names: "pd.Series[Any]", cuts: _Cuts, steps: pd.DataFrame) -> pd.DataFrame:
    rows = cuts.rows(steps["back"].to_numpy())
    # From its last row a series has nothing to be evaluated on.
    series, step = np.nonzero((rows >= 0) & (rows < cuts.stops[:, None] - 1))
    return pd.DataFrame(
        {
            "unique_id": names.to_numpy()[series],
            "cutoff": frame["ds"].to_numpy()[rows[series, step]],
            "split": steps["split"].to_numpy()[step],
            "fold": steps["fold"].to_numpy()[step],
        }
    )


def origins_with_covariates(panel: Panel, notes: Notes) -> pd.DataFrame:
    """The panel's origins less those of series that ended early, whose covariates end with them."""
    kept = panel.has_future_covariates(Cutoffs(panel.origins))
    lost = int((~kept).sum())
    if lost:
        first = panel.origins.loc[~kept, "unique_id"].iloc[0]
        detail = f"known-future covariates end within the horizon of {lost} origins, e.g. of series {first}"
        notes.add("origins_left_out", detail, count=lost)
    return panel.origins[kept].reset_index(drop=True)
