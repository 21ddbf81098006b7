"""The plan of the split of a panel, and the targets after its origins."""

from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.offsets import Tick

from kubecast.config.training import TrainingSettings
from kubecast.data.calendars import offset_of
from kubecast.data.findings import Notes
from kubecast.data.panel import KEYS, Cutoffs, Panel
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.splits import Splits, plan_splits
from kubecast.errors import DataError

Alignment = Literal["calendar", "series_end"]

_TOGETHER = (
    0.75  # share of series; the others ended, and are no reason to cut those that go on at other times
)


def plan_split(
    extents: pd.DataFrame,
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
        extents: Of its series, from ``extents_of``.
        late: From ``steps_late``.
        horizon: Steps to forecast.
        seasons: Season lengths.
        settings: Hold the shares and the folds.
        notes: Receives what a short history costs.
    """
    size, gaps = extents["rows"], extents["rows"] - extents["observed"]
    if size.sum() < settings.data.min_samples:
        few = f"the panel has {size.sum()} rows, training.data.min_samples is {settings.data.min_samples}"
        notes.add("few_rows", f"{few}: errors and choices between models are uncertain")

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
            some = f"{is_long.sum()} of {len(size)} series have at least {longer.length} rows"
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


def alignment_of(ends: NDArray[Any], frequency: str, horizon: int, settings: TrainingSettings) -> Alignment:
    """Calendar cut-offs where most series end within one horizon of the last one, and all share one grid.

    Args:
        ends: Last time of each series.
        frequency: Of the grid.
        horizon: Steps to forecast.
        settings: Say whether cut-offs are aligned.

    Raises:
        DataError: The settings say calendar cut-offs, and the series end on different grids.
    """
    align = settings.data.align
    if align == "series_end":
        return align
    late = _steps_late(ends, frequency)
    if late is None and align == "calendar":
        raise DataError("series end on different grids; allowed: training.data.align: series_end, or auto")
    together = late is not None and (align == "calendar" or (abs(late) <= horizon).mean() >= _TOGETHER)
    return "calendar" if together else "series_end"


def steps_late(ends: NDArray[Any], frequency: str, align: Alignment) -> NDArray[np.int64]:
    """The steps that each series ends before its clock does: 0 for all where each has a clock of its own."""
    late = _steps_late(ends, frequency) if align == "calendar" else None
    return np.zeros(len(ends), dtype=np.int64) if late is None else late


def _steps_late(ends: NDArray[Any], frequency: str) -> NDArray[np.int64] | None:
    """The steps that each series ends before the last ones do; None where they are on different grids.

    The last ones are a quarter of all: a few that are ahead of the others do not set the clock for them.
    """
    late = _steps_before_last(ends, frequency)
    return None if late is None else late - int(np.quantile(late, 1 - _TOGETHER, method="lower"))


def _steps_before_last(ends: NDArray[Any], frequency: str) -> NDArray[np.int64] | None:
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


def origins_with_covariates(panel: PanelBlocks, notes: Notes) -> pd.DataFrame:
    """The panel's origins less those of series that ended early, whose covariates end with them."""
    if not panel.spec.future:
        return panel.outline.origins
    known = [block.has_future_covariates(Cutoffs(block.origins)) for block in panel]
    kept, origins = np.concatenate(known), panel.outline.origins
    lost = int((~kept).sum())
    if lost:
        first = origins.loc[~kept, "unique_id"].iloc[0]
        detail = f"known-future covariates end within the horizon of {lost} origins, e.g. of series {first}"
        notes.add("origins_left_out", detail, count=lost)
    return origins[kept].reset_index(drop=True)
