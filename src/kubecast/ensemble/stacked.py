"""The stack's table: forecasts, their ensemble, and quantiles, a block of series at a time."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from kubecast.ensemble.cross_fitting import Fold, FoldSpans
from kubecast.ensemble.recipe import Weights
from kubecast.ensemble.short_history import Substitute
from kubecast.ensemble.weights import combine_columns
from kubecast.scoring.conformal import (
    ConformalQuantiles,
    conformal_scores,
    lay_quantiles,
    needed_scores,
)
from kubecast.scoring.forecasts import Forecasts
from kubecast.scoring.metrics import ENSEMBLE, lead_times
from kubecast.scoring.score_counts import ScoreCounts, ScoreTally


@dataclass(frozen=True)
class Combination:
    """The weights that rows are combined with.

    Attributes:
        weights: Of every row but those of a fold that has its own.
        of_folds: By fold of the validation split.
    """

    weights: Weights
    of_folds: Mapping[int, Weights]

    def apply(self, block: pd.DataFrame) -> pd.DataFrame:
        """Add the column ``ensemble`` to forecasts."""
        combined = combine_columns(block, self.weights)
        is_validation = (block["split"] == "validation").to_numpy()
        for number, weights in self.of_folds.items():
            rows = np.flatnonzero(is_validation & (block["fold"] == number).to_numpy())
            combined[rows] = combine_columns(block[[*weights]].iloc[rows], weights)
        return block.assign(**{ENSEMBLE: combined})


class _Errors:
    """The ensemble's errors, counted a block of series at a time.

    Attributes:
        of_validation: Of the validation split.
        of_test: Of the test split; nothing where it is not asked for.
        not_apart: By fold, those of validation rows that are its own, or overlap it.
        series: Those with a score of the validation split.
        horizon: The longest lead time.
    """

    def __init__(self, folds: Collection[int]) -> None:
        self.of_validation, self.of_test = ScoreTally(), ScoreTally()
        self.not_apart = {number: ScoreTally() for number in folds}
        self.series = self.horizon = 0

    def add(
        self,
        block: pd.DataFrame,
        series: pd.DataFrame,
        folds: Mapping[int, Fold],
        with_test: bool,
    ) -> None:
        """Count the errors of a block.

        Args:
            block: Forecasts with the column ``ensemble``, indexed from 0.
            series: Scales.
            folds: Over its rows of the validation split.
            with_test: Whether the test split is counted too.
        """
        rows = (block["split"] == "validation").to_numpy()
        scores = conformal_scores(block if with_test else block[rows], series, ENSEMBLE)
        of_validation = scores[rows[scores.index]]
        self.of_validation.add(ScoreCounts.of_table(of_validation))
        self.of_test.add(ScoreCounts.of_table(scores[~rows[scores.index]]))
        for number, fold in folds.items():
            chosen = rows.copy()
            chosen[rows] = ~fold.others
            self.not_apart[number].add(ScoreCounts.of_table(of_validation[chosen[of_validation.index]]))
        self.series += block.loc[of_validation.index, "unique_id"].nunique()
        self.horizon = max(self.horizon, int(lead_times(block).max()) if len(block) else 0)


@dataclass(frozen=True)
class Widths:
    """The quantiles of the ensemble's errors.

    Attributes:
        evaluated: As the test split evaluates them.
        published: As the recipe has them.
        of_folds: Of each validation fold that has some of its own, from the others' errors or earlier rows.
        calibrated: Whether they come from the ensemble's errors.
    """

    evaluated: ConformalQuantiles
    published: ConformalQuantiles
    of_folds: Mapping[int, ConformalQuantiles]
    calibrated: bool = True

    @classmethod
    def fit(
        cls,
        blocks: Iterable[pd.DataFrame],
        series: pd.DataFrame,
        spans: FoldSpans,
        levels: list[float],
        substitute: Substitute | None,
    ) -> Self:
        """Fit the quantiles to the errors of the column ``ensemble``.

        Args:
            blocks: Forecasts of some whole series each, indexed from 0.
            series: Scales.
            spans: Of the folds of the validation split.
            levels: Ascending.
            substitute: In their place where errors are too few; None: they are enough.
        """
        errors = _Errors(spans.numbers)
        for block in blocks:
            folds = spans.folds(block[block["split"] == "validation"])
            errors.add(block, series, folds, with_test=substitute is None)
        # The few origins of one series overlap: together they are about one error at each lead time.
        if substitute is not None and errors.series < needed_scores(levels):
            of_folds = dict.fromkeys(spans.numbers, substitute.validation)
            return cls(substitute.published, substitute.published, of_folds, calibrated=False)
        horizon = errors.horizon if substitute is None else len(substitute.published.offsets)
        of_validation = errors.of_validation.total()
        evaluated = published = ConformalQuantiles.fit(of_validation, levels, horizon)
        # A short history's test split is small: widths that had seen it would say nothing of the next one.
        if substitute is None:
            of_all = ScoreCounts.joined([of_validation, errors.of_test.total()])
            published = ConformalQuantiles.fit(of_all, levels, horizon)
        apart = {number: of_validation.without(each.total()) for number, each in errors.not_apart.items()}
        return cls(
            evaluated,
            published,
            {
                number: ConformalQuantiles.fit(scores, levels, horizon)
                for number, scores in apart.items()
                if scores.size
            },
        )


@dataclass(frozen=True)
class Stacked:
    """A table of forecasts with its ensemble.

    Attributes:
        forecasts: Those that are combined.
        combination: Makes the ensemble of them.
        widths: Of the quantiles.
        scales: By series; None where it never varied.
    """

    forecasts: Forecasts
    combination: Combination
    widths: Widths
    scales: Mapping[str, float | None]

    def whole(self) -> pd.DataFrame:
        """The table with ``ensemble`` and its quantile columns; indexed from 0."""
        return pd.concat(self.blocks(), ignore_index=True)

    def blocks(self) -> Iterator[pd.DataFrame]:
        """The same in blocks of whole series, at least one; it may be empty."""
        return map(self._with_quantiles, map(self.combination.apply, self.forecasts.blocks()))

    def _with_quantiles(self, block: pd.DataFrame) -> pd.DataFrame:
        """Add quantile columns; a validation fold has its own."""
        folds = block["fold"].where(block["split"] == "validation")
        which = np.zeros(len(block), dtype=np.intp)
        for position, number in enumerate(self.widths.of_folds, 1):
            which[folds == number] = position
        every = [self.widths.evaluated, *self.widths.of_folds.values()]
        return lay_quantiles(block, self.scales, ENSEMBLE, every, which)
