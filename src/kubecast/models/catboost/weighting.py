"""The weights of several models, from backtests of each."""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.data.panel import Cutoffs, Panel
from kubecast.errors import ModelError
from kubecast.models.averaging import inverse_error_weights
from kubecast.models.base import FitPlan
from kubecast.models.catboost.backtests import backtest_origins
from kubecast.models.catboost.features import FeatureSpec, row_scales
from kubecast.models.catboost.fitting import FittedMember, Recipe, fit_member, time_left
from kubecast.models.catboost.forecaster import Member
from kubecast.models.catboost.holdout import ends_and_lengths, tail_lengths
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.models.seasonal_naive import seasonal_naive

SHARPNESS = 12  # power of the inverse errors
WEIGHING_SHARE = 0.1  # of the time until the deadline that is kept for weighing
EARLY = 0.7  # share of the rows that small models are fitted to, to forecast the others
EARLY_TREES = 200  # of a small model


def leave_time_to_weigh(plan: FitPlan) -> FitPlan:
    """The plan, less the time that models are weighed in."""
    if plan.deadline is None:
        return plan
    return replace(plan, deadline=plan.deadline - WEIGHING_SHARE * max(time_left(plan), 0.0))


def weigh(
    settings: CatBoostSettings, fitted: list[FittedMember], panel: Panel, until: Cutoffs, plan: FitPlan
) -> list[FittedMember]:
    """Weigh models by the errors of their forecasts, and of those of small ones fitted to earlier rows.

    The tail alone is a few days of a single series: too little to see which differences suit it.
    """
    began = time.monotonic()
    origins = tail_origins(panel, until, fitted[0].member.spec, settings.max_rows)
    errors = [_relative(backtest_errors([each.member for each in fitted], panel, origins))]
    taken = time.monotonic() - began
    early = _first_share(panel, until, EARLY)
    small = _fit_small(settings, fitted, panel, early, plan)
    if small and time_left(plan) > taken:
        errors.append(_relative(backtest_errors(small, panel, _later_origins(panel, early, until))))
    means = pd.DataFrame(errors).mean()  # of those there are
    if means.isna().any():
        return fitted
    weights = inverse_error_weights(means.to_numpy(), SHARPNESS)
    return [
        replace(each, member=replace(each.member, weight=float(weight)))
        for each, weight in zip(fitted, weights, strict=True)
    ]


def _fit_small(
    settings: CatBoostSettings, fitted: list[FittedMember], panel: Panel, early: Cutoffs, plan: FitPlan
) -> list[Member]:
    """Fit a quick model of each one's differences to earlier rows; none where rows or time are short for one.

    A comparison of some alone would favour them.
    """
    quiet = FitPlan(seed=plan.seed, deadline=plan.deadline)
    trees = min(EARLY_TREES, settings.iterations)
    members: list[Member] = []
    for number, each in enumerate(fitted):
        if time_left(plan) <= 0:  # CatBoost looks at the clock only after its first tree
            return []
        recipe = Recipe(iterations=trees, differences=each.member.spec.differences)
        try:
            small = fit_member(settings, panel, early, quiet, recipe, number, len(fitted))
        except ModelError:
            return []
        if small.late:
            return []
        members.append(small.member)
    return members


def share_weights(fitted: list[FittedMember]) -> list[FittedMember]:
    """Leave out models without weight and scale the others to a sum of 1; all alike where none has weight."""
    total = sum(each.member.weight for each in fitted)
    some = [each for each in fitted if each.member.weight > 0] or fitted
    return [
        replace(
            each, member=replace(each.member, weight=each.member.weight / total if total else 1 / len(some))
        )
        for each in some
    ]


def backtest_errors(members: Sequence[Member], panel: Panel, origins: Cutoffs) -> NDArray[np.float64]:
    """Mean absolute scaled error of each model over the horizon; NaN where no target is observed."""
    rows = panel.row_index(origins)
    steps, y = np.arange(1, panel.spec.horizon + 1), panel.frame["y"].to_numpy(dtype=np.float64)
    scale = row_scales(panel, [panel.spec.season_lengths[0]])[rows][:, None]
    scale = np.where(scale > 0, scale, np.nan)
    naive = seasonal_naive(panel, origins, panel.spec.season_lengths[0])
    means = []
    for member in members:
        values = member.forecast(panel, origins)
        errors = np.abs(np.where(np.isfinite(values), values, naive) - y[rows[:, None] + steps]) / scale
        means.append(float("nan") if np.isnan(errors).all() else float(np.nanmean(errors)))
    return np.array(means)


def _relative(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Errors divided by the smallest of them."""
    smallest = np.nanmin(errors) if np.isfinite(errors).any() else np.nan
    return errors / smallest if smallest > 0 else errors


def _first_share(panel: Panel, until: Cutoffs, share: float) -> Cutoffs:
    """Cut-offs after the first share of each series' rows."""
    ends, length = ends_and_lengths(panel, until)
    kept = np.maximum((share * length).astype(np.int64), 1)
    return Cutoffs.from_frame(panel.frame.iloc[ends - length + kept], "ds")


def tail_origins(panel: Panel, until: Cutoffs, spec: FeatureSpec, max_rows: int) -> Cutoffs:
    """Origins of some series whose horizon lies in the tail."""
    ends, length = ends_and_lengths(panel, until)
    tail = tail_lengths(panel, length, spec, max_rows)
    return backtest_origins(panel, np.maximum(ends - tail, ends - length + 1), ends)


def _later_origins(panel: Panel, early: Cutoffs, until: Cutoffs) -> Cutoffs:
    """Origins of some series from one cut-off on, whose horizon ends by another."""
    return backtest_origins(panel, panel.row_index(early), panel.row_index(until))
