"""Preparation: from the rows of a data file to a panel, with every check and repair of the data contract.

Rows are looked at a block of series at a time. What concerns all series is decided between two passes, from
the extents of the series.
"""

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from pandas.tseries.offsets import Tick

from kubecast.config.training import TrainingSettings
from kubecast.data.calendars import offset_of
from kubecast.data.clock import check_clock, on_training_clock
from kubecast.data.columns import (
    Known,
    local_moment,
    naming_source,
    note_read,
    read_block,
    read_future,
    read_rows,
)
from kubecast.data.covariates import clean_covariates
from kubecast.data.extents import extents_of, without_gappy
from kubecast.data.findings import DataReport, Notes
from kubecast.data.grid import complete_grid, complete_grids, find_frequency, season_lengths, series_bounds
from kubecast.data.origins import alignment_of, origins_with_covariates, plan_split, steps_late
from kubecast.data.panel import Panel, PanelSpec
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.quality import constant_in_future, note_constant_future, note_quality
from kubecast.data.reading import check_as_of, days_of, known_of, read_blocks, rows_up_to
from kubecast.data.roles import with_two_columns
from kubecast.data.row_blocks import Keep, Rows, cut, in_folder, in_memory, own_categories
from kubecast.data.series_split import SeriesSplits
from kubecast.data.series_table import facts_of_rows
from kubecast.data.stale import note_stale
from kubecast.errors import ConfigError, DataError

_LOG = logging.getLogger(__name__)

_NO_TARGET = "no series has a target value; allowed: numbers in y"


def build_panel(
    rows: pd.DataFrame, settings: TrainingSettings, *, digest: str = "", as_of: pd.Timestamp | None = None
) -> Panel:
    """Check, repair and split the rows of a data file.

    Args:
        rows: As read, with the file's own column names, in any order.
        settings: The horizon must be set; frequency and season lengths follow from the data if they are not.
        digest: Of the source.
        as_of: In UTC. Of rows after it only the known-future covariates are used.

    Raises:
        DataError: The rows break the data contract.
        ConfigError: The settings do not fit the data.
    """
    return _prepare(lambda: iter([rows]), settings, in_memory, digest, as_of).whole()


def write_panel(
    source: Rows,
    settings: TrainingSettings,
    directory: Path,
    *,
    digest: str = "",
    as_of: pd.Timestamp | None = None,
) -> Panel:
    """``build_panel``, but write the panel to a folder with one block of its rows at a time in memory.

    Args:
        source: See ``read_blocks``.
        settings: As for ``build_panel``.
        directory: Gets the panel.
        digest: Of the source.
        as_of: As for ``build_panel``.

    Returns:
        The panel without its rows.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=directory) as folder:
        panel = _prepare(source, settings, in_folder(Path(folder)), digest, as_of).outline
        panel.save(directory, with_rows=False)
        (Path(folder) / "panel.parquet").rename(directory / "panel.parquet")
    return panel


def _prepare(
    source: Rows, settings: TrainingSettings, keep: Keep, digest: str, as_of: pd.Timestamp | None
) -> PanelBlocks:
    horizon, notes = required_horizon(settings), Notes()
    settings = with_two_columns(next(source()), settings, notes)
    rows, clock = read_blocks(source, settings, notes, keep, as_of)
    texts = next(rows())[settings.data.covariates.static].select_dtypes(exclude="number")
    frequency = find_frequency(rows, settings)
    grid = _to_grid(rows, frequency, settings, notes, keep)
    longest = int(grid.extents["rows"].max())
    seasons = season_lengths(longest, frequency, settings, notes)
    extents = without_gappy(grid.extents, seasons, settings, notes)
    note_stale(extents, frequency, horizon, notes)
    ends = extents["end"].to_numpy()
    align = alignment_of(ends, frequency, horizon, settings)
    late = steps_late(ends, frequency, align)
    splits = plan_split(extents, late, horizon, seasons, settings, notes)
    spec = PanelSpec(
        frequency=frequency,
        horizon=horizon,
        season_lengths=splits.season_lengths,
        future=settings.data.covariates.future,
        past=settings.data.covariates.past,
        static=settings.data.covariates.static,
        categories=list(texts.columns),
        align=align,
        folds=settings.validation.cv_folds,
        digest=digest,
        timezone=clock.zone,
        day_zone=clock.day_zone,
        columns=settings.data.columns.model_dump(),
        splits=splits,
    )
    panel = _split(grid, pd.Series(late, extents["unique_id"]), spec, settings, notes, keep)
    panel = replace(panel, outline=replace(panel.outline, origins=origins_with_covariates(panel, notes)))
    note_quality(panel, extents.set_index("unique_id")["rows"], notes)
    report = DataReport(rows=int(extents["rows"].sum()), series=len(extents), findings=notes.findings)
    return replace(panel, outline=replace(panel.outline, report=report))


@dataclass(frozen=True)
class _Grid:
    """Rows on the grid, each series from its first target to its last.

    Attributes:
        rows: Of all series.
        ahead: What is known in advance after them.
        extents: Of the series.
    """

    rows: Rows
    ahead: pd.DataFrame
    extents: pd.DataFrame


def _to_grid(rows: Rows, frequency: str, settings: TrainingSettings, notes: Notes, keep: Keep) -> _Grid:
    ahead: list[pd.DataFrame] = []
    extents: list[pd.DataFrame] = []

    def blocks() -> Iterator[pd.DataFrame]:
        for block in complete_grids(
            lambda: chain.from_iterable(map(cut, rows())), frequency, settings, notes
        ):
            own, after = _split_ahead(block, settings, notes)
            ahead.append(_plain(after))
            extents.extend([extents_of(own)] if len(own) else [])
            yield own

    kept = keep("grid", blocks())
    if not extents:
        raise DataError(_NO_TARGET)
    return _Grid(kept, pd.concat(ahead, ignore_index=True), pd.concat(extents, ignore_index=True))


def _split(
    grid: _Grid,
    late: "pd.Series[int]",
    spec: PanelSpec,
    settings: TrainingSettings,
    notes: Notes,
    keep: Keep,
) -> PanelBlocks:
    """The panel of the series that are kept, which ``late`` has."""
    splits, statics = SeriesSplits(spec, settings.validation, late), []
    left_out = set(grid.extents["unique_id"]) - set(late.index)

    def blocks() -> Iterator[pd.DataFrame]:
        kept = (_without(block, left_out) for block in grid.rows())
        for block, static in clean_covariates(filter(len, kept), settings, notes):
            statics.append(static)
            splits.add(block)
            yield _plain(block)

    rows = keep("panel", blocks())
    series, origins = splits.tables(notes)
    static = pd.concat(statics, ignore_index=True)
    none = next(rows()).iloc[:0].copy()
    return PanelBlocks(Panel(none, static, spec, series, origins, _of_series(grid.ahead, series)), rows)


def history_panel(
    rows: pd.DataFrame,
    settings: TrainingSettings,
    spec: PanelSpec,
    *,
    future: pd.DataFrame | None = None,
    as_of: pd.Timestamp | None = None,
    known: Collection[str] = (),
) -> Panel:
    """Check and repair rows for a model that is already fitted; they are not split.

    Args:
        rows: As read, with the file's own column names, in any order.
        settings: Those of the training run.
        spec: That of the training run's panel.
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
    settings = with_two_columns(rows, settings, notes)
    settings, days = on_training_clock(settings, spec), days_of(spec.frequency)
    frame, clock = read_rows(rows, settings, notes, Known(spec.categories, days, known))
    check_clock(clock.zone, spec, "the data")
    if future is not None and spec.future:
        ahead, future_zone = read_future(future, settings, days, frame["unique_id"].cat.categories)
        check_clock(future_zone, spec, "the file of future covariates")
        if settings.data.resample is None:
            _refuse_other_steps(frame, ahead, spec.frequency)
        frame = _with_future(frame, ahead)
    as_of = None if as_of is None else _on_rows_clock(as_of, lambda: iter([rows]), settings, spec.frequency)
    frame = complete_grid(_up_to(frame, settings, as_of), spec.frequency, settings, notes)
    frame, ahead = _split_ahead(frame, settings, notes)
    if frame.empty:
        raise DataError(_NO_TARGET)
    found = extents_of(frame)
    extents = without_gappy(found, spec.season_lengths, settings, notes)
    note_stale(extents, spec.frequency, spec.horizon, notes)
    kept = _without(frame, set(found["unique_id"]) - set(extents["unique_id"]))
    [(frame, static)] = clean_covariates([kept], settings, notes)
    frame = _plain(frame)
    never = np.full(len(static), np.datetime64("NaT", "ns"))
    series = facts_of_rows(frame).assign(train_end=never, validation_end=never, train_rows=0, route="model")
    series[["train_mean", "zeros", "scale", "rmsse_scale"]] = np.nan
    origins = pd.DataFrame({"unique_id": [], "cutoff": [], "split": [], "fold": []})
    spec = spec.model_copy(update={"timezone": clock.zone})
    panel = Panel(frame, static, spec, series, origins, _of_series(_plain(ahead), series))
    note_constant_future([constant_in_future(panel)], notes)
    for finding in notes.findings:
        if finding.what in ("left_out", "stale", "constant_future", "static"):
            what = finding.what.replace("_", " ")
            _LOG.warning("%s: %s", what, finding.detail, extra={"series": finding.series})
    report = DataReport(rows=len(frame), series=len(series), findings=notes.findings)
    return replace(panel, report=report)


def _refuse_other_steps(frame: pd.DataFrame, future: pd.DataFrame, frequency: str) -> None:
    """Refuse known-future covariates between the steps of the data, as of a clock half an hour off."""
    offset = offset_of(frequency)
    if not isinstance(offset, Tick):
        return
    starts, stops = series_bounds(frame)
    ds = frame["ds"].to_numpy()
    # A series that is off its own grid is not the future's fault: complete_grid names it.
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


def _with_future(frame: pd.DataFrame, future: pd.DataFrame) -> pd.DataFrame:
    """Add rows that have no target; a row of the data that has one is kept as it is."""
    known = future[future["unique_id"].isin(frame["unique_id"].cat.categories)]
    both = pd.concat([known, frame.assign(unique_id=frame["unique_id"].astype(object))], ignore_index=True)
    both["unique_id"] = pd.Categorical(both["unique_id"], categories=frame["unique_id"].cat.categories)
    both = both.assign(unobserved=both["y"].isna()).sort_values(
        ["unique_id", "ds", "unobserved"], kind="stable"
    )
    again = both.duplicated(["unique_id", "ds"]) & both["unobserved"]  # targets of one time may be added up
    return both.loc[~again, list(frame.columns)].reset_index(drop=True)


def newest_time(source: Rows, settings: TrainingSettings, at: pd.Timestamp) -> pd.Timestamp:
    """The newest timestamp at or before a moment, both as ``ds`` stands in a panel.

    Args:
        source: See ``read_blocks``.
        settings: As for ``build_panel``.
        at: In UTC.

    Raises:
        DataError: The rows cannot be read, or none is so old.
    """
    settings = with_two_columns(next(source()), settings, Notes())
    known = known_of(source, settings)
    at = _on_rows_clock(at, source, settings, settings.frequency, known.days.are_named)
    earliest, newest, reads = pd.Timestamp.max, pd.Timestamp.min, []
    for rows in source():
        read = read_block(rows, settings, known)
        ds = read.frame["ds"]
        earliest, newest = min(earliest, ds.min()), max([newest, *ds[ds <= at].nlargest(1)])
        reads.append(read.without_rows())
    with naming_source(rows):
        note_read(reads, Notes())
    check_as_of(earliest, at)
    return newest


def _on_rows_clock(
    moment: pd.Timestamp,
    source: Rows,
    settings: TrainingSettings,
    frequency: str | None,
    are_named: bool | None = None,
) -> pd.Timestamp:
    """A moment in UTC as the rows stand: on the local clock where they are brought together in days."""
    if settings.data.resample is None or not days_of(frequency).are_local:
        return moment
    return local_moment(source, settings, moment, are_named)


def required_horizon(settings: TrainingSettings) -> int:
    """The horizon, or an error that says where to set it."""
    if settings.horizon is None:
        raise ConfigError("training.horizon is not set; allowed: a whole number of steps, 1 or more")
    return settings.horizon


def _of_series(ahead: pd.DataFrame, series: pd.DataFrame) -> pd.DataFrame:
    """The rows of these series."""
    return ahead[ahead["unique_id"].isin(series["unique_id"])].reset_index(drop=True)


def _without(frame: pd.DataFrame, names: Collection[str]) -> pd.DataFrame:
    """The rows of all series but these."""
    kept = ~frame["unique_id"].isin(names)
    return frame if kept.all() else own_categories(frame[kept].reset_index(drop=True))


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(unique_id=frame["unique_id"].astype(object)).reset_index(drop=True)


def _up_to(frame: pd.DataFrame, settings: TrainingSettings, as_of: pd.Timestamp | None) -> pd.DataFrame:
    check_as_of(frame["ds"].min(), as_of)
    return frame if as_of is None else rows_up_to(frame, settings, as_of)


def _split_ahead(
    frame: pd.DataFrame, settings: TrainingSettings, notes: Notes
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut each series to where its target begins and ends; what is known after that is kept apart."""
    covariates = settings.data.covariates
    frame["observed"] = frame["y"].notna()
    times = frame["ds"].where(frame["observed"]).groupby(frame["unique_id"], observed=True)
    first, last = times.transform("min"), times.transform("max")
    for name in frame.loc[last.isna(), "unique_id"].unique():
        notes.add("left_out", "no target value at all", series=str(name))
    kept = frame[(frame["ds"] >= first) & (frame["ds"] <= last)].reset_index(drop=True)
    columns = ["unique_id", "ds", "y", "observed", *covariates.future, *covariates.past, *covariates.static]
    ahead = frame.loc[(frame["ds"] > last) & bool(covariates.future), ["unique_id", "ds", *covariates.future]]
    return own_categories(kept[columns]), ahead.dropna()
