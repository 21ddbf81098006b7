"""The history that a fitted model forecasts from: rows as preparation reads them, but not split."""

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from pandas.tseries.offsets import Tick

from kubecast.config.training import TrainingSettings
from kubecast.data.calendars import offset_of
from kubecast.data.clock import check_clock, on_training_clock
from kubecast.data.columns import Known, Read, read_future
from kubecast.data.covariates import clean_covariates
from kubecast.data.extents import without_gappy
from kubecast.data.findings import DataReport, Notes
from kubecast.data.grid import series_bounds
from kubecast.data.panel import Panel, PanelSpec
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.quality import constant_in_future, note_constant_future
from kubecast.data.reading import days_of, days_of_rows, on_rows_clock, read_blocks
from kubecast.data.roles import with_two_columns
from kubecast.data.row_blocks import Keep, Rows, as_one, in_memory, one_block
from kubecast.data.rows_on_grid import RowsOnGrid, of_series, plain, to_grid, without
from kubecast.data.series_names import are_plain
from kubecast.data.series_table import facts_of_rows
from kubecast.data.stale import note_stale
from kubecast.errors import DataError

_LOG = logging.getLogger(__name__)
_WARNINGS = ("left_out", "stale", "constant_future", "static")


def history_panel(
    rows: pd.DataFrame,
    settings: TrainingSettings,
    spec: PanelSpec,
    *,
    future: pd.DataFrame | None = None,
    as_of: pd.Timestamp | None = None,
    known: Collection[str] = (),
) -> Panel:
    """``history_blocks`` of rows that are in memory, in any order, as one panel."""
    panel = history_blocks(
        one_block(rows), settings, spec, in_memory, future=future, as_of=as_of, known=known
    )
    return panel.whole()


def history_blocks(
    source: Rows,
    settings: TrainingSettings,
    spec: PanelSpec,
    keep: Keep,
    *,
    future: pd.DataFrame | None = None,
    as_of: pd.Timestamp | None = None,
    known: Collection[str] = (),
) -> PanelBlocks:
    """Check and repair rows for a model that is already fitted; they are not split.

    Args:
        source: See ``read_blocks``.
        settings: Those of the training run.
        spec: That of the training run's panel.
        keep: Keeps the rows.
        future: Known-future covariates after the rows' end, under the same column names.
        as_of: In UTC. Of rows after it only the known-future covariates are used.
        known: Series that the model was trained on, which keep their names.

    Returns:
        A panel with no origins, no cut-offs and no scales. Its zone is ``training.data.timezone``, even UTC,
        or the place that the model was trained on; else that of the rows.

    Raises:
        DataError: The rows break the data contract, lack a column that the model was trained with, or are on
            another clock.
    """
    notes = Notes()
    if not are_plain(known):  # blocks are in the order of plain names
        source = as_one(source)
    settings = on_training_clock(with_two_columns(next(source()), settings, notes), spec)
    days = days_of_rows(source, settings, spec.frequency)
    moment = None if as_of is None else on_rows_clock(as_of, source, settings, spec.frequency, days.are_named)
    frame_of = _with_future(future if spec.future else None, settings, spec, known)
    columns = Known(spec.categories, days, known)
    rows, clock = read_blocks(source, settings, notes, keep, moment, columns, frame_of)
    grid = to_grid(rows, spec.frequency, settings, notes, keep)
    extents = without_gappy(grid.extents, spec.season_lengths, settings, notes)
    note_stale(extents, spec.frequency, spec.horizon, notes)
    spec = spec.model_copy(update={"timezone": clock.zone})
    panel = _cleaned(grid, extents, spec, settings, notes, keep)
    note_constant_future(list(map(constant_in_future, panel)), notes)
    for finding in notes.findings:
        if finding.what in _WARNINGS:
            what = finding.what.replace("_", " ")
            _LOG.warning("%s: %s", what, finding.detail, extra={"series": finding.series})
    report = DataReport(rows=int(extents["rows"].sum()), series=len(extents), findings=notes.findings)
    return replace(panel, outline=replace(panel.outline, report=report))


def _cleaned(
    grid: RowsOnGrid,
    extents: pd.DataFrame,
    spec: PanelSpec,
    settings: TrainingSettings,
    notes: Notes,
    keep: Keep,
) -> PanelBlocks:
    """The panel of the series that are kept, which ``extents`` has."""
    left_out = set(grid.extents["unique_id"]) - set(extents["unique_id"])
    statics, facts = [], []

    def blocks() -> Iterator[pd.DataFrame]:
        kept = (without(block, left_out) for block in grid.rows())
        for block, static in clean_covariates(filter(len, kept), settings, notes):
            frame = plain(block)
            statics.append(static)
            facts.append(facts_of_rows(frame))
            yield frame

    rows = keep("panel", blocks())
    static, series = (pd.concat(tables, ignore_index=True) for tables in (statics, facts))
    never = np.full(len(series), np.datetime64("NaT", "ns"))
    series = series.assign(train_end=never, validation_end=never, train_rows=0, route="model")
    series[["train_mean", "zeros", "scale", "rmsse_scale"]] = np.nan
    origins = pd.DataFrame({"unique_id": [], "cutoff": [], "split": [], "fold": []})
    none = next(rows()).iloc[:0].copy()
    return PanelBlocks(Panel(none, static, spec, series, origins, of_series(grid.ahead, series)), rows)


def _with_future(
    future: pd.DataFrame | None, settings: TrainingSettings, spec: PanelSpec, known: Collection[str]
) -> Callable[[Read], pd.DataFrame]:
    """What checks the clock of a block, and adds its known-future covariates from a file of their own."""
    ahead, zone = pd.DataFrame({"unique_id": [], "ds": []}), spec.timezone
    if future is not None:
        ahead, zone = read_future(future, settings, days_of(spec.frequency), known)
    names = ahead["unique_id"].to_numpy(dtype=object)

    def frame_of(read: Read) -> pd.DataFrame:
        check_clock(read.clock.zone, spec, "the data")
        if future is None:
            return read.frame
        check_clock(zone, spec, "the file of future covariates")
        series = read.frame["unique_id"].cat.categories
        first, after = np.searchsorted(names, series[0]), np.searchsorted(names, series[-1], side="right")
        own = ahead.iloc[first:after]
        if settings.data.resample is None:
            _refuse_other_steps(read.frame, own, spec.frequency)
        return _joined(read.frame, own)

    return frame_of


def _refuse_other_steps(frame: pd.DataFrame, future: pd.DataFrame, frequency: str) -> None:
    """Refuse known-future covariates between the steps of the data, as of a clock half an hour off."""
    offset = offset_of(frequency)
    if not isinstance(offset, Tick):
        return
    starts, stops = series_bounds(frame)
    ds = frame["ds"].to_numpy()
    # A series that is off its own grid is not the future's fault: complete_grids names it.
    own = ((ds[stops - 1] - ds[starts]).astype(np.int64) % offset.nanos) == 0
    first = pd.Series(ds[starts][own], index=frame["unique_id"].array[starts][own].astype(object))
    known = future[future["unique_id"].isin(first.index)]
    since = known["ds"].to_numpy() - first.loc[known["unique_id"]].to_numpy()
    off = known[since.astype(np.int64) % offset.nanos != 0]
    if len(off):
        row = off.iloc[0]
        raise DataError(
            f"the file of future covariates, series {row['unique_id']}: {row['ds']} is between the steps"
            f" of the data ({len(off)} such rows); allowed: times of the same steps of {frequency},"
            " on the same clock"
        )


def _joined(frame: pd.DataFrame, future: pd.DataFrame) -> pd.DataFrame:
    """Add rows that have no target; a row of the data that has one is kept as it is."""
    known = future[future["unique_id"].isin(frame["unique_id"].cat.categories)]
    both = pd.concat([known, frame.assign(unique_id=frame["unique_id"].astype(object))], ignore_index=True)
    both["unique_id"] = pd.Categorical(both["unique_id"], categories=frame["unique_id"].cat.categories)
    both = both.assign(unobserved=both["y"].isna()).sort_values(
        ["unique_id", "ds", "unobserved"], kind="stable"
    )
    again = both.duplicated(["unique_id", "ds"]) & both["unobserved"]  # targets of one time may be added up
    return both.loc[~again, list(frame.columns)].reset_index(drop=True)
