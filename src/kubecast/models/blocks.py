"""The forecasts of a fitted model, a block of series at a time, and the series that it is fitted to."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from kubecast.data.levels import LevelChanges, changes_by_block, forecast_at_present_level
from kubecast.data.panel import Cutoffs, Panel
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.series_sample import sample_series, strata_of
from kubecast.errors import ModelError
from kubecast.models.artifact import PRODUCTION
from kubecast.models.base import Forecaster, ignore

_LOG = logging.getLogger(__name__)

FORECAST_ROWS = 1 << 21
"""Of a block that is forecast at once, with a call for each level that one of its series was seen at."""

Origins = Callable[[Panel], pd.DataFrame]
"""Chooses the origins in a block: ``unique_id``, ``cutoff``, ``split``, ``fold``."""


def fitted_series(series: pd.DataFrame, most: int | None) -> "pd.Series[int]":
    """The training rows of the series that a model is fitted to, by their names.

    Args:
        series: Those of the panel.
        most: Rows, of more of which a sample of whole series is taken; None: all series.
    """
    known = series[series["route"] == "model"]
    rows = known.set_index("unique_id")["train_rows"]
    return rows if most is None else sample_series(rows, most, strata_of(known))


def usable_series(series: pd.DataFrame) -> int:
    """The number of series that are long enough to be fitted."""
    return int((series["route"] == "model").sum())


def fitted_panel(panel: PanelBlocks, chosen: "pd.Series[int]") -> Panel:
    """The panel of the series of ``fitted_series``, or the whole one where these are all."""
    return panel.whole() if len(chosen) == usable_series(panel.series) else panel.only(chosen.index)


def evaluated_origins(block: Panel) -> pd.DataFrame:
    """Those of the validation and the test split."""
    return block.origins


def production_origins(block: Panel) -> pd.DataFrame:
    """The last row of each series whose known-future covariates reach over the horizon."""
    ends = block.ends
    return ends.frame[block.has_future_covariates(ends)].assign(split=PRODUCTION, fold=0)


def forecast_blocks(
    forecaster: Forecaster,
    panel: PanelBlocks,
    origins: Origins,
    on_changes: Callable[[LevelChanges], None] = ignore,
) -> Iterator[pd.DataFrame]:
    """Forecast at the present level of each series, and log what is seen of levels when all are done.

    Args:
        forecaster: A fitted model.
        panel: Gives the history.
        origins: Of each block.
        on_changes: Gets the changes of level that are seen from a block's origins.

    Yields:
        ``unique_id``, ``cutoff``, ``ds``, ``split``, ``fold`` and forecasts, of each block that has origins.

    Raises:
        ModelError: A forecast is not finite.
    """
    blocks = ((block, Cutoffs.from_frame(origins(block))) for block in panel.larger(FORECAST_ROWS))
    for block, changes in changes_by_block(blocks):
        on_changes(changes)
        if len(changes.origins):
            table = forecast_at_present_level(block, changes, forecaster.forecast)
            _require_finite(table, forecaster.name)
            yield table.merge(origins(block), on=["unique_id", "cutoff"])


def _require_finite(table: pd.DataFrame, name: str) -> None:
    values = table[name].to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        bad: Any = table.loc[~np.isfinite(values)].iloc[0]
        raise ModelError(f"{name}: forecast of series {bad['unique_id']} from {bad['cutoff']} is not finite")


def log_unforecast(panel: PanelBlocks) -> None:
    """Warn of series without a production forecast, as their known-future covariates end too soon."""
    if not panel.spec.future:
        return
    incomplete = [name for block in panel for name in block.ids[~block.has_future_covariates(block.ends)]]
    if incomplete:
        _LOG.warning(
            "no production forecast of %d series, %s first: their known-future covariates end before the"
            " %d steps after the last row",
            len(incomplete),
            incomplete[0],
            panel.spec.horizon,
            extra={"series": incomplete[0]},
        )
