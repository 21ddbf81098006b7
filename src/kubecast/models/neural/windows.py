"""Windows over every series of a panel, read batch by batch from flat arrays.

A window is known by the row it ends on, its origin; nothing is copied once for each window, so that memory
grows with the rows of the panel and not with rows times window length.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kubecast.data.calendars import offset_of
from kubecast.data.panel import Panel
from kubecast.models.neural.spec import (
    Doubles,
    Floats,
    Inputs,
    Moments,
    Rows,
    WindowSpec,
    count_harmonics,
    differenced_target,
)

CHUNK = 256  # windows that are read at once
MAX_TARGET = 20.0  # in window scales; a nearly constant window would otherwise outweigh all others
_EPOCH = np.datetime64("2000-01-03", "ns")


@dataclass(frozen=True)
class Batch:
    """Windows by origin.

    Attributes:
        inputs: float32.
        base: What the scaled output is added to; shape (windows, horizon).
        scale: What the output is multiplied by; shape (windows, 1). 0 for a constant window.
    """

    inputs: Inputs
    base: Doubles
    scale: Doubles

    def forecasts(self, outputs: Floats) -> Doubles:
        """Turn outputs into forecasts, both of shape (windows, horizon)."""
        return np.asarray(self.base + self.scale * outputs)


class Windows:
    """A panel's rows in flat arrays, from which windows are read."""

    def __init__(self, panel: Panel, spec: WindowSpec) -> None:
        spec.check(panel)
        frame = panel.frame
        self.spec = spec
        self._level, self._y = panel.filled, differenced_target(panel, spec.difference)
        self._observed = frame["observed"].to_numpy(dtype=bool)
        self._ds = frame["ds"].to_numpy(dtype="datetime64[ns]")
        self._codes, self._starts = panel.series_codes, panel.indptr
        self._future = _standardized(frame, spec.future)
        self._past = _standardized(frame, spec.past)
        self._static = _static(panel, spec)
        self._moments = _series_moments(panel, spec)
        self._periods = [
            (_period(season, spec.frequency), count_harmonics(season)) for season in spec.season_lengths
        ]

    def history(self, rows: Rows) -> Rows:
        """Count the rows that each origin's series has up to it."""
        return np.asarray(rows - self._starts[self._codes[rows]] + 1)

    def batch(self, rows: Rows, future: pd.DataFrame | None = None) -> Batch:
        """Read the windows that end on ``rows``.

        Args:
            rows: Shape (windows,); each has ``spec.history`` rows.
            future: Known-future covariates over the horizon of each origin; default: from the panel's own
                rows, which must then reach so far.
        """
        steps = rows[:, None] + np.arange(1 - self.spec.sequence_length, 1)
        values = self._y[steps]
        centre, scale = self._scaling(rows, values)
        divisor = np.where(scale > 0, scale, 1.0)
        before = steps - self.spec.season
        first = self._starts[self._codes[rows]][:, None] + self.spec.difference
        change = np.where(before >= first, values - self._y[before], 0.0)
        own = np.stack([change / divisor, self._observed[steps]], axis=2).astype(np.float32)
        known = self._future[self._after(rows)] if future is None else _standardized(future, self.spec.future)
        inputs = Inputs(
            ((values - centre) / divisor).astype(np.float32),
            np.concatenate([own, self._future[steps], self._past[steps]], axis=2),
            np.concatenate([self._phases(rows), self._static[self._codes[rows]]], axis=1),
            known.reshape(len(rows), int(self.spec.shapes.future[0])),
        )
        return Batch(inputs, self._base(rows, centre), scale * self.spec.target_scale)

    def targets(self, rows: Rows, batch: Batch) -> tuple[Floats, Floats]:
        """Compute the outputs of a perfect network, and 1 where they are observed, else 0.

        Returns:
            Two arrays of shape (windows, horizon); an unobserved target, and any of a constant window, is 0.
        """
        after = self._after(rows)
        scored = self._observed[after] & (batch.scale > 0)
        limit = MAX_TARGET / self.spec.target_scale if self.spec.normalization == "instance" else np.inf
        ratio = (self._level[after] - batch.base) / np.where(batch.scale > 0, batch.scale, 1.0)
        outputs = np.where(scored, np.clip(ratio, -limit, limit), 0.0)
        return outputs.astype(np.float32), scored.astype(np.float32)

    def _after(self, rows: Rows) -> Rows:
        return np.asarray(rows[:, None] + np.arange(1, self.spec.horizon + 1))

    def _scaling(self, rows: Rows, values: Doubles) -> tuple[Doubles, Doubles]:
        if self.spec.normalization == "none":
            return np.zeros((len(rows), 1)), np.ones((len(rows), 1))
        own = np.stack([values.mean(axis=1), values.std(axis=1)], axis=1)
        if self._moments is not None:
            series = self._moments[self._codes[rows]]
            own = np.where(np.isnan(series), own, series)
        centre, scale = own[:, :1], own[:, 1:]
        # Below this the spread is rounding: the window, or its change, is constant.
        size = np.maximum(np.abs(centre), np.abs(self._level[rows])[:, None])
        return centre, np.where(scale > 1e-9 * size, scale, 0.0)

    def _base(self, rows: Rows, centre: Doubles) -> Doubles:
        if self.spec.residual == "none":
            base = np.repeat(centre, self.spec.horizon, axis=1)
        else:
            base = self._ago(self._y, rows, self.spec.season)
        return base + self._ago(self._level, rows, self.spec.difference) if self.spec.difference else base

    def _ago(self, values: Doubles, rows: Rows, lag: int) -> Doubles:
        """The newest known value a multiple of ``lag`` before each step ahead."""
        return np.asarray(values[rows[:, None] + 1 - lag + np.arange(self.spec.horizon) % lag])

    def _phases(self, rows: Rows) -> Floats:
        elapsed = (self._ds[rows] - _EPOCH).astype(np.int64)
        columns = [np.empty((len(rows), 0))]
        for period, harmonics in self._periods:
            angle = 2 * np.pi * ((elapsed % period) / period)[:, None] * np.arange(1, harmonics + 1)
            columns += [np.sin(angle), np.cos(angle)]
        return np.concatenate(columns, axis=1).astype(np.float32)


def chunks(rows: Rows) -> list[Rows]:
    """Split rows into chunks whose windows are read at once."""
    return np.split(rows, range(CHUNK, len(rows), CHUNK)) if len(rows) else []


def spread_sample(rows: Rows, most: int) -> Rows:
    """At most so many of the rows, evenly spread."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def _period(season: int, frequency: str) -> int:
    """Mean duration of a season in nanoseconds: a year for 12 months, a week for 5 business days."""
    times = pd.date_range(_EPOCH, periods=4 * season + 1, freq=offset_of(frequency))
    return int((times[-1] - times[0]).value) // 4


def _standardized(frame: pd.DataFrame, moments: dict[str, Moments]) -> Floats:
    """Shape (rows, columns); a missing value is 0."""
    values = frame[list(moments)].to_numpy(dtype=np.float64)
    mean, spread = np.array(list(moments.values())).reshape(-1, 2).T
    return np.asarray(np.nan_to_num((values - mean) / spread), dtype=np.float32)


def _static(panel: Panel, spec: WindowSpec) -> Floats:
    table = panel.static.set_index("unique_id").reindex(panel.ids)
    columns = [_standardized(table, spec.numbers)]
    for name, levels in spec.levels.items():
        texts = table[name].astype(str).to_numpy()
        columns.append((texts[:, None] == np.array(levels, dtype=object)).astype(np.float32))
    return np.concatenate(columns, axis=1)


def _series_moments(panel: Panel, spec: WindowSpec) -> Doubles | None:
    if spec.normalization != "series":
        return None
    unseen = (np.nan, np.nan)
    return np.array([spec.series.get(str(name), unseen) for name in panel.ids], dtype=np.float64)
