"""How good one fit is on the test split, beside the strongest seasonal naive of the same rows."""

from dataclasses import dataclass

import pandas as pd

from kubecast.data.levels import LevelChanges
from kubecast.data.origins import join_forecasts
from kubecast.data.panel import KEYS, Cutoffs, Panel
from kubecast.ensemble.naive import naive_candidates, naive_yardsticks, with_naive
from kubecast.scoring.metrics import series_metrics
from kubecast.scoring.significance import finite


@dataclass(frozen=True)
class FitScore:
    """The error of a fit on the test split.

    Attributes:
        mase: Mean over the series.
        naive: The strongest seasonal naive of the same rows; None where there is none.
        naive_mase: Its error.
        by_series: MASE of the fit and of that naive, indexed by series.
    """

    mase: float
    naive: str | None
    naive_mase: float | None
    by_series: pd.DataFrame

    @property
    def skill(self) -> float | None:
        """1 - MASE / MASE of the naive; None where there is none, or its error is 0."""
        return 1 - self.mase / self.naive_mase if self.naive_mase else None


def fit_score(forecasts: pd.DataFrame, panel: Panel, changes: LevelChanges, name: str) -> FitScore | None:
    """Score one model's forecasts of the test split.

    Args:
        forecasts: ``unique_id``, ``cutoff``, ``ds``, ``split`` and the model.
        panel: Gives the targets.
        changes: Of level, seen from the origins of the forecasts.
        name: Column of the model.

    Returns:
        None where no target counts.
    """
    test = forecasts.loc[forecasts["split"] == "test", [*KEYS, "split", name]]
    origins = Cutoffs.from_frame(test)
    if not len(origins):
        return None
    naives = [*naive_candidates(panel.spec), *naive_yardsticks(panel)]
    table = join_forecasts(panel.targets(origins), test)
    table = with_naive(table, panel, changes.only(origins), naives)
    naive = [each.name for each in naives]
    errors = series_metrics(table, panel.series, [name, *naive])["mase"].droplevel("split")
    means = {str(model): finite(value) for model, value in errors.mean().items()}
    known = {each: value for each in naive if (value := means.get(each)) is not None}
    own, strongest = means.get(name), min(known, key=known.__getitem__, default=None)
    if own is None:
        return None
    columns = [name, *([strongest] if strongest else [])]
    return FitScore(own, strongest, means.get(strongest or ""), errors[columns].dropna(subset=name))
