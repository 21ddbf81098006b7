"""CatBoost: a global model of all series, of one-step forecasts on the features of ``features``.

Several may be averaged, each with differences and a seed of its own.

A fit takes seconds to minutes, so one that was interrupted starts again: ``FitPlan.checkpoint`` is not used.
"""

import logging
import time
from dataclasses import dataclass

import numpy as np

from kubecast.data.panel import Cutoffs, Panel
from kubecast.errors import ModelError
from kubecast.models.base import FitLog, FitPlan
from kubecast.models.catboost.differencing import candidate_differences
from kubecast.models.catboost.features import FeatureSpec, usable
from kubecast.models.catboost.fitting import (
    FittedMember,
    FixedFit,
    Recipe,
    fit_member,
    read_fixed_fit,
    recipe_of,
)
from kubecast.models.catboost.forecaster import CatBoostForecaster
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.models.catboost.weighting import leave_time_to_weigh, share_weights, weigh

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class CatBoostTrainer:
    """Fits CatBoost on every series at once.

    Attributes:
        settings: ``catboost.yaml``.
        name: Of the forecaster.
    """

    settings: CatBoostSettings
    name: str

    def fit(self, panel: Panel, until: Cutoffs, plan: FitPlan) -> tuple[CatBoostForecaster, FitLog]:
        """See ``Trainer.fit``.

        The last max(horizon, 10 %) steps of each series before ``until``, of few rows kept at most half, stop
        the fit early. Several models are weighed by their forecasts of these steps, and by those of 200 trees
        fitted to the first 70 % of the rows. ``FitLog.fixed_fit`` has each one's number of trees, differences
        and weight; ``FitLog.curves`` are those of the heaviest.

        Raises:
            ModelError: No series has enough rows, or CatBoost fails.
        """
        started = time.monotonic()
        recipes = (
            self._recipes(panel, until) if plan.fixed_fit is None else read_fixed_fit(plan.fixed_fit).members
        )
        weighed = plan.fixed_fit is None and len(recipes) > 1
        fitted = self._fit_all(panel, until, leave_time_to_weigh(plan) if weighed else plan, recipes)
        late = fitted[-1].late
        if late and len(fitted) > 1:
            fitted = fitted[:-1]  # of a few trees
        if weighed and len(fitted) > 1:
            fitted = weigh(self.settings, fitted, panel, until, plan)
        fitted = share_weights(fitted)
        heaviest = max(fitted, key=lambda each: each.member.weight)
        members = [each.member for each in fitted]
        trees = int(heaviest.member.model.tree_count_)
        fixed_fit = FixedFit(members=[recipe_of(member) for member in members])
        is_repeated = plan.fixed_fit is not None and not late
        log = FitLog(
            stopped="time_limit" if late else self._stopped(plan, heaviest),
            fixed_fit=plan.fixed_fit if is_repeated else fixed_fit.model_dump(),
            curves=heaviest.curves,
            best=trees - 1,
            seconds=time.monotonic() - started,
            fallbacks=_fallbacks(panel, until, [member.spec for member in members]),
        )
        return CatBoostForecaster(members, self.name), log

    def _recipes(self, panel: Panel, until: Cutoffs) -> list[Recipe]:
        """A recipe of each model: its own differences; where there are fewer, other seeds of the first."""
        candidates = candidate_differences(panel, until, self.settings)
        count = self.settings.n_models
        return [
            Recipe(iterations=self.settings.iterations, differences=candidates[number % len(candidates)])
            for number in range(count)
        ]

    def _fit_all(
        self, panel: Panel, until: Cutoffs, plan: FitPlan, recipes: list[Recipe]
    ) -> list[FittedMember]:
        """Fit one model after the other; those that the rows or the deadline do not suffice for are left out.

        Raises:
            ModelError: None is left.
        """
        fitted: list[FittedMember] = []
        first_error: ModelError | None = None
        for number, recipe in enumerate(recipes):
            if fitted and fitted[-1].late:
                break
            try:
                fitted.append(fit_member(self.settings, panel, until, plan, recipe, number, len(recipes)))
            except ModelError as error:
                _LOG.warning("%s: no model of differences %s: %s", self.name, recipe.differences, error)
                first_error = first_error or error
        if first_error is not None and not fitted:
            raise first_error
        return fitted

    def _stopped(self, plan: FitPlan, heaviest: FittedMember) -> str:
        if plan.fixed_fit is not None:
            return "replayed"
        grown = len(heaviest.curves["train"])
        return "early_stopping" if grown < self.settings.iterations else "max_iterations"


def _fallbacks(panel: Panel, until: Cutoffs, specs: list[FeatureSpec]) -> dict[str, str]:
    """Reason by series, for each that no model can forecast."""
    use = np.any([usable(panel, until, spec) for spec in specs], axis=0)
    reason = f"constant, or fewer than {min(spec.needed for spec in specs)} rows: seasonal naive"
    return {str(name): reason for name in until.frame["unique_id"].to_numpy()[~use]}
