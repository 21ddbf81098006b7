"""The stack's table: forecasts, their ensemble, and quantiles, a block of series at a time."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.data import parquet
from kubecast.ensemble.cross_fitting import Fold
from kubecast.ensemble.short_history import Substitute
from kubecast.scoring.conformal import ConformalQuantiles, conformal_scores, needed_scores
from kubecast.scoring.metrics import ENSEMBLE, lead_times
from kubecast.scoring.score_counts import ScoreCounts, ScoreTally


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
        apart: Mapping[int, NDArray[np.bool_]],
        with_test: bool,
    ) -> None:
        """Count the errors of a block.

        Args:
            block: Forecasts with the column ``ensemble``, indexed from 0.
            series: Scales.
            apart: By fold, whether each row of the validation split is apart from it.
            with_test: Whether the test split is counted too.
        """
        rows = (block["split"] == "validation").to_numpy()
        scores = conformal_scores(block if with_test else block[rows], series, ENSEMBLE)
        of_validation = scores[rows[scores.index]]
        self.of_validation.add(ScoreCounts.of_table(of_validation))
        self.of_test.add(ScoreCounts.of_table(scores[~rows[scores.index]]))
        for number, each in apart.items():
            chosen = rows.copy()
            chosen[rows] = ~each
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
        table: pd.DataFrame,
        series: pd.DataFrame,
        folds: Mapping[int, Fold],
        levels: list[float],
        substitute: Substitute | None,
    ) -> Self:
        """Fit the quantiles to the errors of the column ``ensemble``.

        Args:
            table: Forecasts, indexed from 0.
            series: Scales.
            folds: Of the validation split.
            levels: Ascending.
            substitute: In their place where errors are too few; None: they are enough.
        """
        errors = _errors(table, series, folds, with_test=substitute is None)
        # The few origins of one series overlap: together they are about one error at each lead time.
        if substitute is not None and errors.series < needed_scores(levels):
            of_folds = dict.fromkeys(folds, substitute.validation)
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


def _errors(table: pd.DataFrame, series: pd.DataFrame, folds: Mapping[int, Fold], with_test: bool) -> _Errors:
    validation, errors = np.flatnonzero(table["split"] == "validation"), _Errors(folds)
    for rows in series_slices(table["unique_id"]):
        own = slice(*np.searchsorted(validation, [rows.start, rows.stop]))
        apart = {number: fold.others[own] for number, fold in folds.items()}
        errors.add(table.iloc[rows].reset_index(drop=True), series, apart, with_test)
    return errors


def series_slices(names: "pd.Series[str]") -> Iterator[slice]:
    """Cut rows into blocks of whole series, at least one; it may be empty.

    Args:
        names: The series of each row.

    Yields:
        The rows of each block: no more than ``parquet.BLOCK_ROWS``, unless one series has more.
    """
    ends, begin = _ends(names), 0
    while True:
        within = int(np.searchsorted(ends, begin + parquet.BLOCK_ROWS, side="right")) - 1
        after = int(np.searchsorted(ends, begin, side="right"))  # a series may be larger than a block
        end = int(ends[min(max(within, after), len(ends) - 1)])
        yield slice(begin, end)
        begin = end
        if end == len(names):
            return


def _ends(names: "pd.Series[str]") -> NDArray[np.intp]:
    """Rows before which every series ends or begins; the number of rows, which may be 0, is the last."""
    codes, series = pd.factorize(names)
    rows, last = np.arange(len(codes)), np.zeros(len(series), dtype=np.intp)
    last[codes] = rows
    ends = rows[np.maximum.accumulate(last[codes]) == rows] + 1
    return ends if len(ends) else np.array([0])


@dataclass(frozen=True)
class Stacked:
    """A table of forecasts with its ensemble.

    Attributes:
        forecasts: With ``ensemble``; indexed from 0.
        widths: Of the quantiles.
        scales: By series; None where it never varied.
    """

    forecasts: pd.DataFrame
    widths: Widths
    scales: Mapping[str, float | None]

    def whole(self) -> pd.DataFrame:
        """The table with its quantile columns."""
        return pd.concat(self.blocks())

    def blocks(self) -> Iterator[pd.DataFrame]:
        """The same in blocks of whole series, at least one; it may be empty."""
        for rows in series_slices(self.forecasts["unique_id"]):
            yield self._with_quantiles(self.forecasts.iloc[rows])

    def _with_quantiles(self, block: pd.DataFrame) -> pd.DataFrame:
        """Add quantile columns; a validation fold has its own."""
        table, columns = (
            self.widths.evaluated.apply(block, self.scales, ENSEMBLE),
            self.widths.evaluated.columns,
        )
        is_validation = (block["split"] == "validation").to_numpy()
        for number, quantiles in self.widths.of_folds.items():
            rows = is_validation & (block["fold"] == number).to_numpy()
            table.loc[rows, columns] = quantiles.apply(block[rows], self.scales, ENSEMBLE)[columns]
        return table
