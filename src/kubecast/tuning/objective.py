"""The objective of tuning: the mean absolute scaled error over rolling origins inside the training split.

The newest rows of the training split are cut into folds. A trial is fitted once for each fold, on the rows
before it, and forecasts from origins inside it; what stops that fit early is the tail of its own rows. The
validation and the test split are never read.
"""

import gc
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kubecast.config.model import ModelSettings
from kubecast.config.training import ValidationSettings
from kubecast.data.levels import LevelChanges, forecast_at_present_level
from kubecast.data.panel import Cutoffs, Panel
from kubecast.data.splits import stride_of
from kubecast.errors import ModelError
from kubecast.models import make_trainer
from kubecast.models.base import FitPlan, Forecaster, deadline_after, ignore

SHARE = 0.1  # of the training rows in one fold at most, unless a horizon is more
TOTAL = 0.4  # of the training rows in all folds, so that the first fit is still like the last
ORIGINS = 20  # of each series in one fold, at most
ALL_ORIGINS = 20_000  # of all series in one fold, about

Report = Callable[[int, float], None]


class Objective(Protocol):
    """The error that a search minimises."""

    @property
    def steps(self) -> int:
        """Reports of one trial at most."""
        ...

    @property
    def trained(self) -> int:
        """Epochs of all trials so far."""
        ...

    def error(self, settings: Any, seed: int, report: Report) -> float:
        """Score settings; ``report`` may raise."""
        ...


@dataclass(frozen=True)
class Fold:
    """One fold.

    Attributes:
        until: The last rows before it, which a fit sees.
        changes: Of level, seen from its origins.
        targets: What came after each origin, by the scale of its series; NaN where it does not count; shape
            (origins, horizon).
        scale: Of each origin's series; shape (origins,).
        series: Each origin's series, as a number; shape (origins,).
    """

    until: Cutoffs
    changes: LevelChanges
    targets: NDArray[np.float64]
    scale: NDArray[np.float64]
    series: NDArray[np.int64]

    @property
    def origins(self) -> Cutoffs:
        """Those inside it."""
        return self.changes.origins

    def error(self, panel: Panel, forecaster: Forecaster) -> float:
        """Mean absolute scaled error of a forecaster; each series weighs the same."""
        table = forecast_at_present_level(panel, self.changes, forecaster.forecast)
        values = table[forecaster.name].to_numpy(dtype=np.float64).reshape(self.targets.shape)
        counts = np.isfinite(self.targets)
        errors = np.where(counts, np.abs(values / self.scale[:, None] - self.targets), 0.0)
        total = np.bincount(self.series, errors.sum(axis=1))
        scored = np.bincount(self.series, counts.sum(axis=1))
        return float(np.mean(total[scored > 0] / scored[scored > 0]))


def training_folds(panel: Panel, count: int) -> list[Fold]:
    """Cut folds from the end of the training split, oldest first: the same ones for every trial.

    Args:
        panel: Gives the training split and its scales.
        count: Of folds; fewer where they would take too many of the rows.

    Raises:
        ModelError: The training split is too short for even one.
    """
    series = panel.series[panel.series["route"] == "model"]
    ends = panel.row_index(Cutoffs.from_frame(series, "train_end"))
    lengths = panel.history_lengths(ends)
    horizon, season = panel.spec.horizon, panel.spec.season_lengths[0]
    needed = 2 * horizon + season + 1  # a fit's rows, its tail, and as many as a model's own least
    typical = int(np.median(lengths)) if len(lengths) else 0
    size = max(horizon, round(min(SHARE, TOTAL / count) * typical))
    count = min(count, max(1, int(TOTAL * typical) // size), (typical - needed) // size)
    if count < 1:
        raise ModelError(
            f"tuning needs series with {needed + size} training rows, the median has {typical}; allowed: a"
            " shorter horizon, more data, or no tuning"
        )
    return list(_folds(panel, ends[lengths >= needed + count * size], size, count))


def _folds(panel: Panel, ends: NDArray[np.int64], size: int, count: int) -> Iterator[Fold]:
    horizon = panel.spec.horizon
    most = int(np.clip(ALL_ORIGINS // max(len(ends), 1), 1, ORIGINS))
    stride = stride_of(
        size - horizon, ValidationSettings(max_origins=max(most, 2)), panel.spec.season_lengths[0]
    )
    steps = np.arange(0, size - horizon + 1, stride)[-most:]
    scales = panel.series.set_index("unique_id")["scale"].reindex(panel.ids).to_numpy(dtype=np.float64)
    y = panel.frame["y"].to_numpy(dtype=np.float64)
    for back in range(count * size, 0, -size):
        rows = ((ends - back)[:, None] + steps).ravel()
        series = panel.series_codes[rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            targets = y[rows[:, None] + np.arange(1, horizon + 1)] / scales[series][:, None]
        until = Cutoffs.from_frame(panel.frame.iloc[ends - back], "ds")
        changes = LevelChanges.find(panel, Cutoffs.from_frame(panel.frame.iloc[rows], "ds"))
        targets = np.where(np.isfinite(targets), targets, np.nan)
        if not np.isfinite(targets).any():
            raise ModelError("tuning: no target of the training split counts; allowed: series that vary")
        yield Fold(until, changes, targets, scales[series], series)


@dataclass
class ModelObjective:
    """Fits and scores settings, over and over, on one panel that is read once.

    Attributes:
        panel: All of it; fits and forecasts see what their cut-offs allow.
        kind: Of the model.
        folds: From ``training_folds``.
        epochs: Reports of one fit at most, or 0 for a model that reports folds only.
        limit: Seconds after which the fits of one trial end, with the best that they have so far: one that
            took longer than a pod may live would begin again for ever.
        fitted: How many fits there were.
        trained: How many epochs they took together.
    """

    panel: Panel
    kind: str
    folds: list[Fold]
    epochs: int
    limit: float = math.inf
    fitted: int = 0
    trained: int = 0

    @classmethod
    def from_panel(
        cls, panel: Panel, kind: str, base: ModelSettings, folds: int, limit: float = math.inf
    ) -> "ModelObjective":
        """The objective of one model; ``base`` says how many epochs a fit may take."""
        epochs = base.rounds if base.reports_improvements else None
        return cls(panel, kind, training_folds(panel, folds), epochs or 0, limit)

    @property
    def steps(self) -> int:
        """Reports of one trial at most."""
        return len(self.folds) * (self.epochs + 1)

    def error(self, settings: ModelSettings, seed: int, report: Report = ignore) -> float:
        """Fit on every fold and score.

        Args:
            settings: Of the model.
            seed: Of every fit.
            report: Called with a step from 1 and the mean error so far after every epoch and fold, always in
                the units of the result; may raise to end the trial.

        Raises:
            ModelError: A fit fails, or a forecast is not finite.
        """
        gc.collect()  # the networks of the trial before, which hold themselves in circles
        errors: list[float] = []
        end = time.monotonic() + self.limit
        for fold in self.folds:
            errors.append(self._fold_error(fold, settings, seed, end, errors, report))
            report(len(errors) * (self.epochs + 1), float(np.mean(errors)))
        return float(np.mean(errors))

    def _fold_error(
        self,
        fold: Fold,
        settings: ModelSettings,
        seed: int,
        end: float,
        before: list[float],
        report: Report,
    ) -> float:
        best: list[float] = []

        def improved(forecaster: Forecaster) -> None:
            best[:] = [fold.error(self.panel, forecaster)]

        def epoch(done: int, _: float) -> None:
            self.trained += 1
            if best:
                step = len(before) * (self.epochs + 1) + min(done, self.epochs)
                report(step, float(np.mean([*before, *best])))

        callbacks: dict[str, Any] = {"on_step": epoch if self.epochs else ignore}
        if report is not ignore:
            callbacks["on_improvement"] = improved
        self.fitted += 1
        plan = FitPlan(seed=seed, deadline=deadline_after(settings.time_limit, end), **callbacks)
        forecaster, _ = make_trainer(self.kind, settings).fit(self.panel, fold.until, plan)
        error = fold.error(self.panel, forecaster)
        if not np.isfinite(error):
            raise ModelError(f"{self.kind}: the error over the training split is not finite")
        return error
