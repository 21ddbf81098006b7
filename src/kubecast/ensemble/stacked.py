"""The stack's table: forecasts, their ensemble, and quantiles, a block of series at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.data import parquet
from kubecast.ensemble.cross_fitting import Fold
from kubecast.ensemble.short_history import Substitute
from kubecast.scoring.conformal import ConformalQuantiles, conformal_scores, needed_scores
from kubecast.scoring.metrics import ENSEMBLE, lead_times
from kubecast.scoring.score_counts import ScoreCounts


class _Errors(NamedTuple):
    """The ensemble's errors over a block of series.

    Attributes:
        of_splits: Of both splits.
        of_validation: Of the validation split.
        apart: Of the validation rows that are apart from a fold, by fold.
        series: Those with a score of the validation split.
        horizon: The longest lead time.
    """

    of_splits: ScoreCounts
    of_validation: ScoreCounts
    apart: dict[int, ScoreCounts]
    series: int
    horizon: int

    @classmethod
    def of(cls, block: pd.DataFrame, series: pd.DataFrame, apart: Mapping[int, NDArray[np.bool_]]) -> Self:
        """Take the errors of the column ``ensemble``.

        Args:
            block: Forecasts, indexed from 0.
            series: Scales.
            apart: By fold, whether each row of the validation split is apart from it.
        """
        scores = conformal_scores(block, series, ENSEMBLE)
        validation = np.flatnonzero(block["split"] == "validation")

        def among(rows: NDArray[np.intp]) -> pd.DataFrame:
            return scores[np.bincount(rows, minlength=len(block))[scores.index] > 0]

        of_validation = among(validation)
        return cls(
            ScoreCounts.of_table(scores),
            ScoreCounts.of_table(of_validation),
            {number: ScoreCounts.of_table(among(validation[each])) for number, each in apart.items()},
            block.loc[of_validation.index, "unique_id"].nunique(),
            int(lead_times(block).max()) if len(block) else 0,
        )

    @classmethod
    def joined(cls, blocks: "Sequence[_Errors]") -> Self:
        """Put blocks of different series together."""
        return cls(
            ScoreCounts.joined(block.of_splits for block in blocks),
            ScoreCounts.joined(block.of_validation for block in blocks),
            {
                number: ScoreCounts.joined(block.apart[number] for block in blocks)
                for number in blocks[0].apart
            },
            sum(block.series for block in blocks),
            max(block.horizon for block in blocks),
        )


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
        errors = _errors(table, series, folds)
        # The few origins of one series overlap: together they are about one error at each lead time.
        if substitute is not None and errors.series < needed_scores(levels):
            of_folds = dict.fromkeys(folds, substitute.validation)
            return cls(substitute.published, substitute.published, of_folds, calibrated=False)
        horizon = errors.horizon if substitute is None else len(substitute.published.offsets)
        evaluated = ConformalQuantiles.fit(errors.of_validation, levels, horizon)
        # A short history's test split is small: widths that had seen it would say nothing of the next one.
        published = (
            ConformalQuantiles.fit(errors.of_splits, levels, horizon) if substitute is None else evaluated
        )
        apart = {number: scores for number, scores in errors.apart.items() if scores.size}
        of_folds = {
            number: ConformalQuantiles.fit(scores, levels, horizon) for number, scores in apart.items()
        }
        return cls(evaluated, published, of_folds)


def _errors(table: pd.DataFrame, series: pd.DataFrame, folds: Mapping[int, Fold]) -> _Errors:
    validation = np.flatnonzero(table["split"] == "validation")
    blocks = []
    for rows in series_slices(table["unique_id"]):
        own = slice(*np.searchsorted(validation, [rows.start, rows.stop]))
        apart = {number: fold.others[own] for number, fold in folds.items()}
        blocks.append(_Errors.of(table.iloc[rows].reset_index(drop=True), series, apart))
    return _Errors.joined(blocks)


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
