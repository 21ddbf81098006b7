"""What is looked at in another reading of the forecasts, when a first has shown what to look at."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from kubecast.data.panel_blocks import PanelBlocks
from kubecast.evaluation.member_quantiles import member_offsets, wql_of_members
from kubecast.evaluation.paths import SeriesPath, series_paths
from kubecast.evaluation.scores import Scores
from kubecast.scoring.forecasts import Forecasts
from kubecast.scoring.metrics import ENSEMBLE, RowLosses, intervals, quantile_column, scorable


class CloserLook(NamedTuple):
    """The result of that reading.

    Attributes:
        wql: Of the members and yardsticks on the test split, with quantiles of their own.
        paths: Of the chosen series.
    """

    wql: dict[str, float]
    paths: list[SeriesPath]


def closer_look(
    forecasts: Forecasts, panel: PanelBlocks, scores: Scores, chosen: Sequence[str]
) -> CloserLook:
    """Score the members' own quantiles, and take the paths of some series.

    Args:
        forecasts: Of all series.
        panel: Gives their actuals.
        scores: Of them.
        chosen: Series whose paths are shown.
    """
    subject = scores.subject
    levels = subject.levels
    offsets = member_offsets(scores.member_scores, levels, panel.spec.horizon)
    widest = next(iter(intervals(levels).values()), ())
    drawn = [ENSEMBLE, *map(quantile_column, widest)]
    columns = ["unique_id", "cutoff", "ds", "split", "y", "observed", *offsets, *drawn]
    paths, wql = [], []
    for block in forecasts.blocks(columns):
        test = subject.prepared(block[block["split"] == "test"])
        paths.append(test[test["unique_id"].isin(chosen)].astype({"unique_id": object, "split": object}))
        losses = RowLosses.of(test[scorable(test, subject.series)], subject.series)
        wql.append(wql_of_members(losses, offsets, levels))
    means = pd.concat(wql, ignore_index=True).mean().dropna()
    return CloserLook(
        {str(model): float(value) for model, value in means.items()},
        series_paths(pd.concat(paths), panel.only(chosen), levels, chosen),
    )
