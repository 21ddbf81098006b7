"""The columns of a data file under their names and types, sorted and without duplicates."""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.config.training import TrainingSettings
from kubecast.data.findings import Notes
from kubecast.data.roles import all_names, as_options, find_columns
from kubecast.data.row_blocks import Rows
from kubecast.data.series_names import ids_of
from kubecast.data.timestamps import FROM_VALUES, Days, parse_timestamps
from kubecast.data.values import Labels, all_numbers, numbers, text_or_numbers
from kubecast.errors import DataError

ONE_SERIES = "series"  # its name where the file has no column for one

_USUAL_NAMES = {
    "unique_id": ("item_id", "id", "series", "store", "item", "sku"),
    "ds": ("date", "timestamp", "time", "datetime", "day", "month", "week"),
    "y": ("target", "value", "sales", "demand", "quantity", "amount"),
}
"""How other tools call the columns, for the remedy in a message."""


class Clock(NamedTuple):
    """The clock of a source.

    Attributes:
        zone: Of times that were brought to UTC; None where they are as written.
        day_zone: Of days that stayed on its clock.
    """

    zone: str | None
    day_zone: str | None = None


@dataclass(frozen=True)
class Known:
    """What is known of columns before their values are read, as they are those of a block of several.

    Attributes:
        texts: Static covariates that are text, the others being numbers; None: follows from the values.
        days: How timestamps are read.
        names: Of series that a model knows.
    """

    texts: list[str] | None = None
    days: Days = FROM_VALUES
    names: Collection[str] = ()


NOTHING = Known()


class Read(NamedTuple):
    """Rows that were read, and what was seen of them.

    Attributes:
        frame: ``unique_id`` (categorical, its categories in ascending order), ``ds`` (naive UTC), ``y`` and
            the covariates, numbers as float64.
        clock: That ``ds`` came from.
        clock_note: What the user should know about it; may be empty.
        moved: Rows that were earlier than one before them of the same series.
        repeated: Rows that were there twice.
        empty: Columns of numbers without a value.
    """

    frame: pd.DataFrame
    clock: Clock
    clock_note: str
    moved: int
    repeated: int
    empty: list[str]

    def without_rows(self) -> "Read":
        """What was seen of the rows alone; a slice of them would hold them all."""
        return self._replace(frame=pd.DataFrame())


def read_block(rows: pd.DataFrame, settings: TrainingSettings, known: Known = NOTHING) -> Read:
    """Bring the columns to their names and types, in order of series and time.

    Args:
        rows: As read, with the file's own column names: all, or those of some series.
        settings: Name the columns and say how timestamps are read.
        known: Of the columns.

    Raises:
        DataError: A column is missing, or a value is not what its column allows.
    """
    with naming_source(rows):
        labels, covariates = Labels.of_frame(rows), settings.data.covariates
        frame = _chosen(rows, _roles(settings), _covariates(settings))
        read: dict[str, Any] = {"unique_id": ids_of(frame["unique_id"], labels, known.names)}
        codes, ordered = read["unique_id"].codes, labels.ordered
        times = parse_timestamps(frame["ds"], codes, settings, labels.at, days=known.days, ordered=ordered)
        read["ds"] = times.values
        for name in ("y", *covariates.future, *covariates.past):
            read[name] = numbers(frame[name], name, labels)
        for name in covariates.static:
            text = name in known.texts if known.texts is not None else None
            read[name] = text_or_numbers(frame[name], name, text, labels)
        frame = pd.DataFrame(read)
        targets = frame[["y", *covariates.future, *covariates.past]]
        empty = [str(name) for name in targets.columns[targets.isna().all()]]
        frame, moved = _sorted(frame)
        repeated = 0
        if settings.data.resample is None:  # else rows of one time are brought together
            frame, repeated = _unique(frame, labels, _cure(rows, settings, times.zone))
        clock = Clock(times.zone, times.day_zone)
        return Read(frame.reset_index(drop=True), clock, times.note, moved, repeated, empty)


def note_read(blocks: Sequence[Read], notes: Notes) -> None:
    """Note what was seen of blocks of rows.

    Raises:
        DataError: A column has no value in any of them.
    """
    if nowhere := [name for name in blocks[0].empty if all(name in block.empty for block in blocks)]:
        raise DataError(f"column {nowhere[0]} holds no value; allowed: numbers")
    if note := blocks[0].clock_note:
        notes.add("timezone", note)
    if moved := sum(block.moved for block in blocks):
        notes.add("sorted", f"{moved} rows were earlier than one before them of the same series", count=moved)
    if repeated := sum(block.repeated for block in blocks):
        notes.add("deduplicated", f"{repeated} rows were there twice", count=repeated)


def read_future(
    rows: pd.DataFrame, settings: TrainingSettings, days: Days, known: Collection[str] = ()
) -> tuple[pd.DataFrame, str | None]:
    """Read known-future covariates from a file of their own.

    Args:
        rows: The series, the timestamps and the known-future covariates; other columns are not looked at.
        settings: As for ``read_block``.
        days: How timestamps are read.
        known: The names of the data's series.

    Returns:
        ``unique_id`` (text), ``ds`` and the known-future covariates; and the zone, as in ``Clock``.

    Raises:
        DataError: A column is missing, or a value is not what its column allows.
    """
    with naming_source(rows):
        labels, columns = Labels.of_frame(rows), settings.data.columns
        frame = _chosen(
            rows, {columns.unique_id: "unique_id", columns.ds: "ds"}, settings.data.covariates.future
        )
        ids = ids_of(frame["unique_id"], labels, known)
        ordered = labels.ordered
        times = parse_timestamps(frame["ds"], ids.codes, settings, labels.at, days=days, ordered=ordered)
        read: dict[str, Any] = {"unique_id": ids, "ds": times.values}
        for name in settings.data.covariates.future:
            read[name] = numbers(frame[name], name, labels)
        ordered_rows, _ = _sorted(pd.DataFrame(read))
        future, _ = _unique(ordered_rows, labels, _cure(rows, settings, times.zone))
        return future.assign(unique_id=future["unique_id"].astype(object)).reset_index(drop=True), times.zone


def local_moment(
    source: Rows, settings: TrainingSettings, moment: pd.Timestamp, are_named: bool | None = None
) -> pd.Timestamp:
    """The newest time on the rows' local clock before which all of them are at or before a moment in UTC.

    Args:
        source: See ``kubecast.data.reading.read_blocks``.
        settings: Name the columns and say how timestamps are read.
        moment: In UTC.
        are_named: Of the rows' ``Days``.
    """
    newest, unseen = pd.Timestamp.min, pd.Timestamp.max
    for rows in source():
        with naming_source(rows):
            labels, columns = Labels.of_frame(rows), settings.data.columns
            frame = _chosen(rows, {columns.unique_id: "unique_id", columns.ds: "ds"}, [])
            codes = ids_of(frame["unique_id"], labels).codes
            utc, local = (
                parse_timestamps(frame["ds"], codes, settings, labels.at, days=Days(each, are_named)).values
                for each in (False, True)
            )
        newest = max(newest, pd.Timestamp(local.max()))
        late = local[utc > moment.to_datetime64()]
        unseen = min(unseen, pd.Timestamp(late.min())) if len(late) else unseen
    return newest if unseen == pd.Timestamp.max else unseen - pd.Timedelta(1, "ns")


@contextlib.contextmanager
def naming_source(rows: pd.DataFrame) -> Iterator[None]:
    """Put the file that the rows were read from, where there is one, in front of what is wrong with them."""
    try:
        yield
    except DataError as error:
        if "source" not in rows.attrs:
            raise
        raise DataError(f"{rows.attrs['source']}: {error}") from error


def _roles(settings: TrainingSettings) -> dict[str, str]:
    columns = settings.data.columns
    return {columns.unique_id: "unique_id", columns.ds: "ds", columns.y: "y"}


def _covariates(settings: TrainingSettings) -> list[str]:
    covariates = settings.data.covariates
    return [*covariates.future, *covariates.past, *covariates.static]


def note_columns(rows: pd.DataFrame, settings: TrainingSettings, notes: Notes) -> None:
    """Note the columns that are not read, and that there is none for the series.

    Args:
        rows: As read; of a file without a column for the series, all of them.
        settings: Name the columns.
        notes: Receives the findings.
    """
    used, name = {*_roles(settings), *_covariates(settings)}, settings.data.columns.unique_id
    ignored = [each for each in all_names(rows) if each not in used]
    if ignored:
        listed_names = ", ".join(map(repr, ignored))
        notes.add("ignored", f"not used, and not named in training.data.covariates: {listed_names}")
    if texts := _texts(rows, ignored) if name not in rows.columns else []:
        named = f"training.data.columns.unique_id={texts[0]}"
        notes.add("one_series", f"no column {name}: all rows are one series; allowed: e.g. {named}")


def _texts(rows: pd.DataFrame, names: list[str]) -> list[str]:
    """Those of the columns whose values repeat and are not all numbers: they may name each row's series."""
    read = [name for name in names if name in rows.columns]  # nested values are not
    return [name for name in read if 1 < rows[name].nunique() < len(rows) and not all_numbers(rows[name])]


def _chosen(rows: pd.DataFrame, roles: dict[str, str], covariates: list[str]) -> pd.DataFrame:
    """The columns that are used, under their names; a file without ``unique_id`` holds one series."""
    _check_columns(rows)
    one_series = roles.get("unique_id") == "unique_id" and "unique_id" not in rows.columns
    columns = [*(name for name in roles if not one_series or name != "unique_id"), *covariates]
    for name in columns:
        if name not in rows.columns:
            raise DataError(_missing_column(name, roles, rows))
    frame = rows[columns].rename(columns=roles)
    if one_series:
        frame.insert(0, "unique_id", ONE_SERIES)
    return frame


def _missing_column(name: str, roles: dict[str, str], rows: pd.DataFrame) -> str:
    names = all_names(rows)
    found = f"column {name} is missing; found: {', '.join(names)}"
    setting = f"training.data.columns.{roles[name]}" if name in roles else "training.data.covariates"
    missing = [role for column, role in roles.items() if column not in names] if name in roles else []
    usual = {role: _looks_like(role, rows) for role in missing}
    options = as_options({role: like for role, like in usual.items() if like})
    return f"{found}; allowed: one of these, named in {setting}{options and f', e.g. {options}'}"


def _looks_like(role: str, rows: pd.DataFrame) -> str:
    """The first column whose name is usual for a role, else the only one that holds what it needs."""
    usual = [each for each in all_names(rows) if each.strip().lower() in _USUAL_NAMES[role]]
    holding = find_columns(rows, role) if role != "unique_id" else []
    return next(iter(usual), holding[0] if len(holding) == 1 else "")


def _check_columns(rows: pd.DataFrame) -> None:
    if rows.empty:
        raise DataError("the data has no rows; allowed: a header and at least one row")
    twice = rows.columns[rows.columns.duplicated()]
    if len(twice):
        raise DataError(f"column {twice[0]!r} appears more than once; allowed: each name once, blanks aside")


def _sorted(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Put the rows in order, and count those that were not; the index keeps their places in the file."""
    codes, ds = frame["unique_id"].cat.codes.to_numpy(), frame["ds"].to_numpy()
    latest = frame["ds"].groupby(codes).cummax().to_numpy()
    moved = int((ds < latest).sum())
    return frame.take(np.lexsort((ds, codes))), moved  # stable: equal keys keep the file's order


def _unique(ordered: pd.DataFrame, labels: Labels, cure: str) -> tuple[pd.DataFrame, int]:
    """Leave out rows that are there twice, and count them; two that differ are refused."""
    codes, ds = ordered["unique_id"].cat.codes.to_numpy(), ordered["ds"].to_numpy()
    same_key = np.append(False, (np.diff(codes) == 0) & (np.diff(ds) == np.timedelta64(0, "ns")))
    if not same_key.any():
        return ordered, 0
    clash = same_key & ~_like_the_row_before(ordered)
    if clash.any():
        row = int(np.flatnonzero(clash)[0])
        where = labels.at(np.isin(np.arange(len(ordered)), ordered.index[[row - 1, row]]))
        first = ordered.iloc[row]
        raise DataError(
            f"{where}: series {first['unique_id']} has two different rows at {first['ds']}"
            f" ({int(clash.sum())} such rows); {cure}"
        )
    return ordered[~same_key], int(same_key.sum())


def _cure(rows: pd.DataFrame, settings: TrainingSettings, zone: str | None) -> str:
    """The remedies for two rows of one series and time."""
    columns = settings.data.columns
    names = [str(name) for name in rows.columns if name not in (columns.ds, columns.y)]
    if names and columns.unique_id not in rows.columns:
        named = f", e.g. training.data.columns.unique_id={(_texts(rows, names) or names)[0]}"
        return (
            f"the file has no column {columns.unique_id}, so that all rows are one series; allowed: a column"
            f" that names each row's series{named}"
        )
    local = "" if zone else ", or training.data.timezone where it is the hour that a local clock repeats"
    return f"allowed: one for each time, training.data.resample, e.g. sum{local}"


def _like_the_row_before(ordered: pd.DataFrame) -> NDArray[np.bool_]:
    before = ordered.shift()
    same = (_columns_equal(ordered[name], before[name]) for name in ordered.columns)
    return np.asarray(np.logical_and.reduce(list(same)), dtype=bool)


def _columns_equal(now: "pd.Series[Any]", before: "pd.Series[Any]") -> NDArray[np.bool_]:
    return np.asarray((now == before) | (now.isna() & before.isna()), dtype=bool)


def listed(names: Iterable[object]) -> str:
    """Name at most the first five, and count the others.

    >>> listed("abcdefg")
    'a, b, c, d, e and 2 more'
    """
    texts = [str(name) for name in names]
    return ", ".join(texts[:5]) + (f" and {len(texts) - 5} more" if len(texts) > 5 else "")
