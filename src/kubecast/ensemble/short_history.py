"""Widths of a history too short to calibrate them: from the seasonal naive's errors before the test split."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from kubecast.data.panel import KEYS, Cutoffs, Panel
from kubecast.errors import ModelError
from kubecast.models.seasonal_naive import SeasonalNaive
from kubecast.scoring.conformal import ConformalQuantiles, conformal_scores, needed_scores

ORIGINS = 20_000  # of all series, about
NAIVE = "seasonal_naive"
HORIZONS = 8  # of rows, below which a full split's validation is little more than one error of each series


def substitute_quantiles(panel: Panel, levels: Sequence[float]) -> ConformalQuantiles | None:
    """The substitute for quantiles of validation errors; None where those of the panel are enough.

    From few series the seasonal naive's own forecast variance, else the pooled scores of its errors: nothing
    of either is fitted, so they are those of true forecasts, and a model's own would flatter it.

    Args:
        panel: Any but a full split may lack them, and a full one of few series below ``HORIZONS`` horizons.
        levels: Ascending.
    """
    splits, few = panel.spec.splits, len(panel.series) < needed_scores(levels)
    is_short = 0 < splits.length < HORIZONS * panel.spec.horizon
    if splits.is_full and not (few and is_short):
        return None
    if few:
        return naive_quantiles(panel, levels)
    return ConformalQuantiles.fit(training_scores(panel), levels, panel.spec.horizon)


def naive_quantiles(panel: Panel, levels: Sequence[float]) -> ConformalQuantiles:
    """Quantiles by the seasonal naive's forecast variance: that of one season's change for each season ahead.

    From the rows before the test split, in units of each series' scale; by Student's t, as they are few.

    Raises:
        ModelError: No two of them are a season apart.

    Source: Hyndman & Athanasopoulos (2021), "Forecasting: principles and practice", 5.5.
    """
    from scipy import special

    season, horizon = panel.spec.season_lengths[0], panel.spec.horizon
    until = Cutoffs.from_frame(panel.series.dropna(subset="validation_end"), "validation_end")
    rows = panel.history(until)
    scale = rows["unique_id"].map(panel.series.set_index("unique_id")["scale"]).astype(np.float64)
    values = (rows["y"] / scale).where(rows["observed"])
    changes = values.groupby(rows["unique_id"], observed=True).diff(season).dropna().to_numpy()
    if not len(changes):
        raise ModelError(f"no change over {season} steps to make quantiles from; allowed: longer series")
    seasons_ahead = -(-np.arange(1, horizon + 1) // season)
    deviations = np.sqrt(np.mean(changes**2) * seasons_ahead)
    offsets = deviations[:, None] * special.stdtrit(len(changes), levels)
    return ConformalQuantiles(levels=list(levels), offsets=offsets.tolist(), counts=[len(changes)] * horizon)


def training_scores(panel: Panel) -> pd.DataFrame:
    """Scores of the seasonal naive on training rows, with both signs.

    With both signs, as a trend that the naive misses is no reason to move the models' forecasts.

    Returns:
        ``lead_time``, ``score``, as of ``conformal_scores``.
    """
    naive = SeasonalNaive(panel.spec.season_lengths[0], NAIVE)
    origins = _training_origins(panel)
    table = panel.targets(origins).merge(naive.forecast(panel, origins), on=KEYS)
    ends = table["unique_id"].map(panel.series.set_index("unique_id")["train_end"])
    scores = conformal_scores(table, panel.series, NAIVE)
    scores = scores.loc[table.loc[scores.index, "ds"] <= ends[scores.index]]
    both: pd.DataFrame = pd.concat([scores, scores.assign(score=-scores["score"])], ignore_index=True)
    return both


def _training_origins(panel: Panel) -> Cutoffs:
    """Evenly spread training rows of each series, after its first season and before its last row."""
    ends = panel.row_index(panel.train_end)
    starts = panel.indptr[panel.series_codes[ends]] + panel.spec.season_lengths[0] - 1
    most = max(ORIGINS // max(len(ends), 1), panel.spec.horizon)
    rows = [
        np.unique(np.linspace(start, end - 1, most).astype(np.int64))
        for start, end in zip(starts, ends, strict=True)
        if start < end
    ]
    return Cutoffs.from_frame(panel.frame.iloc[np.concatenate([[], *rows]).astype(np.int64)], "ds")
