"""What a model sees of a series whose level has changed, and how its forecasts come to the present level.

The rows after a lasting shift, and those of a recent pulse, are brought to the level that was usual before. A
model that was fitted at that level forecasts there, and its forecasts are brought to the level after the
shift. Where no level has changed, nothing is touched.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.data.level_shifts import Changes, find_shifts
from kubecast.data.panel import KEYS, Cutoffs, Panel
from kubecast.data.pulses import find_pulses
from kubecast.data.splits import series_scales
from kubecast.data.visible import Floats, Visible, in_batches

Find = Callable[[Visible, list[int]], Changes]

_LOG = logging.getLogger(__name__)


def level_shifts(panel: Panel, cutoffs: Cutoffs) -> pd.DataFrame:
    """The lasting shift that stands out most in the rows up to each cut-off.

    Returns:
        ``unique_id``, ``cutoff``, ``ds`` (the first timestamp at the new level), ``until`` (the last; here
        NaT), ``change``, ``is_ratio``; one row for each cut-off that has a shift, with its position as index.
    """
    return _changes(panel, cutoffs, find_shifts)


def _changes(panel: Panel, cutoffs: Cutoffs, find: Find) -> pd.DataFrame:
    ends, found = panel.row_index(cutoffs), []
    for origins, seen in in_batches(panel.filled, panel.indptr, ends):
        part = find(seen, panel.spec.season_lengths)
        found.append(part._replace(at=origins[part.at]))
    changes = Changes.joined(found)
    first, times = panel.indptr[panel.series_codes[ends[changes.at]]], panel.frame["ds"].to_numpy()
    until = times[first + np.maximum(changes.stop, 1) - 1]
    keys = cutoffs.frame[["unique_id", "cutoff"]].reset_index(drop=True).iloc[changes.at]
    return keys.assign(
        ds=times[first + changes.row],
        until=np.where(changes.stop < 0, np.datetime64("NaT", "ns"), until),
        change=changes.change,
        is_ratio=changes.is_ratio,
    )


@dataclass(frozen=True)
class LevelChanges:
    """The changes of level that are seen from each of several origins.

    They are found once for a panel and its origins, however many models forecast from there.

    Attributes:
        origins: In the order of forecasts.
        shifts: From ``level_shifts``.
        pulses: In the same columns, recent pulses.
    """

    origins: Cutoffs
    shifts: pd.DataFrame
    pulses: pd.DataFrame

    @classmethod
    def find(cls, panel: Panel, origins: Cutoffs) -> "LevelChanges":
        """Find them in the rows up to each origin, and log them."""
        [(_, changes)] = changes_by_block([(panel, origins)])
        return changes

    @classmethod
    def detect(cls, panel: Panel, origins: Cutoffs) -> "LevelChanges":
        """Find them without a word in the log, as in rows that are not the data's own."""
        return cls(origins, level_shifts(panel, origins), _changes(panel, origins, find_pulses))

    @classmethod
    def joined(cls, blocks: Sequence["LevelChanges"]) -> "LevelChanges":
        """Those that are seen from the origins of several blocks, one block after the other."""
        starts = np.cumsum([0, *(len(block.origins) for block in blocks)])

        def joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
            return pd.concat(
                [table.set_axis(table.index + at) for table, at in zip(tables, starts, strict=False)]
            )

        origins = pd.concat([block.origins.frame for block in blocks], ignore_index=True)
        shifts, pulses = ([getattr(block, name) for block in blocks] for name in ("shifts", "pulses"))
        return cls(Cutoffs(origins), joined(shifts), joined(pulses))

    def only(self, origins: Cutoffs) -> "LevelChanges":
        """Those that are seen from some of the origins."""
        position = origins.frame[["unique_id", "cutoff"]].reset_index(names="at")
        shifts, pulses = (
            table.merge(position, on=["unique_id", "cutoff"]).set_index("at").rename_axis(None).sort_index()
            for table in (self.shifts, self.pulses)
        )
        return LevelChanges(origins, shifts, pulses)


def changes_by_block(blocks: Iterable[tuple[Panel, Cutoffs]]) -> Iterator[tuple[Panel, LevelChanges]]:
    """Find the changes of level in one block of series after the other, and log them when all are done.

    Args:
        blocks: At least one: the panel of each, and the origins in it.
    """
    shifted, pulsed = [], []
    for panel, origins in blocks:
        changes = LevelChanges.detect(panel, origins)
        shifted.append(changes.shifts["unique_id"])
        pulsed.append(changes.pulses["unique_id"])
        yield panel, changes
    _log_changes(pd.concat(shifted), pd.concat(pulsed))


@dataclass(frozen=True)
class ScaleLevels:
    """How the scales of training stand to the levels of series that shifted inside their training rows.

    Attributes:
        ratios: By series, its scale over that of the same rows at the former level.
        changes: By series, the new level over the former one; 1 where it moved by a difference. Without
            one, as in older versions, a series' ratio is that of the levels.
    """

    ratios: Mapping[str, float] = field(default_factory=dict)
    changes: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def find(cls, panel: Panel) -> "ScaleLevels":
        """Find them by the shifts that are seen at the end of the validation split.

        It may be needed to see that a shift lasts; the test split is not looked at.
        """
        ends = panel.series["validation_end"].fillna(panel.series["train_end"])
        return cls.of(panel, level_shifts(panel, Cutoffs.from_frame(panel.series.assign(cutoff=ends))))

    @classmethod
    def of(cls, panel: Panel, shifts: pd.DataFrame) -> "ScaleLevels":
        """Those by shifts from ``level_shifts``, one of each series.

        The scale is of rows at both levels, and of the jump between them.
        """
        series = panel.series.set_index("unique_id")
        shifts = shifts[shifts["ds"] <= shifts["unique_id"].map(series["train_end"])]
        if shifts.empty:
            return cls()
        levelled = _levelled(panel.only(shifts["unique_id"]), shifts)
        rows = levelled.history(levelled.train_end)
        scales = series_scales(rows, panel.spec.season_lengths[0]).set_index("unique_id")["scale"]
        ratios = (series["scale"] / scales.where(scales > 0)).dropna()
        shifts = shifts.set_index("unique_id")
        changes = shifts["change"].where(shifts["is_ratio"], 1.0)
        return cls(
            {str(name): float(ratio) for name, ratio in ratios.items()},
            {str(name): float(changes[name]) for name in ratios.index},
        )

    @classmethod
    def joined(cls, blocks: Iterable["ScaleLevels"]) -> "ScaleLevels":
        """Those of several blocks of series."""
        ratios: dict[str, float] = {}
        changes: dict[str, float] = {}
        for block in blocks:
            ratios |= block.ratios
            changes |= block.changes
        return cls(ratios, changes)

    def factors(self, shifts: pd.DataFrame) -> "pd.Series[float]":
        """What brings the scale of training to the present level; 1 in rows without a shift.

        A difference leaves a scale as it is. But where the shift was a ratio at the fit, and values below 0
        have made it a difference since, the rows after it vary by that ratio.
        """
        ratios = shifts["unique_id"].map(dict(self.ratios)).astype(np.float64).fillna(1.0)
        at_fit = shifts["unique_id"].map(dict(self.changes)).astype(np.float64).fillna(ratios)
        return shifts["change"].where(shifts["is_ratio"] == True, at_fit) / ratios  # noqa: E712


def forecast_at_present_level(
    panel: Panel,
    changes: LevelChanges,
    forecast: Callable[[Panel, Cutoffs], pd.DataFrame],
    levels: ScaleLevels | None = None,
) -> pd.DataFrame:
    """Forecast at the usual level of each series that has changed, and bring that to the present one.

    Args:
        panel: Gives the history.
        changes: What was found in it; its origins are those to forecast from.
        forecast: Returns ``unique_id``, ``cutoff``, ``ds`` and values on the target's scale: ``horizon`` rows
            for each origin, in their order.
        levels: Of the scales of training, where ``forecast`` returns ``yhat`` and quantiles around it, whose
            widths are in their units.

    Returns:
        As ``forecast``; exactly what it returns where no level has changed.
    """
    both = pd.concat([changes.shifts, changes.pulses])
    if both.empty:
        return forecast(panel, changes.origins)
    keys = changes.origins.frame[["unique_id", "cutoff"]].reset_index(drop=True)
    steady = keys.drop(both.index)
    parts = [forecast(panel, Cutoffs(steady.reset_index(drop=True)))] if len(steady) else []
    at = [steady.index.to_numpy()]
    few = panel.only(both["unique_id"])  # a round looks for its rows among those of series that changed
    for _, own in both.groupby(_rounds(both)):
        positions = np.unique(own.index)
        levelled = _levelled(few, own.drop_duplicates(["unique_id", "ds", "until"]))
        origins = Cutoffs(keys.iloc[positions].reset_index(drop=True))
        table = forecast(levelled.only(own["unique_id"]), origins)
        parts.append(_restored(table, changes.shifts.reindex(positions), levels))
        at.append(positions)
    table = pd.concat(parts, ignore_index=True)
    parts.clear()  # they are as large as the table
    rows = np.argsort(np.concatenate(at))[:, None] * panel.spec.horizon + np.arange(panel.spec.horizon)
    return table.iloc[rows.ravel()].reset_index(drop=True)


def values_at_present_level(panel: Panel, changes: LevelChanges, rows: NDArray[np.int64]) -> Floats:
    """The filled targets of some rows, as they would be at the present level of each origin.

    This is what ``forecast_at_present_level`` makes of forecasts that repeat rows, without a call for each
    level.

    Args:
        panel: Gives the history.
        changes: What was found in it.
        rows: Positions in ``panel.frame``, up to each origin; shape (origins, steps).

    Returns:
        Shape (origins, steps).
    """
    values, source = panel.filled[rows], panel.filled_from[rows]
    for table in (changes.shifts, changes.pulses):
        at, change, is_ratio = table.index, *(table[[name]].to_numpy() for name in ("change", "is_ratio"))
        first, stop = (each[:, None] for each in _bounds(panel, table))
        usual = np.where(is_ratio, values[at] / change, values[at] - change)
        values[at] = np.where((source[at] >= first) & (source[at] < stop), usual, values[at])
    at, change = changes.shifts.index, changes.shifts[["change"]].to_numpy()
    values[at] = np.where(changes.shifts[["is_ratio"]], values[at] * change, values[at] + change)
    return values


def _log_changes(shifted: "pd.Series[Any]", pulsed: "pd.Series[Any]") -> None:
    """Log the series of changes, which may be several of one series."""
    for series, what in (
        (shifted, "the level has shifted; forecasts follow it"),
        (pulsed, "a pulse has ended; forecasts do not repeat it"),
    ):
        names = series.unique()
        if len(names):
            _LOG.info("%d series, %s first: %s", len(names), names[0], what, extra={"series": names[0]})


def _rounds(changes: pd.DataFrame) -> NDArray[np.int64]:
    """The number of a call for each change: in one, the rows of a series are at one level."""
    what = changes.groupby(["unique_id", "ds", "until", "change"], dropna=False, sort=False).ngroup()
    of_origin = what.groupby(level=0).agg(["first", "last"])  # a shift, a pulse, or both
    of_origin["unique_id"] = changes["unique_id"].groupby(level=0).first()
    number = of_origin.drop_duplicates().groupby("unique_id").cumcount().to_numpy()
    level = of_origin.groupby(["first", "last"], sort=False).ngroup()
    return np.asarray(number[level.loc[changes.index]])


def with_level_ratio(table: pd.DataFrame, changes: LevelChanges, levels: ScaleLevels) -> pd.DataFrame:
    """Add ``level_ratio`` to the rows of origins: what brings a series' scale to its present level.

    Args:
        table: ``unique_id``, ``cutoff`` and others.
        changes: Seen from its origins.
        levels: Of the scales.
    """
    shifts = changes.shifts
    ratios = shifts[["unique_id", "cutoff"]].assign(level_ratio=levels.factors(shifts))
    return table.merge(ratios, on=["unique_id", "cutoff"], how="left").fillna({"level_ratio": 1.0})


def at_former_level(panel: Panel, shifts: pd.DataFrame) -> Panel:
    """Bring the rows after the shift of each series, from ``level_shifts``, to the level before it."""
    return panel if shifts.empty else _levelled(panel, shifts)


def _levelled(panel: Panel, changes: pd.DataFrame) -> Panel:
    """Bring the rows of each change to the level before it."""
    y = panel.frame["y"].to_numpy(dtype=np.float64).copy()
    bounds = _bounds(panel, changes)
    for row, end, change, is_ratio in zip(*bounds, changes["change"], changes["is_ratio"], strict=True):
        y[row:end] = y[row:end] / change if is_ratio else y[row:end] - change
    return replace(panel, frame=panel.frame.assign(y=y))


def _bounds(panel: Panel, changes: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first row of each change, and the first after it."""
    first = panel.row_index(Cutoffs(changes[["unique_id", "ds"]].rename(columns={"ds": "cutoff"})))
    ends = changes[["unique_id", "until"]].rename(columns={"until": "cutoff"})
    stop = panel.indptr[panel.series_codes[first] + 1]
    over = ends["cutoff"].notna().to_numpy()
    stop[over] = panel.row_index(Cutoffs(ends[over])) + 1
    return first, stop


def _restored(table: pd.DataFrame, shifts: pd.DataFrame, levels: ScaleLevels | None) -> pd.DataFrame:
    """Bring forecasts at the former level to the present one; NaN where an origin has no shift."""
    horizon = len(table) // len(shifts)
    change = np.repeat(shifts["change"].to_numpy(dtype=np.float64), horizon)[:, None]
    is_ratio = np.repeat((shifts["is_ratio"] == True).to_numpy(), horizon)[:, None]  # noqa: E712
    columns = [name for name in table.columns if name not in KEYS]
    values = table[columns].to_numpy(dtype=np.float64)
    restored = np.where(is_ratio, values * change, values + np.nan_to_num(change))
    if levels is not None:
        centre = [columns.index("yhat")]
        factors = np.repeat(levels.factors(shifts).to_numpy(), horizon)[:, None]
        restored = restored[:, centre] + (values - values[:, centre]) * factors
    return table.assign(**dict(zip(columns, restored.T, strict=True)))
