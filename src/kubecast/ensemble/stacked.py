"""The stack's table: forecasts, their ensemble, and quantiles that are laid a block of series at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.data import parquet
from kubecast.ensemble.short_history import Substitute
from kubecast.scoring.conformal import ConformalQuantiles, conformal_scores, needed_scores
from kubecast.scoring.metrics import ENSEMBLE, lead_times


@dataclass(frozen=True)
class Widths:
    """The quantiles of errors, and the ensemble's scores, which those of a validation fold come from.

    Attributes:
        scores: From ``conformal_scores``.
        evaluated: As the test split evaluates them.
        published: As the recipe has them.
        substitute: For the validation split, where they do not come from the ensemble's errors.
    """

    scores: pd.DataFrame
    evaluated: ConformalQuantiles
    published: ConformalQuantiles
    substitute: ConformalQuantiles | None = None

    @property
    def calibrated(self) -> bool:
        """Whether they come from the ensemble's errors."""
        return self.substitute is None

    @classmethod
    def fit(
        cls, table: pd.DataFrame, series: pd.DataFrame, levels: list[float], substitute: Substitute | None
    ) -> "Widths":
        """Fit the quantiles to the errors of the column ``ensemble``.

        Args:
            table: Forecasts.
            series: Scales.
            levels: Ascending.
            substitute: In their place where errors are too few; None: they are enough.
        """
        scores = conformal_scores(table, series, ENSEMBLE)
        of_validation = scores[table.loc[scores.index, "split"] == "validation"]
        if substitute is None:
            horizon = int(lead_times(table).max())
            evaluated = ConformalQuantiles.fit(of_validation, levels, horizon)
            return cls(scores, evaluated, ConformalQuantiles.fit(scores, levels, horizon))
        # The few origins of one series overlap: together they are about one error at each lead time.
        series_scored = table.loc[of_validation.index, "unique_id"].nunique()
        # A short history's test split is small: widths that had seen it would say nothing of the next one.
        if series_scored < needed_scores(levels):
            return cls(of_validation, substitute.published, substitute.published, substitute.validation)
        quantiles = ConformalQuantiles.fit(of_validation, levels, len(substitute.published.offsets))
        return cls(of_validation, quantiles, quantiles)


@dataclass(frozen=True)
class Stacked:
    """A table of forecasts with its ensemble.

    Attributes:
        forecasts: With ``ensemble``; indexed from 0.
        others: By fold, whether each validation row is apart from it; shape (validation rows,).
        widths: Of the quantiles.
        scales: By series; None where it never varied.
    """

    forecasts: pd.DataFrame
    others: Mapping[int, NDArray[np.bool_]]
    widths: Widths
    scales: Mapping[str, float | None]

    def whole(self) -> pd.DataFrame:
        """The table with its quantile columns."""
        return pd.concat(self.blocks())

    def blocks(self) -> Iterator[pd.DataFrame]:
        """The same in blocks of whole series, at least one; it may be empty."""
        ends, begin = self._ends(), 0
        while True:
            within = int(np.searchsorted(ends, begin + parquet.BLOCK_ROWS, side="right")) - 1
            after = int(np.searchsorted(ends, begin, side="right"))  # a series may be larger than a block
            end = int(ends[min(max(within, after), len(ends) - 1)])
            yield self._with_quantiles(self.forecasts.iloc[begin:end])
            begin = end
            if end == len(self.forecasts):
                return

    def _ends(self) -> NDArray[np.intp]:
        """Rows before which every series ends or begins; the number of rows, which may be 0, is the last."""
        codes, names = pd.factorize(self.forecasts["unique_id"])
        rows, last = np.arange(len(codes)), np.zeros(len(names), dtype=np.intp)
        last[codes] = rows
        ends = rows[np.maximum.accumulate(last[codes]) == rows] + 1
        return ends if len(ends) else np.array([0])

    def _with_quantiles(self, block: pd.DataFrame) -> pd.DataFrame:
        """Add quantile columns; those of a validation fold come from the others' errors, or earlier rows."""
        widths, columns = self.widths, self.widths.evaluated.columns
        table = widths.evaluated.apply(block, self.scales, ENSEMBLE)
        is_validation = (block["split"] == "validation").to_numpy()
        for number, quantiles in self._quantiles_of_folds.items():
            rows = is_validation & (block["fold"] == number).to_numpy()
            table.loc[rows, columns] = quantiles.apply(block[rows], self.scales, ENSEMBLE)[columns]
        return table

    @cached_property
    def _quantiles_of_folds(self) -> dict[int, ConformalQuantiles]:
        """Of each validation fold that has some of its own."""
        widths = self.widths
        if widths.substitute is not None:
            return dict.fromkeys(self.others, widths.substitute)
        validation = np.flatnonzero(self.forecasts["split"] == "validation")
        quantiles = {}
        for number, apart in self.others.items():
            is_other = np.zeros(len(self.forecasts), dtype=bool)
            is_other[validation[apart]] = True
            if len(scores := widths.scores[is_other[widths.scores.index]]):
                evaluated = widths.evaluated
                quantiles[number] = ConformalQuantiles.fit(scores, evaluated.levels, len(evaluated.offsets))
        return quantiles
