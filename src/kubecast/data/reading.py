"""The rows of a source under their names and types, a block of series at a time, up to a moment."""

from collections.abc import Callable, Iterator

import pandas as pd

from kubecast.config.training import TrainingSettings
from kubecast.data.calendars import known_frequency
from kubecast.data.columns import (
    Clock,
    Known,
    Read,
    local_moment,
    naming_source,
    note_columns,
    note_read,
    read_block,
)
from kubecast.data.findings import Notes
from kubecast.data.periods import is_coarse
from kubecast.data.row_blocks import Keep, Rows, own_categories
from kubecast.data.timestamps import Days, days_in
from kubecast.data.values import all_numbers
from kubecast.errors import DataError


def read_blocks(
    source: Rows,
    settings: TrainingSettings,
    notes: Notes,
    keep: Keep,
    as_of: pd.Timestamp | None,
    known: Known | None = None,
    frame_of: Callable[[Read], pd.DataFrame] = lambda read: read.frame,
) -> tuple[Rows, Clock]:
    """Read the rows of a source.

    Args:
        source: Rows with the source's own column names: all in one block, in any order, or in blocks of whole
            series that are in the order of their names, timestamps of a datetime type.
        settings: Name the columns and say how timestamps are read.
        notes: Receives the findings.
        keep: Keeps the rows that were read.
        as_of: In UTC, see ``rows_up_to``.
        known: Of the columns; default: follows from the rows.
        frame_of: The rows of a block that was read, before any are left out.

    Returns:
        Blocks as in ``Read.frame``, each with a row at least, and the clock of their times.

    Raises:
        DataError: A column is missing or has no value, or a value is not what its column allows; or no row is
            at or before ``as_of``.
    """
    known, reads = known or known_of(source, settings), []

    def blocks() -> Iterator[pd.DataFrame]:
        earliest = pd.Timestamp.max
        for number, rows in enumerate(source()):
            if not number:
                note_columns(rows, settings, notes)
            read = read_block(rows, settings, known)
            reads.append(read.without_rows())
            frame = frame_of(read)
            earliest = min(earliest, frame["ds"].min())
            frame = frame if as_of is None else rows_up_to(frame, settings, as_of)
            if len(frame):
                yield frame
        with naming_source(rows):
            note_read(reads, notes)
        check_as_of(earliest, as_of)

    return keep("rows", blocks()), reads[0].clock


def rows_up_to(frame: pd.DataFrame, settings: TrainingSettings, as_of: pd.Timestamp) -> pd.DataFrame:
    """The rows up to a moment; where there are known-future covariates, those of later rows stay.

    Args:
        frame: As ``Read.frame``.
        settings: Name the covariates.
        as_of: In UTC, or on the clock of the rows.
    """
    late = frame["ds"] > as_of
    if not settings.data.covariates.future:
        return own_categories(frame[~late].reset_index(drop=True))
    unseen = ["y", *settings.data.covariates.past]
    return frame.assign(**{name: frame[name].mask(late) for name in unseen})


def check_as_of(earliest: pd.Timestamp, as_of: pd.Timestamp | None) -> None:
    """Refuse a moment before all rows.

    Raises:
        DataError: It is.
    """
    if as_of is not None and earliest > as_of:
        raise DataError(f"no row is at or before as_of {as_of}; allowed: {earliest} or later")


def days_of(frequency: str | None) -> Days:
    """Whether timestamps stay on the local clock, by the frequency of the settings."""
    return Days(None if frequency is None else is_coarse(known_frequency(frequency)))


def known_of(source: Rows, settings: TrainingSettings) -> Known:
    """What is decided for the rows of all blocks; of one block nothing but what the settings say.

    Raises:
        DataError: A static covariate has no value.
    """
    if _is_one(source):
        return Known(days=days_of(settings.frequency))
    days = _days_of_blocks(source, settings, settings.frequency)
    return Known(_texts(source, settings.data.covariates.static), days)


def days_of_rows(source: Rows, settings: TrainingSettings, frequency: str | None) -> Days:
    """How the timestamps of all blocks are read; of one block it follows from its values."""
    return days_of(frequency) if _is_one(source) else _days_of_blocks(source, settings, frequency)


def _days_of_blocks(source: Rows, settings: TrainingSettings, frequency: str | None) -> Days:
    """How the timestamps of several blocks are read."""
    days, ds = days_of(frequency), settings.data.columns.ds
    if not isinstance(next(source())[ds].dtype, pd.DatetimeTZDtype) and settings.data.timezone is None:
        return days
    found = days_in((block[ds] for block in source()), settings)
    return found if days.are_local is None else Days(days.are_local, found.are_named)


def _is_one(source: Rows) -> bool:
    blocks = source()
    next(blocks)
    return next(blocks, None) is None


def on_rows_clock(
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


def _texts(source: Rows, names: list[str]) -> list[str]:
    """The static covariates that are not numbers in every row."""
    if not names:
        return []
    texts: set[str] = set()
    holding: set[str] = set()
    for block in source():
        texts.update(name for name in names if not all_numbers(block[name]))
        holding.update(name for name in names if block[name].notna().any())
    with naming_source(next(source())):
        for name in names:
            if name not in holding:
                raise DataError(f"column {name} holds no value; allowed: numbers or text")
    return [name for name in names if name in texts]
