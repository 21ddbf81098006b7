"""Preparation: from the rows of a data file to a panel, with every check and repair of the data contract.

Rows are looked at a block of series at a time. What concerns all series is decided between two passes, from
the extents of the series.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from kubecast.config.training import TrainingSettings
from kubecast.data.columns import naming_source, note_read, read_block
from kubecast.data.covariates import clean_covariates
from kubecast.data.extents import without_gappy
from kubecast.data.findings import DataReport, Notes
from kubecast.data.grid import find_frequency, season_lengths
from kubecast.data.origins import alignment_of, origins_with_covariates, plan_split, steps_late
from kubecast.data.panel import Panel, PanelSpec
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.quality import note_quality
from kubecast.data.reading import check_as_of, known_of, on_rows_clock, read_blocks
from kubecast.data.roles import with_two_columns
from kubecast.data.row_blocks import Keep, Rows, in_folder, in_memory, one_block
from kubecast.data.rows_on_grid import RowsOnGrid, of_series, plain, to_grid, without
from kubecast.data.series_split import SeriesSplits
from kubecast.data.stale import note_stale
from kubecast.errors import ConfigError


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
    return _prepare(one_block(rows), settings, in_memory, digest, as_of).whole()


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
    grid = to_grid(rows, frequency, settings, notes, keep)
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


def _split(
    grid: RowsOnGrid,
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
        kept = (without(block, left_out) for block in grid.rows())
        for block, static in clean_covariates(filter(len, kept), settings, notes):
            statics.append(static)
            splits.add(block)
            yield plain(block)

    rows = keep("panel", blocks())
    series, origins = splits.tables(notes)
    static = pd.concat(statics, ignore_index=True)
    none = next(rows()).iloc[:0].copy()
    return PanelBlocks(Panel(none, static, spec, series, origins, of_series(grid.ahead, series)), rows)


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
    at = on_rows_clock(at, source, settings, settings.frequency, known.days.are_named)
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


def required_horizon(settings: TrainingSettings) -> int:
    """The horizon, or an error that says where to set it."""
    if settings.horizon is None:
        raise ConfigError("training.horizon is not set; allowed: a whole number of steps, 1 or more")
    return settings.horizon
