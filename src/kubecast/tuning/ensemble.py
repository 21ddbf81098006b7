"""The objective of the ensemble: its cross-fitted error over the folds that its members forecast."""

import logging
import math
from collections.abc import Mapping

import pandas as pd

from kubecast.config.base import Settings
from kubecast.config.model import ModelSettings
from kubecast.data.levels import forecast_at_present_level
from kubecast.data.origins import join_forecasts
from kubecast.data.panel import Panel
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.ensemble.naive import naive_candidates, with_naive
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.ensemble.stacking import stack
from kubecast.errors import ModelError
from kubecast.models import make_trainer
from kubecast.models.base import FitPlan, deadline_after
from kubecast.models.blocks import fitted_panel, fitted_series
from kubecast.scoring.forecasts import Forecasts
from kubecast.tuning.objective import ModelObjective, Objective, Report, training_folds

_LOG = logging.getLogger(__name__)


class EnsembleObjective:
    """Stacks the members' forecasts of folds of the training split.

    Members are fitted once for each seed and fold, before the first trial; a trial then takes no time.
    """

    steps = 1
    trained = 0

    def __init__(self, panel: Panel, members: Mapping[str, ModelSettings], folds: int) -> None:
        """Cut the folds: at least two, since weights for one come from the others."""
        self._panel, self._members = panel, members
        self._folds = training_folds(panel, max(folds, 2))
        if len(self._folds) < 2:
            raise ModelError(
                "tuning ensemble: the training split holds one fold; allowed: more data, or no tuning"
            )
        self._tables: dict[int, tuple[pd.DataFrame, dict[str, str]]] = {}

    def error(self, settings: EnsembleSettings, seed: int, report: Report) -> float:
        """Mean absolute scaled error of the stack, each fold combined with weights from the others."""
        if seed not in self._tables:
            self._tables[seed] = self._forecasts(seed)
        table, missing = self._tables[seed]
        kinds = {kind: kind for kind in self._members if kind not in missing}
        kinds |= {member.name: "seasonal_naive" for member in naive_candidates(self._panel.spec)}
        season = self._panel.spec.season_lengths[0]
        recipe, _ = stack(Forecasts.of_table(table), self._panel.series, settings, kinds, missing, season)
        assert recipe.loss is not None  # noqa: S101  folds are validation rows
        report(1, recipe.loss)
        return recipe.loss

    def _forecasts(self, seed: int) -> tuple[pd.DataFrame, dict[str, str]]:
        """Every member's forecasts beside the targets, and why a member has none."""
        missing: dict[str, str] = {}
        folds = [self._forecast_fold(number, seed, missing) for number in range(len(self._folds))]
        table = pd.concat(folds, ignore_index=True)
        return table.drop(columns=list(missing), errors="ignore"), missing

    def _forecast_fold(self, number: int, seed: int, missing: dict[str, str]) -> pd.DataFrame:
        fold = self._folds[number]
        table = self._panel.targets(fold.origins).assign(split="validation", fold=number)
        table = with_naive(table, self._panel, fold.changes, naive_candidates(self._panel.spec))
        for kind, settings in self._members.items():
            try:
                trainer = make_trainer(kind, settings)
                plan = FitPlan(seed=seed, deadline=deadline_after(settings.time_limit))
                forecaster, _ = trainer.fit(self._panel, fold.until, plan)
                forecasts = forecast_at_present_level(self._panel, fold.changes, forecaster.forecast)
                table = join_forecasts(table, forecasts)
            except ModelError as error:
                missing[kind] = str(error)
            _LOG.info("%s: fold %d of %d", kind, number + 1, len(self._folds), extra={"model": kind})
        return table


def make_objective(
    panel: PanelBlocks,
    kind: str,
    base: Settings,
    members: Mapping[str, ModelSettings],
    folds: int,
    limit: float = math.inf,
) -> Objective:
    """The objective of a model or, from its ``members`` by kind, of the ensemble.

    Args:
        panel: Read once for all trials, which are fitted to the same series as the model: of an ensemble to
            those of the member that is fitted to the fewest.
        kind: Of the model, or ``ensemble``.
        base: Its settings.
        members: Of the ensemble.
        folds: Blocks.
        limit: Seconds of one trial; see ``ModelObjective``.
    """
    fitted = [base] if isinstance(base, ModelSettings) else [*members.values()]
    sampled = [settings.sample_rows for settings in fitted if settings.sample_rows is not None]
    searched = fitted_panel(panel, fitted_series(panel.series, min(sampled, default=None)))
    if isinstance(base, ModelSettings):
        return ModelObjective.from_panel(searched, kind, base, folds, limit)
    return EnsembleObjective(searched, members, folds)
