"""The stack: members weighted on rolling origins, and quantiles around their combination.

Weights are scored cross-fitted: the forecasts of one fold of origins are combined with weights from the
others, less the origins whose targets overlap it. So is the choice of a single member, and a stack that is
worse than that by more than chance gives over the folds, or by a tenth, is not used.

Of a short history, where the split is not the full one, no target of the test split enters the published
widths either, and where there is no validation split all weigh the same.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from kubecast.data.panel import KEYS
from kubecast.data.series_sample import sample_series
from kubecast.ensemble.cross_fitting import (
    SHRUNK,
    Fitted,
    Fold,
    FoldFit,
    FoldSpans,
    cross_loss,
    fit_folds,
    fold_losses,
    scored_folds,
)
from kubecast.ensemble.recipe import Method, StackRecipe, Weights
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.ensemble.short_history import Substitute
from kubecast.ensemble.stacked import Combination, Stacked, Widths
from kubecast.ensemble.weights import Floats, ScaledForecasts
from kubecast.errors import ModelError
from kubecast.scoring.forecasts import Forecasts
from kubecast.scoring.metrics import scorable

SHRINKAGES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of fitted weights towards equal ones of the better half
MOST_ROWS = 2_000_000  # of the validation split that weights are fitted to
LARGEST_MARGIN = 0.1  # of a member's loss: two or three folds would excuse nearly any stack
SEASONAL_NAIVE = "seasonal_naive"
UNVALIDATED = "the history is too short for a validation split: all members weigh the same"
UNCALIBRATED = (
    "the intervals are not calibrated: so short a history has too few validation errors of different series"
    " or times, so they are as wide as the seasonal naive's own"
)


def stack(
    forecasts: Forecasts,
    series: pd.DataFrame,
    settings: EnsembleSettings,
    members: Mapping[str, str],
    missing: Mapping[str, str],
    season_length: int,
    substitute: Substitute | None = None,
) -> tuple[StackRecipe, Stacked]:
    """Weigh the members, choose between the stack and its best member, and fit the quantiles.

    The quantiles of a validation fold come from the other folds' errors, those of the test split from all of
    the validation split's. The published ones, in the recipe, use the errors of both splits. Where these are
    too few they are those of ``substitute``.

    Args:
        forecasts: A column for each member; splits ``validation`` and ``test``. They are read four times.
        series: ``unique_id``, ``scale``.
        settings: Of the ensemble.
        members: Kind by member.
        missing: Reason by configured member that failed.
        season_length: MASE's m.
        substitute: Quantiles of a short history, whose validation errors are missing or too few; None: they
            are enough.

    Returns:
        The recipe, and the forecasts with ``ensemble``, to which quantile columns are added as they are read.

    Raises:
        ModelError: Fewer trained members than ``min_models``, or no target of the validation split is scored.
    """
    _require_members(members, missing, settings.min_models)
    validation = _Validation.of(forecasts, series)
    choice = _weigh(forecasts, validation, series, settings, list(members), substitute)
    combination = Combination(choice.weights, choice.held_weights)
    combined = map(combination.apply, forecasts.blocks())
    widths = Widths.fit(combined, series, validation.spans, settings.quantiles, substitute)
    scale = series.set_index("unique_id")["scale"].astype(np.float64)
    scales = {str(name): float(value) if value > 0 else None for name, value in scale.items()}
    recipe = StackRecipe(
        method=choice.method,
        shrinkage=choice.shrinkage,
        weights=choice.weights,
        members=dict(members),
        missing=dict(missing),
        quantiles=widths.published,
        evaluated_quantiles=widths.evaluated,
        scales=scales,
        season_length=season_length,
        calibrated=widths.calibrated,
        best_member=choice.best_member,
        loss=choice.loss,
        loss_best_member=choice.single_member_loss,
        member_losses=choice.member_losses,
        loss_without=choice.losses_without,
        fold_weights=choice.fold_weights,
        notes=[*choice.notes, *([] if widths.calibrated else [UNCALIBRATED])],
    )
    return recipe, Stacked(forecasts, combination, widths, scales)


@dataclass(frozen=True)
class _Validation:
    """The validation split in outline.

    Attributes:
        spans: Of its folds.
        scored: Scored rows of each series that has some, indexed by its name.
    """

    spans: FoldSpans
    scored: "pd.Series[int]"

    @classmethod
    def of(cls, forecasts: Forecasts, series: pd.DataFrame) -> Self:
        spans, scored = [], []
        for block in forecasts.blocks([*KEYS, "split", "fold", "y", "observed"]):
            rows = block[block["split"] == "validation"]
            spans.append(FoldSpans.of(rows))
            names = rows.loc[scorable(rows, series), "unique_id"].astype(object)
            scored.append(names.groupby(names).size())
        return cls(FoldSpans.joined(spans), pd.concat(scored))

    def rows(self, forecasts: Forecasts, names: list[str], some: "pd.Series[int]") -> pd.DataFrame:
        """Its rows of these members and series, or of all series where these are all that are scored."""
        blocks = []
        for block in forecasts.blocks([*KEYS, "split", "fold", "y", "observed", *names]):
            is_chosen = (block["split"] == "validation").to_numpy()
            if len(some) < len(self.scored):
                is_chosen = is_chosen & block["unique_id"].isin(some.index).to_numpy()
            blocks.append(block[is_chosen].astype({"unique_id": object}).drop(columns="split"))
        return pd.concat(blocks, ignore_index=True)


def _weigh(
    forecasts: Forecasts,
    validation: _Validation,
    series: pd.DataFrame,
    settings: EnsembleSettings,
    names: list[str],
    substitute: Substitute | None,
) -> "_Choice":
    """The choice on the validation split, or on a sample of the series where that is large.

    Args:
        forecasts: Of both splits.
        validation: Their validation split.
        series: Scales.
        settings: Of the ensemble.
        names: Of the members.
        substitute: None where no choice without a scored target is allowed.
    """
    scored = validation.scored
    if substitute is not None and scored.empty:
        return _equal(validation.spans.numbers, names)
    chosen = sample_series(scored, MOST_ROWS)
    rows = validation.rows(forecasts, names, chosen)
    with threadpool_limits(1):  # threads would spin over small products
        choice = _choose(rows, validation.spans.folds(rows), series, names, settings)
    if len(chosen) == len(scored):
        return choice
    note = (
        f"the weights are fitted to {len(chosen):,} of {len(scored):,} series, chosen by the hash of their"
        " names"
    )
    return replace(choice, notes=[*choice.notes, note])


def _require_members(members: Mapping[str, str], missing: Mapping[str, str], least: int) -> None:
    trained = [name for name, kind in members.items() if kind != SEASONAL_NAIVE]
    if len(trained) < least:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in missing.items()) or "none failed"
        raise ModelError(
            f"{len(trained)} trained models for the ensemble ({', '.join(trained) or 'none'}),"
            f" missing: {reasons}; allowed: at least ensemble.min_models = {least}"
        )


@dataclass(frozen=True)
class _Choice:
    """The stack or its best member, and the errors that decide; see ``StackRecipe``.

    Attributes:
        held_weights: Those that each fold is combined with.
    """

    method: Method
    shrinkage: float
    weights: Weights
    held_weights: dict[int, Weights]
    best_member: str | None
    loss: float | None
    single_member_loss: float | None
    member_losses: dict[str, float]
    losses_without: dict[str, float]
    fold_weights: dict[int, Weights]
    notes: list[str]


def _equal(folds: Iterable[int], names: list[str]) -> _Choice:
    """The choice where no validation target is scored: none."""
    weights = dict.fromkeys(names, 1 / len(names))
    held = {number: weights for number in folds}
    return _Choice("equal", 0.0, weights, held, None, None, None, {}, {}, {}, [UNVALIDATED])


def _choose(
    validation: pd.DataFrame,
    folds: Mapping[int, Fold],
    series: pd.DataFrame,
    names: list[str],
    settings: EnsembleSettings,
) -> _Choice:
    data = ScaledForecasts.from_table(validation, series, names)
    _require_scored(data)
    member_losses = {name: data.loss(data.forecasts[:, column]) for column, name in enumerate(names)}
    best_member = min(member_losses, key=member_losses.__getitem__)
    scored = scored_folds(folds, validation, series)
    held_out = _held_out(scored)
    method: Method = settings.method if held_out else "equal"
    fits = fit_folds(data, scored, method, settings.greedy_rounds)
    telling = held_out or scored
    shrinkage = _choose_shrinkage(data, telling, fits, method)
    fold_weights = {number: fit.fitted.shrunk(shrinkage) for number, fit in fits.items()}
    fitted_weights = {number: each for number, each in fold_weights.items() if fits[number].has_rows}
    loss, single, margin = cross_loss(data, telling, fold_weights), member_losses[best_member], np.inf
    if held_out:
        single, margin = _single_member_loss(data, telling, fits, fold_weights)
    choice = _Choice(
        method=method,
        shrinkage=shrinkage,
        weights=Fitted.of(data, method, settings.greedy_rounds).shrunk(shrinkage),
        held_weights=fold_weights,
        best_member=best_member,
        loss=loss,
        single_member_loss=single,
        member_losses=member_losses,
        losses_without=_losses_without(data, telling, fits, shrinkage),
        fold_weights=fitted_weights,
        notes=_notes_on_folds(folds, fitted_weights),
    )
    if loss - margin >= single:
        return _alone(choice, best_member, _why_single_member(best_member, loss, single, margin))
    return choice


def _require_scored(data: ScaledForecasts) -> None:
    if not len(data.y):
        raise ModelError(
            "no target of the validation split is scored; allowed: observed targets and series that vary"
        )


def _held_out(folds: Mapping[int, Fold]) -> dict[int, Fold]:
    """The folds with rows, and with rows of others to fit to; no other says anything of weights."""
    return {number: fold for number, fold in folds.items() if fold.others.any() and fold.held.any()}


def _alone(stacked: _Choice, member: str, why: str) -> _Choice:
    """The choice of one member in place of the stack."""
    return replace(
        stacked,
        method="best_member",
        shrinkage=0.0,
        weights={name: float(name == member) for name in stacked.weights},
        held_weights={number: {member: 1.0} for number in stacked.held_weights},
        notes=[*stacked.notes, why],
    )


def _single_member_loss(
    data: ScaledForecasts,
    folds: Mapping[int, Fold],
    fits: Mapping[int, FoldFit],
    stack_weights: Mapping[int, Weights],
) -> tuple[float, float]:
    """The loss of the member that is best on the other folds, and how far above it a stack may be.

    The smallest loss of several on the same rows flatters: the choice is cross-fitted as the weights are. And
    folds are few: a member that is ahead by chance is not expected to stay ahead of its stack.
    """
    single = {number: fits[number].best for number in folds}
    loss = cross_loss(data, folds, single)
    differences = fold_losses(data, folds, stack_weights) - fold_losses(data, folds, single)
    return loss, min(_largest_by_chance(differences), LARGEST_MARGIN * loss)


def _why_single_member(best_member: str, loss: float, single: float, margin: float) -> str:
    if math.isclose(loss, single):
        return (
            f"on held-out folds the stack's MASE is its best member's, {single:.4g}:"
            f" {best_member} alone is used"
        )
    limit = "a tenth" if margin == LARGEST_MARGIN * single else "chance gives"
    return (
        f"the stack's MASE on held-out folds is {loss:.4g}, that of the best member of the other folds"
        f" {single:.4g}, which is better by more than {limit}, {margin:.2g}: {best_member} alone is used"
    )


def _choose_shrinkage(
    data: ScaledForecasts, folds: Mapping[int, Fold], fits: Mapping[int, FoldFit], method: str
) -> float:
    """The largest shrinkage that is not worse than the best on held-out folds by more than a standard error.

    Equal weights owe nothing to the folds that were seen, so that the next ones are as likely to like them.

    Source: the one-standard-error rule of Breiman et al. (1984), "Classification and regression trees".
    """
    if method not in SHRUNK:
        return 0.0
    losses = {}
    for shrinkage in SHRINKAGES:
        shrunk = {number: fits[number].fitted.shrunk(shrinkage) for number in folds}
        losses[shrinkage] = fold_losses(data, folds, shrunk)
    best = min(losses.values(), key=np.mean)
    return max(
        shrinkage
        for shrinkage, by_fold in losses.items()
        if np.mean(by_fold - best) <= _standard_error(by_fold - best)
    )


def _standard_error(differences: Floats) -> float:
    """The standard error of their mean; 0 of a single one."""
    return float(np.std(differences, ddof=1) / np.sqrt(len(differences))) if len(differences) > 1 else 0.0


def _largest_by_chance(differences: Floats) -> float:
    """The bound of 95 % of means of differences whose expectation is 0, by Student's t."""
    from scipy import special

    freedom = max(len(differences) - 1, 1)
    return float(special.stdtrit(freedom, 0.95)) * _standard_error(differences)


def _notes_on_folds(folds: Mapping[int, Fold], fold_weights: Mapping[int, Weights]) -> list[str]:
    lacking = [str(number) for number in folds if number not in fold_weights]
    if not lacking:
        return []
    if len(lacking) == len(folds):
        return ["no two validation folds have separate targets, so nothing is held out: weights are equal"]
    return [f"validation folds {', '.join(lacking)} overlap all others: equal weights there"]


def _losses_without(
    data: ScaledForecasts, folds: Mapping[int, Fold], fits: Mapping[int, FoldFit], shrinkage: float
) -> dict[str, float]:
    """Cross-fitted loss of a stack without each member; empty where there is one member."""
    left_out = next(iter(fits.values())).without
    return {
        name: cross_loss(
            data.without(name),
            folds,
            {number: fits[number].without[name].shrunk(shrinkage) for number in folds},
        )
        for name in left_out
    }
