"""The panel: every series on a complete time grid, and what is visible of it from an origin.

A split is a cut-off, never a copy: ``history`` holds what lies up to a cut-off, ``future`` what is known in
advance after it, and ``targets`` what evaluation alone may read.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from kubecast.data import parquet
from kubecast.data.calendars import steps_after
from kubecast.data.findings import DataReport
from kubecast.data.splits import Splits
from kubecast.documents import Document
from kubecast.errors import DataError, IntegrityError, one_line

Split = Literal["validation", "test"]

KEYS = ["unique_id", "cutoff", "ds"]  # of a row of forecasts

_COLUMNS = {  # of each saved table, beside the covariates
    "panel": {"unique_id", "ds", "y", "observed"},
    "static": {"unique_id"},
    "series": {
        *("unique_id", "begin", "end", "size", "train_end", "validation_end", "train_rows", "train_mean"),
        *("zeros", "scale", "rmsse_scale", "route"),
    },
    "origins": {"unique_id", "cutoff", "split", "fold"},
    "future_covariates": {"unique_id", "ds"},
}


@dataclass(frozen=True)
class Cutoffs:
    """The last visible timestamp of each origin, inclusive; a series may have several.

    Attributes:
        frame: Columns ``unique_id``, ``cutoff``.
    """

    frame: pd.DataFrame

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, column: str = "cutoff") -> "Cutoffs":
        """Take the cut-offs in ``column``, leaving out rows without one."""
        kept = frame[["unique_id", column]].dropna().rename(columns={column: "cutoff"})
        return cls(kept.drop_duplicates().reset_index(drop=True))

    def __len__(self) -> int:
        return len(self.frame)


class PanelSpec(BaseModel):
    """The properties of a whole panel.

    Attributes:
        frequency: A pandas offset alias.
        horizon: Steps to forecast.
        season_lengths: In steps; the first is MASE's m.
        future: Known-future covariates.
        past: Past-only covariates.
        static: Static covariates.
        categories: Those of them that are text.
        align: Whether cut-offs are the same time for all series or counted from each one's end.
        folds: Folds of origins in each split.
        digest: Of the source: of a file its SHA-256, of a table its id and version.
        timezone: The zone that ``ds``, which is in UTC, came from: a name, or an offset as +02:00; None where
            ``ds`` is as written, or on the local clock, as days and longer steps are.
        day_zone: The zone whose clock that is, where it is known.
        columns: What ``unique_id``, ``ds`` and ``y`` are called in the source.
        splits: The plan of the split.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    frequency: str
    horizon: int
    season_lengths: list[int]
    future: list[str] = []
    past: list[str] = []
    static: list[str] = []
    categories: list[str] = []
    align: Literal["calendar", "series_end"] = "calendar"
    folds: int = 5
    digest: str = ""
    timezone: str | None = None
    day_zone: str | None = None
    columns: dict[str, str] = {}
    splits: Splits = Splits()


class _PanelFile(Document):
    document_name: ClassVar[str] = "a panel.json"

    spec: PanelSpec
    report: DataReport


@dataclass(frozen=True)
class Panel:
    """Every series on a complete grid, sorted by ``unique_id`` and ``ds``.

    Attributes:
        frame: ``unique_id``, ``ds`` (UTC, naive), ``y`` (NaN where unobserved), ``observed``, then the
            known-future and the past-only covariates. Each series begins and ends with an observed target.
        static: ``unique_id`` and the static covariates, one row for each series.
        spec: The properties of the whole panel.
        series: One row for each series: ``unique_id``; ``begin``, ``end`` and ``size``, see ``series_table``;
            ``train_end``, ``validation_end``, ``train_rows``; ``train_mean`` and ``zeros`` of these;
            ``scale``, ``rmsse_scale``; ``route`` (``model``, or ``fallback`` for one too short to fit).
        origins: ``unique_id``, ``cutoff``, ``split``, ``fold``.
        future_covariates: ``unique_id``, ``ds`` and known-future covariates after a series' last target.
        report: The findings of preparation.
    """

    frame: pd.DataFrame
    static: pd.DataFrame
    spec: PanelSpec
    series: pd.DataFrame
    origins: pd.DataFrame
    future_covariates: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"unique_id": [], "ds": []}))
    report: DataReport = field(default_factory=DataReport)

    @cached_property
    def ids(self) -> NDArray[np.object_]:
        """The series' names, ascending."""
        return np.asarray(self.frame["unique_id"].to_numpy()[self.indptr[:-1]], dtype=object)

    @cached_property
    def indptr(self) -> NDArray[np.int64]:
        """Positions of each series' first row in ``frame``, then the number of rows; shape (series + 1,)."""
        ids = self.frame["unique_id"].to_numpy()
        changes = np.flatnonzero(ids[1:] != ids[:-1]) + 1 if len(ids) else np.array([], dtype=np.int64)
        return np.concatenate([[0] if len(ids) else [], changes, [len(ids)]]).astype(np.int64)

    @cached_property
    def series_codes(self) -> NDArray[np.int64]:
        """The series of each row, as a position in ``ids``; shape (rows,)."""
        return np.repeat(np.arange(len(self.ids)), np.diff(self.indptr))

    @cached_property
    def filled(self) -> NDArray[np.float64]:
        """The target with gaps filled causally, so that a slice of it up to an origin leaks nothing."""
        return np.asarray(self.frame["y"].to_numpy(dtype=np.float64)[self.filled_from])

    @cached_property
    def filled_from(self) -> NDArray[np.int64]:
        """The row that each of ``filled`` is from: a gap's is one season before, else the one just before."""
        season, source = self.spec.season_lengths[0], np.arange(len(self.frame))
        first = self.indptr[self.series_codes]
        for row in np.flatnonzero(self.frame["y"].isna()):
            source[row] = source[row - (season if row - season >= first[row] else 1)]
        return source

    @property
    def ends(self) -> Cutoffs:
        """The last row of each series: the origins of a production forecast."""
        return Cutoffs.from_frame(self.frame.iloc[self.indptr[1:] - 1], "ds")

    @property
    def train_end(self) -> Cutoffs:
        """The last training row of each series; a series without one is left out."""
        return Cutoffs.from_frame(self.series, "train_end")

    def split(self, split: Split) -> Cutoffs:
        """The origins of one split."""
        return Cutoffs.from_frame(self.origins[self.origins["split"] == split])

    def row_index(self, cutoffs: Cutoffs) -> NDArray[np.int64]:
        """Find the row of ``frame`` that each cut-off stands on.

        Returns:
            Shape (cut-offs,).

        Raises:
            DataError: A cut-off is on no row of its series.
        """
        frame = cutoffs.frame
        codes = pd.Index(self.ids).get_indexer(pd.Index(frame["unique_id"]))
        times, keys = self._time_keys
        at = np.searchsorted(times, frame["cutoff"].to_numpy(dtype="datetime64[ns]"))
        rows = np.minimum(np.searchsorted(keys, codes * (len(times) + 1) + at), max(len(keys) - 1, 0))
        same_time = self.frame["ds"].to_numpy()[rows] == frame["cutoff"].to_numpy(dtype="datetime64[ns]")
        missing = (codes < 0) | (self.series_codes[rows] != codes) | ~same_time
        if missing.any():
            bad = frame.iloc[int(np.flatnonzero(missing)[0])]
            raise DataError(f"series {bad['unique_id']}: cut-off {bad['cutoff']} is on none of its rows")
        return rows.astype(np.int64)

    @cached_property
    def _time_keys(self) -> tuple[NDArray[Any], NDArray[np.int64]]:
        times, at = np.unique(self.frame["ds"].to_numpy(dtype="datetime64[ns]"), return_inverse=True)
        return times, self.series_codes * (len(times) + 1) + at

    def renamed(self, names: Mapping[str, str]) -> "Panel":
        """The same panel with other names of its series."""

        def rename(table: pd.DataFrame) -> pd.DataFrame:
            renamed = table.assign(unique_id=table["unique_id"].map(names))
            return renamed.sort_values("unique_id", kind="stable", ignore_index=True)

        return self.with_each(rename)

    def only(self, names: "Collection[str] | pd.Series[Any]") -> "Panel":
        """The panel of these of its series."""
        known = pd.Series(self.ids).isin(names).to_numpy()

        def choose(table: pd.DataFrame) -> pd.DataFrame:
            # Names of all rows are slow to look up.
            kept = known[self.series_codes] if table is self.frame else table["unique_id"].isin(names)
            return table[kept].reset_index(drop=True)

        return self.with_each(choose)

    def with_each(self, change: Callable[[pd.DataFrame], pd.DataFrame]) -> "Panel":
        """The same panel with each of its tables changed."""
        tables: dict[str, Any] = {name: change(table) for name, table in self._tables().items()}
        return replace(self, frame=tables.pop("panel"), **tables)

    def history_lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of rows that the series of each row has up to it.

        Args:
            rows: Positions in ``frame``.
        """
        return np.asarray(rows - self.indptr[self.series_codes[rows]] + 1)

    def lagged(
        self, values: NDArray[np.float64], rows: NDArray[np.int64], lag: NDArray[np.int64] | int
    ) -> NDArray[np.float64]:
        """The values ``lag`` rows before these rows; NaN before a series begins.

        Args:
            values: One for each row of ``frame``.
            rows: Positions in ``frame``.
            lag: In rows, at least 0; of each row, or of all.
        """
        at = rows - lag
        return np.asarray(
            np.where(at >= self.indptr[self.series_codes[rows]], values[np.maximum(at, 0)], np.nan)
        )

    def history(self, cutoffs: Cutoffs, last: int | None = None) -> pd.DataFrame:
        """Every row up to each cut-off, and nothing after it.

        Args:
            cutoffs: The origins.
            last: At most so many rows for each origin; default all.

        Returns:
            ``unique_id``, ``cutoff`` and the other columns of ``frame``, in the order of ``cutoffs``.
        """
        ends = self.row_index(cutoffs)
        lengths = self.history_lengths(ends)
        if last is not None:
            lengths = np.minimum(lengths, last)
        rows = _ranges(ends - lengths + 1, lengths)
        history = self.frame.iloc[rows].reset_index(drop=True)
        history.insert(1, "cutoff", np.repeat(cutoffs.frame["cutoff"].to_numpy(), lengths))
        return history

    def grid(self, cutoffs: Cutoffs) -> pd.DataFrame:
        """The horizon's timestamps after each cut-off.

        Returns:
            ``unique_id``, ``cutoff``, ``ds``; ``horizon`` rows for each origin, in the order of ``cutoffs``.
        """
        horizon = self.spec.horizon
        return pd.DataFrame(
            {
                "unique_id": np.repeat(cutoffs.frame["unique_id"].to_numpy(), horizon),
                "cutoff": np.repeat(cutoffs.frame["cutoff"].to_numpy(), horizon),
                "ds": steps_after(cutoffs.frame["cutoff"], horizon, self.spec.frequency).ravel(),
            }
        )

    def future(self, cutoffs: Cutoffs) -> pd.DataFrame:
        """The horizon's timestamps after each cut-off, with the known-future covariates.

        Returns:
            ``unique_id``, ``cutoff``, ``ds`` and the known-future covariates; ``horizon`` rows for each
            origin, in the order of ``cutoffs``.

        Raises:
            DataError: A known-future covariate is missing inside a horizon.
        """
        grid = self.grid(cutoffs)
        if not self.spec.future:
            return grid
        columns = ["unique_id", "ds", *self.spec.future]
        tables = [table[columns] for table in (self.frame, self.future_covariates) if len(table)]
        known = pd.concat(tables).drop_duplicates(["unique_id", "ds"])
        future = grid.merge(known, on=["unique_id", "ds"], how="left")
        lacking = future[future[self.spec.future].isna().any(axis=1)]
        if len(lacking):
            row = lacking.iloc[0]
            names = [name for name in self.spec.future if pd.isna(row[name])]
            raise DataError(
                f"series {row['unique_id']}: known-future covariate {', '.join(names)} has no value"
                f" at {row['ds']} ({len(lacking)} such rows); allowed: one for each of the"
                f" {self.spec.horizon} steps after an origin"
            )
        return future

    def has_future_covariates(self, cutoffs: Cutoffs) -> NDArray[np.bool_]:
        """Tell which cut-offs have known-future covariates over their horizon; shape (cut-offs,)."""
        ends = self.row_index(cutoffs)
        last = self.indptr[1:] - 1 + self._future_steps
        return np.asarray(ends + self.spec.horizon <= last[self.series_codes[ends]])

    @cached_property
    def _future_steps(self) -> NDArray[np.int64]:
        """Steps after each series' last row whose covariates are known, at most the horizon."""
        shape = (len(self.ids), self.spec.horizon)
        known = np.full(shape, not self.spec.future)
        if self.spec.future and len(self.future_covariates):
            future = self.grid(self.ends).merge(self.future_covariates, on=["unique_id", "ds"], how="left")
            known = future[self.spec.future].notna().all(axis=1).to_numpy().reshape(shape)
        return np.asarray(np.logical_and.accumulate(known, axis=1).sum(axis=1), dtype=np.int64)

    def targets(self, cutoffs: Cutoffs) -> pd.DataFrame:
        """The targets after each cut-off; for evaluation only.

        Returns:
            ``unique_id``, ``cutoff``, ``ds``, ``y``, ``observed``: up to ``horizon`` rows for each origin.
        """
        ends = self.row_index(cutoffs)
        lengths = np.minimum(self.indptr[self.series_codes[ends] + 1] - 1 - ends, self.spec.horizon)
        targets = self.frame.iloc[_ranges(ends + 1, lengths)][["unique_id", "ds", "y", "observed"]]
        targets = targets.reset_index(drop=True)
        targets.insert(1, "cutoff", np.repeat(cutoffs.frame["cutoff"].to_numpy(), lengths))
        return targets

    def save(self, directory: Path, with_rows: bool = True) -> None:
        """Write the panel as Parquet and JSON.

        Args:
            directory: Its folder.
            with_rows: Whether to write ``frame``, which somebody else does otherwise.
        """
        directory.mkdir(parents=True, exist_ok=True)
        for name, frame in self._tables().items():
            options: dict[str, Any] = {"write_page_checksum": True, "row_group_size": parquet.BLOCK_ROWS}
            if with_rows or name != "panel":
                frame.to_parquet(directory / f"{name}.parquet", index=False, **options)
        _PanelFile(spec=self.spec, report=self.report).write(directory / "panel.json")

    def _tables(self) -> Mapping[str, pd.DataFrame]:
        return {name: self.frame if name == "panel" else getattr(self, name) for name in _COLUMNS}

    @classmethod
    def load(cls, directory: Path, with_rows: bool = True) -> "Panel":
        """Read what ``save`` wrote.

        Args:
            directory: Its folder.
            with_rows: Whether to read ``frame``, which is empty otherwise.

        Raises:
            DataError: A file is missing or not what ``save`` writes.
        """
        try:
            file = _PanelFile.read(directory / "panel.json")
            tables = {name: _read_table(directory, name, with_rows or name != "panel") for name in _COLUMNS}
        except (OSError, ValueError, IntegrityError) as error:
            raise DataError(f"{directory}: not a panel ({one_line(error)})") from error
        frame = tables.pop("panel")
        return cls(frame=frame, spec=file.spec, report=file.report, **tables)


def _read_table(directory: Path, name: str, with_rows: bool) -> pd.DataFrame:
    path = directory / f"{name}.parquet"
    frame = (
        parquet.read_parquet(path, page_checksum_verification=True) if with_rows else parquet.no_rows(path)
    )
    lacking = _COLUMNS[name] - set(frame.columns)
    if lacking:
        raise ValueError(f"{name}.parquet lacks {', '.join(sorted(lacking))}")
    return frame


def _ranges(first: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Concatenate ``arange(first[i], first[i] + lengths[i])``."""
    total = int(lengths.sum())
    begins = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.repeat(first, lengths) + np.arange(total) - begins
