"""Pruning: when a trial of a search is ended before its time."""

import math

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from kubecast.config.training import OptimizationSettings


def make_pruner(limits: OptimizationSettings, steps: int) -> optuna.pruners.BasePruner:
    """The pruner of the settings.

    Args:
        limits: Name the pruner and the number of folds.
        steps: Reports that a trial makes at most.
    """
    if limits.pruner == "median":
        return MedianAtStep(warmup=steps // (10 * limits.folds))
    if limits.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=steps)
    return optuna.pruners.NopPruner()


class MedianAtStep(optuna.pruners.BasePruner):
    """Ends a trial whose report is worse than the median of the complete trials' at the same step.

    Reports are means over folds so far. Optuna's own median pruner takes a trial's best one, so where the
    first fold is the easiest it compares that with all that come after, and ends nothing more.

    Attributes:
        warmup: Steps before which none ends.
        startup: Complete trials that there must be.
    """

    def __init__(self, warmup: int, startup: int = 5) -> None:
        """Set the limits."""
        self.warmup, self.startup = warmup, startup

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial is to end."""
        step = trial.last_step
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if step is None or step < self.warmup or len(complete) < self.startup:
            return False
        others = [value for each in complete if not math.isnan(value := _report_at(each, step))]
        value = trial.intermediate_values[step]
        return math.isnan(value) or (bool(others) and value > float(np.median(others)))


def _report_at(trial: FrozenTrial, step: int) -> float:
    """The report of a trial at a step, else NaN; a fit that stopped before keeps its last report."""
    steps = [each for each in trial.intermediate_values if each <= step]
    return trial.intermediate_values[max(steps)] if steps else math.nan
