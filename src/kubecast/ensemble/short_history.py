"""Widths of a history too short to calibrate them: from the seasonal naive's errors before the test split."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.data.levels import ScaleLevels, at_former_level, level_shifts
from kubecast.data.origins import before_test, join_forecasts
from kubecast.data.panel import Cutoffs, Panel, PanelSpec
from kubecast.errors import ModelError
from kubecast.models.seasonal_naive import SeasonalNaive
from kubecast.scoring.conformal import ConformalQuantiles, conformal_scores, needed_scores
from kubecast.scoring.metrics import scorable
from kubecast.scoring.score_counts import ScoreCounts, ScoreTally

ORIGINS = 20_000  # of all series, about
NAIVE = "seasonal_naive"
HORIZONS = 8  # of rows, below which a full split's validation is little more than one error of each series
WINSOR = 3.0  # robust deviations, beyond which a change counts as one of that size


class Substitute(NamedTuple):
    """Quantiles in the place of those of validation errors.

    Attributes:
        validation: Of rows before the validation split: for its own forecasts.
        published: Of rows before the test split: for its forecasts, and later ones.
    """

    validation: ConformalQuantiles
    published: ConformalQuantiles


def substitute_quantiles(
    spec: PanelSpec, blocks: Iterable[Panel], levels: Sequence[float]
) -> Substitute | None:
    """The substitute for quantiles of validation errors; None where those of the panel are enough.

    From few series the seasonal naive's own forecast variance, else the pooled scores of its errors: nothing
    of either is fitted, so they are those of true forecasts, and a model's own would flatter it.

    Args:
        spec: Any but a full split may lack them, and a full one of few series below ``HORIZONS`` horizons.
        blocks: The panel, or its blocks of series; they are read several times.
        levels: Ascending.
    """
    splits = spec.splits
    if splits.is_full and not 0 < splits.length < HORIZONS * spec.horizon:
        return None
    few = sum(map(_count_scored, blocks)) < needed_scores(levels)
    if splits.is_full and not few:
        return None
    if few:
        published = naive_quantiles(spec, blocks, levels)
        if not splits.is_validated:
            return Substitute(published, published)
        return Substitute(naive_quantiles(spec, blocks, levels, "train_end"), published)
    most = _origins_of_each(blocks)
    scores = ScoreTally()
    for block in blocks:
        scores.add(ScoreCounts.of_table(training_scores(block, most)))
    quantiles = ConformalQuantiles.fit(scores.total(), levels, spec.horizon)
    return Substitute(quantiles, quantiles)


def _count_scored(panel: Panel) -> int:
    """Series with errors to learn from: of the validation split, or where there is none of training rows."""
    if not panel.spec.splits.is_validated:
        return int(_training_origins(panel, 1).frame["unique_id"].nunique())
    targets = panel.targets(panel.split("validation"))
    counts = scorable(targets, panel.series) & before_test(panel, targets)
    return int(targets.loc[counts, "unique_id"].nunique())


def naive_quantiles(
    spec: PanelSpec, blocks: Iterable[Panel], levels: Sequence[float], until: str = "validation_end"
) -> ConformalQuantiles:
    """Quantiles by the seasonal naive's forecast variance: that of one season's change for each season ahead.

    In units of each series' scale; by Student's t, as the changes are few. A level shift is taken out.

    Args:
        spec: Of the panel.
        blocks: The panel, or its blocks of series.
        levels: Ascending.
        until: The column of ``panel.series`` with the last row that is looked at. By ``train_end`` only of
            series with a validation split, as the others are fitted beyond its begin.

    Raises:
        ModelError: No two rows are a season apart.

    Source: Hyndman & Athanasopoulos (2021), "Forecasting: principles and practice", 5.5.
    """
    from scipy import special

    season, horizon = spec.season_lengths[0], spec.horizon
    changes = np.concatenate([_seasonal_changes(block, _ends(block, until)) for block in blocks])
    if not len(changes):
        raise ModelError(f"no change over {season} steps to make quantiles from; allowed: longer series")
    seasons_ahead = -(-np.arange(1, horizon + 1) // season)
    deviations = np.sqrt(_robust_mean_square(changes) * seasons_ahead)
    offsets = deviations[:, None] * special.stdtrit(len(changes), levels)
    return ConformalQuantiles(levels=list(levels), offsets=offsets.tolist(), counts=[len(changes)] * horizon)


def _ends(panel: Panel, until: str) -> Cutoffs:
    series = panel.series.dropna(subset="validation_end")
    if until == "train_end":
        series = series[series["train_end"] < series["validation_end"]]
    return Cutoffs.from_frame(series, until)


def _seasonal_changes(panel: Panel, until: Cutoffs) -> NDArray[np.float64]:
    """Changes over one season, at one level, in units of each series' scale at that level."""
    shifts = level_shifts(panel, until)
    rows = at_former_level(panel, shifts).history(until)
    scales = panel.series.set_index("unique_id")["scale"].astype(np.float64)
    ratios = pd.Series(dict(ScaleLevels.of(panel, shifts).ratios), dtype=np.float64)
    scales = scales / ratios.reindex(scales.index).fillna(1.0)
    values = (rows["y"] / rows["unique_id"].map(scales).astype(np.float64)).where(rows["observed"])
    changes = values.groupby(rows["unique_id"], observed=True).diff(panel.spec.season_lengths[0])
    return np.asarray(changes.dropna(), dtype=np.float64)


def _robust_mean_square(changes: NDArray[np.float64]) -> float:
    """The mean square of changes about 0, of which those beyond ``WINSOR`` deviations count as that.

    One bad reading is two changes, and would set all widths. The deviation is the median size of the changes
    over a normal's; where most are 0 it says nothing, and all count as they are.

    Source: Huber (1964), "Robust estimation of a location parameter", for the bound on what one value adds.
    """
    sizes = np.abs(changes)
    deviation = float(np.median(sizes)) / 0.6745
    return float(np.mean(np.minimum(sizes, WINSOR * deviation if deviation > 0 else np.inf) ** 2))


def training_scores(panel: Panel, most: int) -> pd.DataFrame:
    """Scores of the seasonal naive on training rows, with both signs.

    With both signs, as a trend that the naive misses is no reason to move the models' forecasts.

    Args:
        panel: Any.
        most: Origins of each series.

    Returns:
        ``lead_time``, ``score``, as of ``conformal_scores``.
    """
    naive = SeasonalNaive(panel.spec.season_lengths[0], NAIVE)
    origins = _training_origins(panel, most)
    table = join_forecasts(panel.targets(origins), naive.forecast(panel, origins))
    ends = table["unique_id"].map(panel.series.set_index("unique_id")["train_end"])
    scores = conformal_scores(table, panel.series, NAIVE)
    scores = scores.loc[table.loc[scores.index, "ds"] <= ends[scores.index]]
    both: pd.DataFrame = pd.concat([scores, scores.assign(score=-scores["score"])], ignore_index=True)
    return both


def _origins_of_each(blocks: Iterable[Panel]) -> int:
    """The origins that each series has, of about ``ORIGINS`` of all."""
    series = horizon = 0
    for block in blocks:
        series, horizon = series + len(block.train_end), block.spec.horizon
    return max(ORIGINS // max(series, 1), horizon)


def _training_origins(panel: Panel, most: int) -> Cutoffs:
    """Evenly spread training rows of each series, after its first season and before its last row."""
    ends = panel.row_index(panel.train_end)
    starts = panel.indptr[panel.series_codes[ends]] + panel.spec.season_lengths[0] - 1
    rows = [
        np.unique(np.linspace(start, end - 1, most).astype(np.int64))
        for start, end in zip(starts, ends, strict=True)
        if start < end
    ]
    return Cutoffs.from_frame(panel.frame.iloc[np.concatenate([[], *rows]).astype(np.int64)], "ds")
