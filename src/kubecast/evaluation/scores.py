"""The scores of the forecasts: what each block of series adds to them, and what all blocks make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.data.panel import Panel, Split
from kubecast.data.parquet import SeriesReader
from kubecast.ensemble.naive import naive_yardsticks
from kubecast.ensemble.recipe import StackRecipe
from kubecast.ensemble.stacking import SEASONAL_NAIVE
from kubecast.evaluation.calibration import shares_below
from kubecast.evaluation.comparison import Champion, CommonTargets, Comparison, compare
from kubecast.evaluation.figures import Breakdown
from kubecast.evaluation.member_quantiles import count_errors
from kubecast.evaluation.residuals import ScaledErrors, scaled_errors, season_phase
from kubecast.evaluation.skill import interval_bounds
from kubecast.scoring.forecasts import Forecasts
from kubecast.scoring.loss_grid import LossGrid, LossSums, common_origins
from kubecast.scoring.metrics import (
    COVERAGE,
    ENSEMBLE,
    Groups,
    MetricTables,
    RowLosses,
    ScoredRows,
    count_points,
    intervals,
    lead_times,
    quantile_column,
    scorable,
)
from kubecast.scoring.score_counts import ScoreCounts, ScoreTally

SPLITS: tuple[Split, Split] = ("test", "validation")
SERIES = ["split", "unique_id"]
_TEST_COLUMNS = ["unique_id", "cutoff", "ds", "y", "observed", "split", "fold", "lead_time"]


@dataclass(frozen=True)
class Subject:
    """What is scored, and beside what.

    Attributes:
        panel: Says what counts as one origin.
        series: Scales and training means.
        members: That the ensemble is made of.
        yardsticks: Naive forecasts beside them.
        naives: Every naive forecast, member or yardstick.
        levels: Of the quantile columns.
        first_target: Time of the first target that is forecast, from which phases of the season count.
        champion: To compare with; None: there is none that is comparable.
    """

    panel: Panel
    series: pd.DataFrame
    members: list[str]
    yardsticks: list[str]
    naives: list[str]
    levels: list[float]
    first_target: pd.Timestamp
    champion: Champion | None = None

    @classmethod
    def of(
        cls, panel: Panel, recipe: StackRecipe, forecasts: Forecasts, champion: Champion | None
    ) -> "Subject":
        """Name the models among the columns of the forecasts."""
        yardsticks = [each.name for each in naive_yardsticks(panel) if each.name in forecasts.columns]
        naives = [name for name, kind in recipe.members.items() if kind == SEASONAL_NAIVE] + yardsticks
        compared = champion is not None and not champion.not_comparable and panel.spec.splits.is_evaluated
        return cls(
            panel,
            panel.series,
            [*recipe.members],
            yardsticks,
            naives,
            recipe.quantiles.levels,
            min(block["ds"].min() for block in forecasts.blocks(["unique_id", "ds"])),
            champion if compared else None,
        )

    @property
    def models(self) -> list[str]:
        """Columns of point forecasts."""
        return [*self.members, *self.yardsticks, ENSEMBLE]

    @property
    def points(self) -> list[str]:
        """Models whose quantiles are made of their own errors: none where the history is short."""
        return [*self.members, *self.yardsticks] if self.panel.spec.splits.is_full else []

    def prepared(self, block: pd.DataFrame) -> pd.DataFrame:
        """A block of forecasts with ``lead_time``, whose series and splits are looked up by codes."""
        return block.astype(dict.fromkeys(SERIES, "category")).assign(lead_time=lead_times)


@dataclass(frozen=True)
class BlockScores:
    """The scores of a block of series.

    Attributes:
        metrics: By split and series.
        points: Targets ``scored`` and ``skipped``, by split and series.
        bias: Mean of forecast less target by split and series, in scales of the series.
        below: Share of targets at or below each quantile, by split and series.
        by_lead_time: Of every model, as ``by_fold``.
        by_fold: See there.
        by_phase: Of the ensemble, by phase of the season.
        by_origin: Of the ensemble and the naives, by origin.
        losses: By split, sums by series and origin.
        errors: The ensemble's, on the test split.
        infinite: Forecasts and quantiles of the test split that are not finite.
        targets: First and last time of the test split's targets; empty where it has none.
        common: Targets that the champion has forecast too; None: there is no comparable champion.
    """

    metrics: MetricTables
    points: pd.DataFrame
    bias: pd.DataFrame
    below: pd.DataFrame
    by_lead_time: Breakdown
    by_fold: Breakdown
    by_phase: Breakdown
    by_origin: Breakdown
    losses: dict[Split, LossSums]
    errors: ScaledErrors
    infinite: int
    targets: list[pd.Timestamp]
    common: CommonTargets | None

    @classmethod
    def of(
        cls,
        block: pd.DataFrame,
        subject: Subject,
        tallies: Mapping[str, ScoreTally],
        theirs: pd.DataFrame | None = None,
    ) -> Self:
        """Score the forecasts of some whole series.

        Args:
            block: The forecasts.
            subject: Says how.
            tallies: Of each model with quantiles of its own; get its errors on the validation split.
            theirs: The champion's, where it is compared with.
        """
        panel, series, levels, models = subject.panel, subject.series, subject.levels, subject.models
        season, frequency = panel.spec.season_lengths[0], panel.spec.frequency
        table = subject.prepared(block)
        phase = season_phase(table["ds"], frequency, season, subject.first_target)
        table = table.assign(phase=phase, origin=common_origins(table, panel))
        scored = scorable(table, series)
        losses = RowLosses.of(table[scored], series)
        groups = Groups.of(losses.rows, SERIES)
        rows = ScoredRows(losses, groups, models, levels)
        columns = [ENSEMBLE, *map(quantile_column, levels)]
        test = table.loc[table["split"] == "test", [*_TEST_COLUMNS, *columns]]
        count_errors(losses, tallies)
        off = (losses.values(ENSEMBLE) - losses.y) / losses.values("scale")
        return cls(
            metrics=rows.metrics(),
            points=count_points(Groups.of(table, SERIES), scored),
            bias=rows.table({"bias": rows.mean(off)}),
            below=shares_below(losses, groups, levels),
            by_lead_time=Breakdown.of(table, scored, losses, "lead_time", models, levels),
            by_fold=Breakdown.of(table, scored, losses, "fold", models, levels),
            by_phase=Breakdown.of(table, scored, losses, "phase", [ENSEMBLE], levels),
            by_origin=Breakdown.of(table, scored, losses, "cutoff", [ENSEMBLE, *subject.naives]),
            losses={
                split: LossSums.of(
                    losses, (losses.rows["split"] == split).to_numpy(), models, interval_bounds(levels)
                )
                for split in SPLITS
            },
            errors=scaled_errors(test, series, ENSEMBLE),
            infinite=int((~np.isfinite(test[columns].to_numpy(dtype=np.float64))).sum()),
            targets=[test["ds"].min(), test["ds"].max()] if len(test) else [],
            common=CommonTargets.of(test, series, panel, levels, subject.champion, theirs)
            if subject.champion and theirs is not None
            else None,
        )


@dataclass(frozen=True)
class Scores:
    """The scores of all series.

    Attributes:
        subject: What was scored.
        blocks: In ascending order of series.
        member_scores: Errors of each model with quantiles of its own, on the validation split.
    """

    subject: Subject
    blocks: Sequence[BlockScores]
    member_scores: Mapping[str, ScoreCounts]

    @classmethod
    def of(cls, forecasts: Forecasts, subject: Subject) -> Self:
        """Score the forecasts of all series, read along with the champion's."""
        champion = SeriesReader(subject.champion.forecasts.blocks()) if subject.champion else None
        tallies = {model: ScoreTally() for model in subject.points}
        blocks = []
        for block in forecasts.blocks():
            theirs = champion.until(max(block["unique_id"].unique(), default="")) if champion else None
            blocks.append(BlockScores.of(block, subject, tallies, theirs))
        return cls(subject, blocks, {model: tally.total() for model, tally in tallies.items()})

    @cached_property
    def metrics(self) -> MetricTables:
        """By split and series."""
        names = self.blocks[0].metrics
        return {name: self._scored.join([each.metrics[name] for each in self.blocks]) for name in names}

    @cached_property
    def points(self) -> pd.DataFrame:
        """Targets ``scored`` and ``skipped``, by split and series."""
        tables = [block.points for block in self.blocks]
        return _Order.of(tables).join(tables)

    @cached_property
    def _scored(self) -> "_Order":
        return _Order.of([block.bias for block in self.blocks])

    @property
    def splits(self) -> set[str]:
        """Those that have targets, scored or not."""
        return set(self.points.index.get_level_values("split"))

    @cached_property
    def below(self) -> pd.DataFrame:
        """Share of targets at or below each quantile, by series of the test split."""
        return of_test(self._scored.join([block.below for block in self.blocks]))

    def breakdown(self, name: str) -> Breakdown:
        """One of ``by_lead_time``, ``by_fold``, ``by_phase`` and ``by_origin``."""
        return Breakdown.joined([getattr(block, name) for block in self.blocks])

    def grid(self, split: Split) -> LossGrid:
        """Losses by series and origin."""
        return LossGrid.joined([block.losses[split] for block in self.blocks], self.subject.panel)

    def by_series(self, naive: str | None) -> pd.DataFrame:
        """``mase``, ``naive_mase``, ``bias`` and ``coverage`` of the widest interval, of the test split.

        Args:
            naive: The strongest naive forecast; None: there is none.
        """
        mase = of_test(self.metrics["mase"])
        widest = next(iter(intervals(self.subject.levels)), None)
        return pd.DataFrame(
            {
                "mase": mase[ENSEMBLE],
                "naive_mase": mase[naive] if naive else np.nan,
                "bias": of_test(self._scored.join([block.bias for block in self.blocks]))["bias"],
                "coverage": of_test(self.metrics[f"{COVERAGE}{widest}"])[ENSEMBLE] if widest else np.nan,
            }
        )

    @property
    def infinite(self) -> int:
        """Forecasts and quantiles of the test split that are not finite."""
        return sum(block.infinite for block in self.blocks)

    def comparison(self) -> Comparison | None:
        """The version and the champion on the same targets; None where there are none."""
        common = [block.common for block in self.blocks if block.common is not None]
        subject = self.subject
        if subject.champion is None:
            return None
        return compare(common, subject.series, subject.panel, subject.levels, subject.champion)


@dataclass(frozen=True)
class _Order:
    """The rows of blocks of series, each by split and series, in that order.

    Attributes:
        index: Of all rows.
        rows: Their places among those of the blocks; shape (rows,).
    """

    index: pd.MultiIndex
    rows: NDArray[np.intp]

    @classmethod
    def of(cls, tables: Sequence[pd.DataFrame]) -> Self:
        """Order tables that are in ascending order of series."""
        # Categories of blocks are not the same, and pandas would look at each row.
        splits, names = (
            np.concatenate([table.index.get_level_values(level).to_numpy(dtype=object) for table in tables])
            for level in SERIES
        )
        rows = np.argsort(splits, kind="stable")
        return cls(pd.MultiIndex.from_arrays([splits[rows], names[rows]], names=SERIES), rows)

    def join(self, tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
        """Put tables of these rows together."""
        values = np.concatenate([table.to_numpy() for table in tables])
        return pd.DataFrame(values[self.rows], self.index, tables[0].columns)


def of_test(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the test split, indexed by series."""
    return table[table.index.get_level_values("split") == "test"].droplevel("split")
