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
from kubecast.data.panel import KEYS, Cutoffs, Panel, PanelSpec
from kubecast.data.series_table import facts_of_rows, facts_of_training
from kubecast.data.splits import Splits, origin_steps, plan_splits, series_scales
from kubecast.errors import DataError

Alignment = Literal["calendar", "series_end"]

_TOGETHER = (
    0.75  # share of series; the others ended, and are no reason to cut those that go on at other times
)


def plan_split(
    frame: pd.DataFrame,
    late: NDArray[np.int64],
    horizon: int,
    seasons: list[int],
    settings: TrainingSettings,
    notes: Notes,
) -> Splits:
    """Plan the split of a panel by the length of its median series, or else of its long ones.

    Many short series beside a quarter of long ones are no reason to take the validation split or the season
    from these: the shorter ones are then fitted up to the test split, if they are long enough to be fitted.

    Args:
        frame: Its rows on the grid, ``unique_id`` categorical.
        late: From ``steps_late``.
        horizon: Steps to forecast.
        seasons: Season lengths.
        settings: Hold the shares and the folds.
        notes: Receives what a short history costs.
    """
    if len(frame) < settings.data.min_samples:
        few = f"the panel has {len(frame)} rows, training.data.min_samples is {settings.data.min_samples}"
        notes.add("few_rows", f"{few}: errors and choices between models are uncertain")
    rows = frame.groupby("unique_id", observed=True)["observed"].agg(["size", "sum"])
    size, gaps = rows["size"], rows["size"] - rows["sum"]

    def planned(length: float, gaps: "pd.Series[Any]") -> Splits:
        unobserved = int(gaps.median())
        return plan_splits(int(length), horizon, seasons, settings.data, settings.validation, unobserved)

    plan = planned(size.median(), gaps)
    if not plan.is_validated or plan.season_lengths[0] != seasons[0]:
        with_origins = size.where(late < horizon, 0)  # one that ended a horizon before has none on the clock
        length = with_origins.quantile(_TOGETHER, interpolation="higher")
        is_long = with_origins >= length
        longer = planned(length, gaps[is_long])
        if longer.is_full and longer.season_lengths[0] == seasons[0]:
            some = f"{is_long.sum()} of {len(rows)} series have at least {longer.length} rows"
            notes.add("split", f"{some}, and the split that they allow; the median series has {plan.length}")
            plan = longer
    if sentence := plan.describe(horizon):
        notes.add("split", sentence)
    if lost := [str(season) for season in seasons if season not in plan.season_lengths]:
        detail = (
            f"no two cycles of {', '.join(lost)} steps lie in the {plan.train} training rows of the median"
        )
        notes.add("season", f"{detail} series: MASE has m = {plan.season_lengths[0]}")
    return plan


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
    together = late is not None and (align == "calendar" or (abs(late) <= horizon).mean() >= _TOGETHER)
    return "calendar" if together else "series_end"


def steps_late(frame: pd.DataFrame, frequency: str, align: Alignment) -> NDArray[np.int64]:
    """The steps that each series ends before its clock does: 0 for all where each has a clock of its own."""
    late = _steps_late(frame, frequency) if align == "calendar" else None
    return np.zeros(len(series_bounds(frame)[0]), dtype=np.int64) if late is None else late


def _steps_late(frame: pd.DataFrame, frequency: str) -> NDArray[np.int64] | None:
    """The steps that each series ends before the last ones do; None where they are on different grids.

    The last ones are a quarter of all: a few that are ahead of the others do not set the clock for them.
    """
    late = _steps_before_last(frame, frequency)
    return None if late is None else late - int(np.quantile(late, 1 - _TOGETHER, method="lower"))


def _steps_before_last(frame: pd.DataFrame, frequency: str) -> NDArray[np.int64] | None:
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
    frame: pd.DataFrame, spec: PanelSpec, settings: TrainingSettings, notes: Notes
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split every series by a plan.

    Args:
        frame: The panel's rows on the grid, in order, ``unique_id`` categorical.
        spec: Holds the plan, and says how cut-offs are aligned.
        settings: Hold the folds and the stride of origins.
        notes: Receives the series that are too short or have no scale.

    Returns:
        ``Panel.series`` and ``Panel.origins``.

    Raises:
        DataError: No series varies, or none can be fitted and evaluated.
    """
    splits, (starts, stops) = spec.splits, series_bounds(frame)
    cuts = _Cuts(starts, stops, steps_late(frame, spec.frequency, spec.align))
    train, test = cuts.rows(splits.validation + splits.test), cuts.rows(splits.test)
    names = pd.Series(frame["unique_id"].cat.categories.astype(object))
    train, fitted = _fitted_rows(frame, names, starts, train, test, splits, notes)
    series = facts_of_rows(frame).assign(
        train_end=_times_at(frame, train),
        validation_end=_times_at(frame, test),
        train_rows=np.where(train >= 0, train - starts + 1, 0),
        route=np.where(fitted, "model", "fallback").astype(object),
    )
    trained = np.arange(len(frame)) <= np.repeat(train, stops - starts)
    series = pd.concat([series, facts_of_training(frame, trained)], axis=1)
    series = series.merge(series_scales(frame[trained], spec.season_lengths[0]), on="unique_id", how="left")
    for name in series.loc[series["scale"].isna(), "unique_id"]:
        notes.add("not_scored", "no scale: too few or only equal training rows", series=name)
    if series["scale"].isna().all():
        raise DataError("no series varies in its training split; allowed: at least one that does")
    steps = origin_steps(splits, spec.horizon, settings.validation)
    origins = _origins(frame, names, cuts, steps, train)
    if set(origins["split"]) != set(steps["split"]):
        raise DataError("no series has origins to be evaluated from; allowed: longer series")
    return series, origins


def _times_at(frame: pd.DataFrame, rows: NDArray[np.int64]) -> NDArray[Any]:
    return np.where(rows >= 0, frame["ds"].to_numpy()[rows], np.datetime64("NaT", "ns"))


def _fitted_rows(
    frame: pd.DataFrame,
    names: "pd.Series[Any]",
    starts: NDArray[np.intp],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    splits: Splits,
    notes: Notes,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The last training row of each series, and whether it is fitted.

    One too short for a validation split of its own is fitted up to the test split: the others' origins are
    what weights and widths come from.
    """
    running = np.append(0, np.cumsum(frame["observed"].to_numpy()))
    counts = [np.where(last >= 0, running[last + 1] - running[starts], 0) for last in (train, test)]
    before, until_test = counts
    joined = (before < splits.minimum) & (until_test >= splits.minimum)
    fitted = (before >= splits.minimum) | joined
    for name, count in zip(names[joined], before[joined], strict=True):
        detail = f"{count} observed rows before the validation split, {splits.minimum} needed: it has none"
        notes.add("short", detail, series=name)
    for name, count in zip(names[~fitted], before[~fitted], strict=True):
        detail = f"{count} observed training rows, {splits.minimum} needed: forecast by the fallback"
        notes.add("short", detail, series=name)
    if not (before >= splits.minimum).any():
        raise DataError(
            f"no series has the {splits.minimum} training rows that a fit needs, the most is"
            f" {before.max()}; allowed: longer series or a shorter horizon"
        )
    return np.where(joined, test, train), fitted


def _origins(
    frame: pd.DataFrame,
    names: "pd.Series[Any]",
    cuts: _Cuts,
    steps: pd.DataFrame,
    train: NDArray[np.int64],
) -> pd.DataFrame:
    rows = cuts.rows(steps["back"].to_numpy())
    # From its last row a series has nothing to be evaluated on, and in its training rows it is not.
    inside = (rows >= 0) & (rows >= train[:, None]) & (rows < cuts.stops[:, None] - 1)
    series, step = np.nonzero(inside)
    return pd.DataFrame(
        {
            "unique_id": names.to_numpy()[series],
            "cutoff": frame["ds"].to_numpy()[rows[series, step]],
            "split": steps["split"].to_numpy()[step],
            "fold": steps["fold"].to_numpy()[step],
        }
    )


def split_targets(panel: Panel) -> pd.DataFrame:
    """The targets after every origin, with split and fold; those of a validation origin end with its split.

    Returns:
        ``unique_id``, ``cutoff``, ``ds``, ``y``, ``observed``, ``split``, ``fold``.
    """
    table = panel.targets(Cutoffs.from_frame(panel.origins)).merge(panel.origins, on=["unique_id", "cutoff"])
    return table[(table["split"] != "validation") | before_test(panel, table)].reset_index(drop=True)


def join_forecasts(
    table: pd.DataFrame, forecasts: pd.DataFrame, how: Literal["inner", "left"] = "inner"
) -> pd.DataFrame:
    """Put forecasts beside a table of the same horizons, in the order of the table.

    Args:
        table: ``KEYS`` and others; indexed from 0.
        forecasts: ``KEYS`` and columns of forecasts, which the table has not; each row once.
        how: Whether rows without a forecast are left out, or have NaN.
    """
    if len(table) == len(forecasts) and all(
        np.array_equal(table[key].to_numpy(), forecasts[key].to_numpy()) for key in KEYS
    ):  # as a rule: nothing has to be looked up
        return table.assign(
            **{str(name): forecasts[name].to_numpy() for name in forecasts.columns.drop(KEYS)}
        )
    plain = forecasts.astype({"unique_id": object})
    return table.merge(plain, on=KEYS, how=how, validate="one_to_one")


def before_test(panel: Panel, table: pd.DataFrame) -> "pd.Series[bool]":
    """Whether the time of each row lies before its series' test split.

    The one validation origin of a short history may be nearer to the test split than the horizon.
    """
    ends = panel.series.set_index("unique_id")["validation_end"]
    return table["ds"] <= table["unique_id"].map(ends)


def origins_with_covariates(panel: Panel, notes: Notes) -> pd.DataFrame:
    """The panel's origins less those of series that ended early, whose covariates end with them."""
    kept = panel.has_future_covariates(Cutoffs(panel.origins))
    lost = int((~kept).sum())
    if lost:
        first = panel.origins.loc[~kept, "unique_id"].iloc[0]
        detail = f"known-future covariates end within the horizon of {lost} origins, e.g. of series {first}"
        notes.add("origins_left_out", detail, count=lost)
    return panel.origins[kept].reset_index(drop=True)
