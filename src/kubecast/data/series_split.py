"""The split of each series: its cut-offs, origins, route and scales, by the plan for all of them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.config.training import ValidationSettings
from kubecast.data.findings import Notes
from kubecast.data.grid import series_bounds
from kubecast.data.panel import PanelSpec
from kubecast.data.row_blocks import concat_rows
from kubecast.data.series_table import facts_of_rows, facts_of_training
from kubecast.data.splits import filled_scales, origin_steps, own_scales
from kubecast.errors import DataError


@dataclass(frozen=True)
class SeriesSplits:
    """Splits one block of series after the other.

    Attributes:
        spec: Holds the plan, and says how cut-offs are aligned.
        validation: Holds the folds and the stride of origins.
        late: By series, from ``steps_late``.
    """

    spec: PanelSpec
    validation: ValidationSettings
    late: "pd.Series[int]"
    _series: list[pd.DataFrame] = field(default_factory=list)
    _scales: list[pd.DataFrame] = field(default_factory=list)
    _origins: list[pd.DataFrame] = field(default_factory=list)

    def add(self, frame: pd.DataFrame) -> None:
        """Split the series of a block.

        Args:
            frame: Its rows on the grid, in order, ``unique_id`` categorical and without empty categories.
        """
        splits, (starts, stops) = self.spec.splits, series_bounds(frame)
        names = frame["unique_id"].cat.categories.to_numpy(dtype=object)
        cuts = _Cuts(starts, stops, np.asarray(self.late.loc[names], dtype=np.int64))
        train, test = cuts.rows(splits.validation + splits.test), cuts.rows(splits.test)
        running = np.append(0, np.cumsum(frame["observed"].to_numpy()))
        before, until_test = (
            np.where(last >= 0, running[last + 1] - running[starts], 0) for last in (train, test)
        )
        joined = (before < splits.minimum) & (until_test >= splits.minimum)
        train = np.where(joined, test, train)
        trained = np.arange(len(frame)) <= np.repeat(train, stops - starts)
        facts = facts_of_rows(frame).assign(
            train_end=_times_at(frame, train),
            validation_end=_times_at(frame, test),
            train_rows=np.where(train >= 0, train - starts + 1, 0),
            before=before,
            joined=joined,
        )
        self._series.append(pd.concat([facts, facts_of_training(frame, trained)], axis=1))
        self._scales.append(own_scales(frame[trained], self.spec.season_lengths[0]))
        self._origins.append(_origins(frame, names, cuts, self._steps, train))

    def tables(self, notes: Notes) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The tables of all blocks.

        Args:
            notes: Receives the series that are too short or have no scale.

        Returns:
            ``Panel.series`` and ``Panel.origins``.

        Raises:
            DataError: No series varies, or none can be fitted and evaluated.
        """
        series = pd.concat(self._series, ignore_index=True)
        route = _routes(series, self.spec.splits.minimum, notes)
        series = series.drop(columns=["before", "joined"])
        series.insert([*series.columns].index("train_rows") + 1, "route", route)
        series = series.merge(filled_scales(concat_rows(self._scales)), on="unique_id", how="left")
        for name in series.loc[series["scale"].isna(), "unique_id"]:
            notes.add("not_scored", "no scale: too few or only equal training rows", series=name)
        if series["scale"].isna().all():
            raise DataError("no series varies in its training split; allowed: at least one that does")
        origins = pd.concat(self._origins, ignore_index=True)
        if set(origins["split"]) != set(self._steps["split"]):
            raise DataError("no series has origins to be evaluated from; allowed: longer series")
        return series, origins

    @property
    def _steps(self) -> pd.DataFrame:
        return origin_steps(self.spec.splits, self.spec.horizon, self.validation)


@dataclass(frozen=True)
class _Cuts:
    """The row of each series that lies so many steps before the end of its clock."""

    starts: NDArray[np.intp]
    stops: NDArray[np.intp]
    late: NDArray[np.int64]

    def rows(self, back: NDArray[np.int64] | int) -> NDArray[np.int64]:
        """The row; -1 before a series begins, and its last row where it ended earlier. Shape (series, …)."""
        shape = (-1, *(1 for _ in np.shape(back)))
        starts, stops, late = (each.reshape(shape) for each in (self.starts, self.stops, self.late))
        rows = np.minimum(stops - 1 - (back - late), stops - 1)
        return np.asarray(np.where(rows >= starts, rows, -1), dtype=np.int64)


def _times_at(frame: pd.DataFrame, rows: NDArray[np.int64]) -> NDArray[Any]:
    return np.where(rows >= 0, frame["ds"].to_numpy()[rows], np.datetime64("NaT", "ns"))


def _routes(series: pd.DataFrame, minimum: int, notes: Notes) -> NDArray[np.object_]:
    """Whether each series is fitted (``model``) or not (``fallback``).

    One too short for a validation split of its own is fitted up to the test split: the others' origins are
    what weights and widths come from.

    Args:
        series: ``unique_id``, ``before`` (observed rows before the validation split) and ``joined`` (whether
            it is fitted up to the test split).
        minimum: Training rows that a fit needs.
        notes: Receives the series that are too short.
    """
    enough = series["before"] >= minimum
    if not enough.any():
        raise DataError(
            f"no series has the {minimum} training rows that a fit needs, the most is"
            f" {series['before'].max()}; allowed: longer series or a shorter horizon"
        )
    fitted = enough | series["joined"]
    for mask, text in (
        (series["joined"], "observed rows before the validation split, {} needed: it has none"),
        (~fitted, "observed training rows, {} needed: forecast by the fallback"),
    ):
        for name, count in series.loc[mask, ["unique_id", "before"]].itertuples(index=False):
            notes.add("short", f"{count} {text.format(minimum)}", series=name)
    return np.where(fitted, "model", "fallback").astype(object)


def _origins(
    frame: pd.DataFrame,
    names: NDArray[np.object_],
    cuts: _Cuts,
    steps: pd.DataFrame,
    train: NDArray[np.int64],
) -> pd.DataFrame:
    rows = cuts.rows(steps["back"].to_numpy())
    # From its last row a series has nothing to be evaluated on, and in its training rows it is not.
    inside = (rows >= 0) & (rows >= train[:, None]) & (rows < cuts.stops[:, None] - 1)
    series, step = np.nonzero(inside)
    return pd.DataFrame(
        {
            "unique_id": names[series],
            "cutoff": frame["ds"].to_numpy()[rows[series, step]],
            "split": steps["split"].to_numpy()[step],
            "fold": steps["fold"].to_numpy()[step],
        }
    )
