"""The fit of one CatBoost model, up to its deadline."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from catboost import CatBoostError, CatBoostRegressor
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kubecast.data.panel import Cutoffs, Panel
from kubecast.errors import ModelError, one_line
from kubecast.models.base import FitPlan
from kubecast.models.catboost.features import FeatureSpec, design, training_features
from kubecast.models.catboost.forecaster import Member
from kubecast.models.catboost.holdout import ends_and_lengths, in_tail
from kubecast.models.catboost.settings import CatBoostSettings

REPORT_EVERY = 10  # iterations
SAVING = 0.5  # seconds before the deadline that are left for saving
OD_PVAL = 0.001  # without one CatBoost's IncToDec detector is off


class Recipe(BaseModel):
    """A model's fit, to be repeated: its number of trees, its differences and its weight."""

    model_config = ConfigDict(extra="forbid", strict=True)

    iterations: int
    differences: list[int]
    weight: float = 1.0


class FixedFit(BaseModel):
    """The fits of all models, as in ``FitLog.fixed_fit``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    members: list[Recipe] = Field(min_length=1)


@dataclass(frozen=True)
class FittedMember:
    """A model and how its fit went.

    Attributes:
        member: The model.
        curves: As in ``FitLog``.
        late: Whether the deadline ended the fit.
    """

    member: Member
    curves: dict[str, list[float]]
    late: bool


def read_fixed_fit(fixed_fit: dict[str, Any]) -> FixedFit:
    """Read ``FitLog.fixed_fit``.

    Raises:
        ModelError: It is not that of a CatBoost fit.
    """
    try:
        return FixedFit.model_validate(fixed_fit)
    except ValidationError as error:
        raise ModelError(
            f"fixed_fit {fixed_fit} is not that of a CatBoost fit; allowed: members with iterations,"
            " differences and weight"
        ) from error


def recipe_of(member: Member) -> Recipe:
    """The recipe that repeats a member's fit."""
    return Recipe(
        iterations=int(member.model.tree_count_), differences=member.spec.differences, weight=member.weight
    )


@dataclass
class _Watch:
    """CatBoost's callback: ends the fit at the deadline, or when ``report`` raises."""

    deadline: float | None
    report: Callable[[int, float], None]
    metric: str
    late: bool = False
    raised: BaseException | None = None

    def after_iteration(self, info: Any) -> bool:
        """Return whether CatBoost is to go on."""
        self.late = self.deadline is not None and time.monotonic() >= self.deadline
        losses = info.metrics.get("validation", {}).get(self.metric) or []
        if losses and info.iteration % REPORT_EVERY == 0:
            try:
                self.report(info.iteration, float(losses[-1]))
            except BaseException as error:  # it would be lost in CatBoost's C++; raised again after the fit
                self.raised = error
        return not self.late and self.raised is None


def fit_member(
    settings: CatBoostSettings,
    panel: Panel,
    until: Cutoffs,
    plan: FitPlan,
    recipe: Recipe,
    number: int,
    count: int,
) -> FittedMember:
    """Fit one of several models.

    Args:
        settings: Of all of them.
        panel: Holds the rows.
        until: The last row of each series that may be seen.
        plan: Of the fit; with a fixed fit no tail is held out.
        recipe: Of this model.
        number: Of this model, from 0; a seed of its own follows from it.
        count: How many models there are: progress is reported over all.

    Raises:
        ModelError: There are too few rows, or CatBoost fails.
    """
    spec = design(panel, until, settings, recipe.differences)
    features, target, rows = training_features(panel, until, spec, settings.max_rows)
    has_tail = plan.fixed_fit is None
    held_out = in_tail(panel, until, rows, spec, settings.max_rows) & has_tail
    if held_out.all():
        raise ModelError(_too_short(panel, until, spec, has_tail))
    done = number * settings.iterations  # progress is over all models
    watch = _Watch(
        stop_at(plan),
        lambda step, loss: plan.on_step((done + step) // count, loss),
        settings.eval_metric,
    )
    seed = plan.seed + number
    model = CatBoostRegressor(**_parameters(settings), iterations=recipe.iterations, random_seed=seed)
    evaluation = (features[held_out], target[held_out]) if held_out.any() else None
    try:
        model.fit(
            features[~held_out],
            target[~held_out],
            eval_set=evaluation,
            cat_features=spec.categories,
            callbacks=[watch],
        )
    except CatBoostError as error:
        raise ModelError(f"catboost: {one_line(error)}") from error
    if watch.raised is not None:
        raise watch.raised
    return FittedMember(Member(model, spec, recipe.weight), _curves(model, settings), watch.late)


def _parameters(settings: CatBoostSettings) -> dict[str, Any]:
    parameters = settings.model_dump(include=_PASSED)
    if settings.bootstrap_type == "Bayesian":
        parameters["bagging_temperature"] = settings.bagging_temperature
    if settings.od_type == "IncToDec":
        parameters["od_pval"] = OD_PVAL
    return {**parameters, "verbose": False, "allow_writing_files": False, "thread_count": -1}


_PASSED = {
    "learning_rate",
    "depth",
    "l2_leaf_reg",
    "bootstrap_type",
    "od_type",
    "od_wait",
    "loss_function",
    "eval_metric",
}


def _too_short(panel: Panel, until: Cutoffs, spec: FeatureSpec, has_tail: bool) -> str:
    _, length = ends_and_lengths(panel, until)
    longest = int(length.max()) if len(length) else 0
    needed = spec.needed + 1 + (panel.spec.horizon if has_tail else 0)
    return (
        f"catboost: no series can be fitted, the longest has {longest} training rows; allowed: at least"
        f" {needed} rows that are not constant"
    )


def _curves(model: CatBoostRegressor, settings: CatBoostSettings) -> dict[str, list[float]]:
    losses = model.get_evals_result()
    # The metric of both, so that their gap means something, and not the loss that was minimised.
    curves = {"train": losses["learn"][settings.eval_metric]}
    if "validation" in losses:
        curves["validation"] = losses["validation"][settings.eval_metric]
    if not all(np.isfinite(values).all() for values in curves.values()):
        raise ModelError("catboost: the loss is not finite; allowed: targets of a smaller range")
    return curves


def stop_at(plan: FitPlan) -> float | None:
    """When the last tree must be grown, as ``time.monotonic()``; None without a deadline."""
    return None if plan.deadline is None else plan.deadline - SAVING


def time_left(plan: FitPlan) -> float:
    """Seconds until no further tree may be grown."""
    stop = stop_at(plan)
    return float("inf") if stop is None else stop - time.monotonic()
