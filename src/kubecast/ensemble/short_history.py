"""Widths of a history too short to calibrate them: from the seasonal naive's errors on the training rows."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from kubecast.data.panel import KEYS, Cutoffs, Panel
from kubecast.models.seasonal_naive import SeasonalNaive
from kubecast.scoring.conformal import conformal_scores

ORIGINS = 20_000  # of all series, about
NAIVE = "seasonal_naive"


@dataclass(frozen=True)
class ShortHistory:
    """The substitute for validation errors, where the split is a shorter one than the settings ask for.

    Attributes:
        horizon: In steps.
        scores: ``lead_time``, ``score``: of the seasonal naive, from origins in the training rows.
    """

    horizon: int
    scores: pd.DataFrame

    @classmethod
    def of(cls, panel: Panel) -> Self | None:
        """The substitute of a panel; None where its split is the full one."""
        return None if panel.spec.splits.is_full else cls(panel.spec.horizon, training_scores(panel))


def training_scores(panel: Panel) -> pd.DataFrame:
    """Scores of the seasonal naive on training rows, with both signs.

    Nothing of it is fitted, so its errors there are those of true forecasts; a model's own would flatter it.
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
