"""Skill: the gain over the strongest naive forecast of the rows evaluated, and the chance in it.

Which naive forecast is the strongest is known only afterwards, so it is chosen again in each resample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from kubecast.documents import Document
from kubecast.ensemble.naive import naive_label
from kubecast.evaluation.words import percent
from kubecast.scoring.loss_grid import Floats, LossGrid, Means
from kubecast.scoring.metrics import COVERAGE, ENSEMBLE, intervals, quantile_column
from kubecast.scoring.resampling import Interval, Resamples, Statistic
from kubecast.scoring.significance import DISJOINT_ORIGINS, finite


class Skill(Document):
    """The ensemble's gain over the strongest naive forecast of the same rows.

    Attributes:
        naive: Column of that forecast; None: there is none.
        value: 1 - MASE of the ensemble / MASE of that forecast; None where undefined.
        interval: At 95 %; None: too few origins and series.
        dates: Number of separate horizons that the interval is bound to, where all series have
            the same few; None: they are many, or the series' own.
    """

    naive: str | None = None
    value: float | None = None
    interval: Interval | None = None
    dates: int | None = None

    @property
    def is_shown(self) -> bool:
        """Whether chance is ruled out: the whole interval lies above 0, and knows more than one horizon."""
        return self.interval is not None and self.interval.low > 0 and self.dates != 1

    @property
    def label(self) -> str:
        """The naive forecast in words."""
        return "a naive forecast" if self.naive is None else naive_label(self.naive)

    def describe(self) -> str:
        """The figure, its interval and what that is bound to, as a clause."""
        if self.value is None:
            return f"skill over {self.label} is undefined"
        text = f"skill over {self.label} is {percent(self.value)}"
        if self.interval is None:
            return f"{text}, with too few origins and series for an interval"
        return f"{text} (95 %: {percent(self.interval.low)} to {percent(self.interval.high)}{self._dates()})"

    def _dates(self) -> str:
        if self.dates is None:
            return ""
        one = " on one horizon, which says nothing of other times"
        return one if self.dates == 1 else f" on {self.dates} separate horizons"


def interval_bounds(levels: Sequence[float]) -> dict[str, tuple[str, str]]:
    """The columns of each interval's bounds, by the column of its coverage in a grid of losses."""
    return {
        f"{COVERAGE}{nominal}": (quantile_column(low), quantile_column(high))
        for nominal, (low, high) in intervals(levels).items()
    }


@dataclass(frozen=True)
class SplitLosses:
    """The losses of one split, their resamples, and the naive forecasts among the models.

    Attributes:
        grid: A column for each model, and ``coverage_80`` and so on for the ensemble's intervals.
        resamples: Of the grid.
        naives: Columns of the naive forecasts.
    """

    grid: LossGrid
    resamples: Resamples
    naives: Sequence[str]

    @classmethod
    def of(cls, grid: LossGrid, naives: Sequence[str]) -> "SplitLosses":
        """Resample a grid, which has the columns of ``interval_bounds``."""
        return cls(grid, Resamples.draw(grid), naives)

    @property
    def strongest_naive(self) -> str | None:
        """The naive forecast with the smallest MASE; chosen on these rows, that is afterwards."""
        return min(self.naives, key=lambda name: float(self.resamples.means[name]), default=None)

    def skill(self) -> Skill:
        """Skill of the ensemble."""
        few = self.grid.same_dates and self.grid.n_disjoint < DISJOINT_ORIGINS
        return Skill(
            naive=self.strongest_naive,
            value=self._value(self._gain(ENSEMBLE)),
            interval=self.resamples.interval(self._gain(ENSEMBLE)),
            dates=max(self.grid.n_blocks, 1) if few else None,
        )

    def figures(self, model: str) -> dict[str, Any]:
        """Fields of a model's row on the leaderboard: its skill, its distance to the ensemble, intervals."""
        interval = self.resamples.interval
        return {
            "skill": self._value(self._gain(model)),
            "skill_interval": interval(self._gain(model)),
            "mase_interval": interval(itemgetter(model)),
            "coverage_intervals": self._coverage_intervals() if model == ENSEMBLE else {},
            "difference": self._value(_difference(model)),
            "difference_interval": None if model == ENSEMBLE else interval(_difference(model)),
        }

    def _coverage_intervals(self) -> dict[str, Interval]:
        every = {
            name.removeprefix(COVERAGE): self.resamples.interval(itemgetter(name))
            for name in self.grid.sums
            if name.startswith(COVERAGE)
        }
        return {nominal: interval for nominal, interval in every.items() if interval is not None}

    def _gain(self, model: str) -> Statistic:
        """Skill of a model as a figure of mean losses; NaN without a naive forecast."""

        def gain(means: Means) -> Floats:
            naives = [means[name] for name in self.naives]
            return np.asarray(1 - means[model] / np.min(naives, axis=0) if naives else means[model] * np.nan)

        return gain

    def _value(self, figure: Statistic) -> float | None:
        with np.errstate(divide="ignore", invalid="ignore"):
            return finite(figure(self.resamples.means))


def _difference(model: str) -> Statistic:
    return lambda means: means[model] - means[ENSEMBLE]
