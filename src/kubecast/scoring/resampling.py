"""The chance in a figure over series and origins, by two one-way bootstraps whose deviations add up.

One draws whole series (top groups where they are known), the other blocks of origins one horizon long; a
figure, such as a mean or the best of several, is made again of each draw. Together they are the two-way
bootstrap of crossed series and dates.

Sources: Künsch (1989) for blocks; Cameron, Gelbach & Miller (2011), "Robust inference with multiway
clustering", for the sum over both; Welch (1947) for the degrees of freedom, without which a few dates reject
twice too often.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from kubecast.documents import Document
from kubecast.scoring.loss_grid import Floats, LossGrid, Means

LEVEL = 0.95
RESAMPLES = 999
MANY_SERIES = 20  # fewer ones are taken as they are, not as a sample of others
NEIGHBOURS = 0.25  # correlation of adjacent blocks' means where origins share targets, of triangular weights
_SEED = 0
_AT_ONCE = 100  # resamples

Statistic = Callable[[Means], Floats]
"""Makes a figure of mean losses, elementwise over resamples."""


class Interval(Document):
    """The interval that a figure lies in at 95 %."""

    low: float
    high: float


@dataclass(frozen=True)
class Axis:
    """The draws along one way.

    Attributes:
        units: How many are drawn from, and drawn.
        inflation: Of deviations, as a draw spreads less than what it was drawn from.
        means: Of each draw, shape (resamples,).
    """

    units: int
    inflation: float
    means: Means


@dataclass(frozen=True)
class Spread:
    """The chance in one figure.

    Attributes:
        estimate: The figure.
        standard_error: Of it.
        freedom: Degrees of freedom of the standard error.
    """

    estimate: float
    standard_error: float
    freedom: float

    @property
    def p_value(self) -> float:
        """How likely so small an estimate is where the truth is 0; one-sided."""
        from scipy import special  # not on top: a sixth of all that a task imports, and most need none

        if self.standard_error == 0:
            return 0.0 if self.estimate < 0 else 1.0
        return float(special.stdtr(self.freedom, self.estimate / self.standard_error))


@dataclass(frozen=True)
class Resamples:
    """The mean losses of a grid, and of resamples of it.

    Attributes:
        means: Of the grid.
        same_dates: As of the grid.
        over_series: Draws of whole series; None: they are too few.
        over_dates: Draws of blocks of origins; None: there is one, or the draws of series hold their chance.
    """

    means: Means
    same_dates: bool
    over_series: Axis | None
    over_dates: Axis | None

    @classmethod
    def draw(cls, grid: LossGrid) -> "Resamples":
        """Resample a grid; the same each time.

        Series that share no dates are a sample on their own, so that dates are drawn only where series are
        too few.
        """
        random = np.random.default_rng(_SEED)
        groups = len(np.unique(grid.groups))
        grouped = groups < grid.n_series
        over_series = _draw_series(grid, groups, random) if grouped or groups >= MANY_SERIES else None
        crossed = grid.same_dates or over_series is None
        over_dates = _draw_dates(grid, random) if grid.n_blocks > 1 and crossed else None
        return cls(grid.means(), grid.same_dates, over_series, over_dates)

    def spread(self, statistic: Statistic) -> Spread | None:
        """The chance in a figure; None where it is undefined, or there is too little to draw from."""
        estimate, deviations = self._deviations(statistic)
        if not len(deviations) or not np.isfinite(deviations).all():
            return None
        variances = deviations.var(axis=1)
        total = float(variances.sum())
        below = np.array([axis.units - 1 for axis in self._axes])
        freedom = total**2 / float(np.sum(variances**2 / below)) if total else float(below.min())
        return Spread(estimate, float(np.sqrt(total)), freedom)

    def interval(self, statistic: Statistic) -> Interval | None:
        """Percentiles of a figure, as much wider as Student's t is than the normal distribution.

        None as of ``spread``.
        """
        from scipy import special

        if (spread := self.spread(statistic)) is None:
            return None
        estimate, deviations = self._deviations(statistic)
        tail = (1 - LEVEL) / 2
        wider = special.stdtrit(spread.freedom, 1 - tail) / special.ndtri(1 - tail)
        low, high = estimate + wider * np.quantile(deviations.sum(axis=0), [tail, 1 - tail])
        return Interval(low=float(min(low, estimate)), high=float(max(high, estimate)))

    @property
    def _axes(self) -> list[Axis]:
        return [axis for axis in (self.over_series, self.over_dates) if axis is not None]

    def _deviations(self, statistic: Statistic) -> tuple[float, Floats]:
        """The figure, and what it is off by in each resample of each axis, shape (axes, resamples)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            estimate = float(statistic(self.means))
            off = [axis.inflation * (statistic(axis.means) - estimate) for axis in self._axes]
        return estimate, np.array(off)


def _draws(units: int, random: np.random.Generator) -> Iterator[tuple[slice, Floats]]:
    """How often each unit is drawn, shape (some resamples, units): all at once would be gigabytes."""
    for at in range(0, RESAMPLES, _AT_ONCE):
        count = min(_AT_ONCE, RESAMPLES - at)
        cells = random.integers(0, units, (count, units)) + units * np.arange(count)[:, None]
        drawn = np.bincount(cells.ravel(), minlength=count * units).reshape(count, units)
        yield slice(at, at + count), drawn.astype(np.float64)


def _draw_series(grid: LossGrid, groups: int, random: np.random.Generator) -> Axis:
    """Resamples of whole groups of series."""
    sizes = np.bincount(grid.groups, minlength=groups)
    sums = {name: np.bincount(grid.groups, values, groups) for name, values in grid.by_series.items()}
    means = {name: np.empty(RESAMPLES) for name in sums}
    for at, drawn in _draws(groups, random):
        for name, each in sums.items():
            means[name][at] = drawn @ each / (drawn @ sizes)
    return Axis(groups, float(np.sqrt(groups / (groups - 1))), means)


def _draw_dates(grid: LossGrid, random: np.random.Generator) -> Axis:
    """Resamples of blocks of origins, each at least a horizon long, the same ones for all series."""
    blocks = grid.n_blocks
    starts = np.array([part[0] for part in np.array_split(np.arange(grid.n_origins), blocks)])
    counts = np.add.reduceat(grid.counts, starts, axis=1)
    sums = {name: np.add.reduceat(each, starts, axis=1) for name, each in grid.sums.items()}
    means = {name: np.empty(RESAMPLES) for name in sums}
    for at, drawn in _draws(blocks, random):
        rows = counts @ drawn.T
        # A series without a row in these blocks is not in their mean.
        share = np.divide(1.0, rows, out=np.zeros_like(rows), where=rows > 0) / (rows > 0).sum(axis=0)
        for name, each in sums.items():
            means[name][at] = np.einsum("sr,sr->r", each @ drawn.T, share)
    inflation = blocks / (blocks - 1)
    if grid.overlap > 1:
        # What correlation of neighbours adds to the variance of a mean, and takes from what a sample shows.
        inflation *= (1 + 2 * NEIGHBOURS * (blocks - 1) / blocks) / (1 - 2 * NEIGHBOURS / blocks)
    return Axis(blocks, float(np.sqrt(inflation)), means)
