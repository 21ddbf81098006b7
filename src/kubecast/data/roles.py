"""Which column is the time and which the target, where a file has two columns under names of its own."""

import shlex
from collections.abc import Mapping
from typing import Any

import pandas as pd

from kubecast.config.training import Columns, TrainingSettings
from kubecast.data.findings import Notes

OPTIONS = {"unique_id": "--id", "ds": "--time", "y": "--target"}
"""The options of the command for ``training.data.columns``."""


def with_two_columns(rows: pd.DataFrame, settings: TrainingSettings, notes: Notes) -> TrainingSettings:
    """Name the columns of a file that has one of dates, one of numbers, and no other.

    No other column could be meant. A name that the settings give is never replaced.

    Args:
        rows: As read, with the file's own column names.
        settings: Returned as they are where the columns have the names in them, or more than one could be
            meant.
        notes: Receives what was understood.
    """
    columns, names = settings.data.columns, all_names(rows)
    missing = [role for role in ("ds", "y") if getattr(columns, role) not in names]
    given = any(getattr(columns, role) != getattr(Columns(), role) for role in missing)
    if len(names) != 2 or not missing or given or columns.unique_id in names:
        return settings
    times, numbers = (find_columns(rows, role, settings.data.timestamp_format) for role in ("ds", "y"))
    if len(times) != 1 or len(numbers) != 1:
        return settings
    detail = f"the time is read from {times[0]} and the target from {numbers[0]}: there is no other column"
    notes.add("columns", detail)
    return with_columns(settings, {"ds": times[0], "y": numbers[0]})


def with_columns(settings: TrainingSettings, names: Mapping[str, str]) -> TrainingSettings:
    """Give the roles' columns other names."""
    columns = settings.data.columns.model_copy(update=dict(names))
    return settings.model_copy(update={"data": settings.data.model_copy(update={"columns": columns})})


def rename_columns(rows: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Give columns other names; a column that has one of these already is left out."""
    replaced = [new for old, new in names.items() if old != new]
    kept = [name for name in all_names(rows) if name not in replaced]
    renamed = rows.drop(columns=replaced, errors="ignore").rename(columns=dict(names))
    renamed.attrs["names"] = [names.get(name, name) for name in kept]
    return renamed


def all_names(rows: pd.DataFrame) -> list[str]:
    """Every column of the source, those too that nobody reads."""
    return [str(name) for name in rows.attrs.get("names", rows.columns)]


def find_columns(rows: pd.DataFrame, role: str, pattern: str | None = None) -> list[str]:
    """The columns that could be the time (``ds``) or the target (``y``), by what they hold."""
    if role == "ds":
        return [str(name) for name in rows.columns if _holds_times(rows[name], pattern)]
    return [str(name) for name in rows.columns if _holds_numbers(rows[name])]


def as_options(names: Mapping[str, str]) -> str:
    """The options of the command that name columns.

    >>> as_options({"ds": "sold on", "y": "sales"})
    "--time 'sold on' --target sales"
    """
    return " ".join(f"{OPTIONS[role]} {shlex.quote(name)}" for role, name in names.items())


def _holds_times(column: "pd.Series[Any]", pattern: str | None) -> bool:
    if pd.api.types.is_datetime64_any_dtype(column):
        return True
    values = pd.Series(column.dropna().unique())
    if values.empty or _holds_numbers(column):
        return False
    text = values.astype(str).str.strip()
    return bool(pd.to_datetime(text, format=pattern or "ISO8601", errors="coerce", utc=True).notna().all())


def _holds_numbers(column: "pd.Series[Any]") -> bool:
    if pd.api.types.is_datetime64_any_dtype(column):
        return False
    values = pd.Series(column.dropna().unique()).astype(str)
    return len(values) > 0 and bool(pd.to_numeric(values, errors="coerce").notna().all())
