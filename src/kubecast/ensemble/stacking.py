"""The ensemble: members weighed on rolling origins, and quantiles around their combination.

Weights are judged cross-fitted: the forecasts of one block of origins are combined with weights from the
others, less the origins whose targets overlap it. So is the choice of a single member, and a stack that is
worse than that by more than chance gives over the blocks, or by a tenth, is not used.
"""

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from scipy import special

from kubecast.data.panel import KEYS, Cutoffs, Panel
from kubecast.data.splits import series_scales
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.errors import ConfigError, IntegrityError, ModelError
from kubecast.models import PER_SERIES, known_kinds, load_forecaster
from kubecast.models.base import Forecaster
from kubecast.names import check_name
from kubecast.scoring.conformal import ConformalQuantiles, conformal_scores
from kubecast.scoring.metrics import ENSEMBLE, lead_times, scorable

_LOG = logging.getLogger(__name__)

SHRINKAGES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of fitted weights towards equal ones of the better half
MOST_DOUBT = 0.1  # of a member's loss: two or three blocks would excuse nearly any stack
MAX_ROWS = 50_000  # of a fit of weights: drawn at random from more, since a dozen weights need no more
SEASONAL_NAIVE = "seasonal_naive"

Floats = NDArray[np.float64]
Weights = dict[str, float]
Method = Literal["greedy", "nnls", "ols", "equal", "best_member"]


class StackRecipe(BaseModel):
    """How members become an ensemble, with what it was judged on.

    Attributes:
        method: How the weights were fitted; ``best_member``: that one alone, as ``notes`` tell.
        shrinkage: Share of equal weights of the better half of the members in the weights.
        weights: By member; a member with weight 0 is not needed to forecast.
        members: Kind by member.
        missing: Reason by configured member that failed.
        quantiles: As published, from the errors of the validation and the test part.
        judged_quantiles: As judged on the test part, from the errors of the validation part alone.
        scales: By series; None for one that never varied, whose quantiles equal its point forecast.
        season_length: MASE's m, for the scales of series that were not there.
        best_member: The one with the smallest MASE on the validation part.
        loss: Cross-fitted MASE of the stack on the validation part, with the shrinkage that was chosen there.
        loss_best_member: The same of the member that is the best of the other blocks.
        loss_alone: The same of each member alone.
        loss_without: The same of a stack without that member; none for the only one.
        block_weights: By validation block, the stack's weights that its forecasts were combined with, also
            where ``best_member`` is used.
        notes: What had to be done differently, in sentences.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = 1
    method: Method
    shrinkage: float = 0.0
    weights: Weights
    members: dict[str, str]
    missing: dict[str, str] = {}
    quantiles: ConformalQuantiles
    judged_quantiles: ConformalQuantiles
    scales: dict[str, float | None]
    season_length: int
    best_member: str
    loss: float
    loss_best_member: float
    loss_alone: dict[str, float]
    loss_without: dict[str, float] = {}
    block_weights: dict[int, Weights] = {}
    notes: list[str] = []

    @model_validator(mode="after")
    def _members(self) -> Self:
        kinds = known_kinds()
        for name, kind in self.members.items():
            check_name(name, "member")
            if kind not in kinds:
                raise ValueError(f"member {name} is of kind {kind}; allowed: {', '.join(kinds)}")
        if unknown := set(self.weights) - set(self.members):
            raise ValueError(f"weights of {', '.join(sorted(unknown))}, which is no member")
        return self

    @property
    def active(self) -> list[str]:
        """Members that are needed to forecast."""
        return [name for name, weight in self.weights.items() if weight != 0]

    def as_judged(self) -> "StackRecipe":
        """The same with quantiles from the validation part alone, as the test part judged them."""
        return self.model_copy(update={"quantiles": self.judged_quantiles})


# --- weights ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scaled:
    """Scored rows in units of their series' scale.

    Attributes:
        members: Names of the columns.
        series: Each row's series as a number, shape (rows,).
        y: Shape (rows,).
        forecasts: Shape (rows, members).
    """

    members: list[str]
    series: NDArray[np.int64]
    y: Floats
    forecasts: Floats

    @classmethod
    def of(cls, rows: pd.DataFrame, series: pd.DataFrame, members: list[str]) -> "_Scaled":
        rows = rows[scorable(rows, series)]
        scale = rows["unique_id"].map(series.set_index("unique_id")["scale"]).to_numpy(dtype=np.float64)
        codes = pd.factorize(rows["unique_id"])[0].astype(np.int64)
        values = rows[members].to_numpy(dtype=np.float64) / scale[:, None]
        return cls(members, codes, rows["y"].to_numpy(dtype=np.float64) / scale, values)

    @property
    def share(self) -> Floats:
        """Each row's weight, such that every series weighs the same and all sum to 1; shape (rows,)."""
        _, at, sizes = np.unique(self.series, return_inverse=True, return_counts=True)
        return np.asarray(1 / sizes[at] / max(len(sizes), 1))

    def take(self, rows: NDArray[Any]) -> "_Scaled":
        return _Scaled(self.members, self.series[rows], self.y[rows], self.forecasts[rows])

    def without(self, member: str) -> "_Scaled":
        kept = [name != member for name in self.members]
        names = [name for name in self.members if name != member]
        return _Scaled(names, self.series, self.y, self.forecasts[:, kept])

    def loss(self, combined: Floats) -> float:
        """MASE: the mean over series of each one's mean absolute scaled error."""
        return float(self.share @ np.abs(self.y - combined))


def fit_weights(
    forecasts: pd.DataFrame,
    series: pd.DataFrame,
    members: list[str],
    method: str = "greedy",
    rounds: int = 50,
) -> Weights:
    """Fit the weights of a linear combination on scaled forecasts, each series weighing the same.

    Args:
        forecasts: With a column for each member.
        series: ``unique_id``, ``scale``.
        members: Columns of ``forecasts``.
        method: ``greedy``: forward selection with replacement on the mean absolute scaled error. ``nnls``:
            non-negative least squares, normalised. ``ols``: least squares without bounds or intercept, for
            one series; its weights need not sum to 1. ``equal``.
        rounds: Of greedy selection.

    Returns:
        By member, in their order; all but OLS's are at least 0 and sum to 1. Equal where no row is scored.

    Raises:
        ConfigError: OLS with more than one series.

    Source: greedy: Caruana et al. (2004), "Ensemble selection from libraries of models".
    """
    return _fit(_Scaled.of(forecasts, series, members), method, rounds)


def _fit(data: _Scaled, method: str, rounds: int = 0) -> Weights:
    solve = {
        "greedy": lambda: _greedy(_thinned(data), rounds),
        "nnls": lambda: _nnls(data),
        "ols": lambda: _ols(data),
        "best": lambda: _best(data, 1),
        "better_half": lambda: _best(data, max(2, -(-len(data.members) // 2))),
    }
    values = np.ones(len(data.members)) if method == "equal" or not len(data.y) else solve[method]()
    if not values.any():
        values = np.ones(len(data.members))
    # Those of least squares are as they come: they need not sum to 1.
    values = values if method == "ols" and len(data.y) else values / values.sum()
    return dict(zip(data.members, values.tolist(), strict=True))


def _thinned(data: _Scaled) -> _Scaled:
    if len(data.y) <= MAX_ROWS:
        return data
    return data.take(np.sort(np.random.default_rng(0).choice(len(data.y), MAX_ROWS, replace=False)))


def _greedy(data: _Scaled, rounds: int) -> Floats:
    errors, share = (data.y[:, None] - data.forecasts).T.copy(), data.share
    total, counts = np.zeros(len(share)), np.zeros(len(errors))
    best, smallest = counts, np.inf
    for size in range(1, rounds + 1):
        losses = [float(share @ np.abs(total + error)) / size for error in errors]
        chosen = int(np.argmin(losses))
        total = total + errors[chosen]
        counts[chosen] += 1
        if losses[chosen] < smallest * (1 - 1e-9):
            best, smallest = counts / size, losses[chosen]
    return best


def _best(data: _Scaled, count: int) -> Floats:
    """Equal weights of the best members, each judged alone."""
    losses = [data.loss(column) for column in data.forecasts.T]
    values = np.zeros(len(losses))
    values[np.argsort(losses, kind="stable")[:count]] = 1
    return values


def _nnls(data: _Scaled) -> Floats:
    from scipy.optimize import nnls

    root = np.sqrt(data.share)[:, None]
    # The triangle of a QR decomposition has the same least squares in a few rows.
    triangle = np.asarray(np.linalg.qr(np.column_stack([data.forecasts, data.y]) * root, mode="r"))
    return np.asarray(nnls(triangle[:, :-1], triangle[:, -1])[0])


def _ols(data: _Scaled) -> Floats:
    from sklearn.linear_model import LinearRegression

    if (series := len(np.unique(data.series))) > 1:
        raise ConfigError(
            f"ensemble.method ols with {series} series; allowed: one series, or greedy, nnls, equal"
        )
    # An intercept is in units of one level and would not carry over to another.
    model = LinearRegression(fit_intercept=False).fit(data.forecasts, data.y)
    return np.asarray(model.coef_, dtype=np.float64)


# --- cross-fitting ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Fold:
    """One block of origins, and the rows that may be fitted to when it is combined; both shape (rows,)."""

    held: NDArray[np.bool_]
    others: NDArray[np.bool_]


def folds(validation: pd.DataFrame) -> dict[int, _Fold]:
    """By block, its rows, and those of other blocks whose origin's targets do not overlap the block's.

    Each series goes by its own clock; one that has no origin in the block, by that of all series.
    """
    spans = validation.groupby(["unique_id", "cutoff"], sort=False)["ds"]
    first, last = spans.transform("min"), spans.transform("max")
    found = {}
    for block in sorted(validation["block"].unique().tolist()):
        held = validation["block"] == block
        own = validation[held].groupby("unique_id")["ds"].agg(["min", "max"])
        begin = validation["unique_id"].map(own["min"]).fillna(own["min"].min())
        end = validation["unique_id"].map(own["max"]).fillna(own["max"].max())
        apart = (last < begin) | (first > end)
        found[int(block)] = _Fold(held.to_numpy(), (~held & apart).to_numpy())
    return found


def cross_fit(
    validation: pd.DataFrame,
    series: pd.DataFrame,
    members: list[str],
    method: str,
    rounds: int,
    shrinkage: float = 0.0,
) -> tuple["pd.Series[Any]", dict[int, Weights]]:
    """Combine each block with weights that saw none of its targets.

    Returns:
        The combined forecasts, on the index of ``validation``, and the weights by block. A block with nothing
        left to fit to has equal weights and is not among the second.
    """
    blocks = folds(validation)
    kept = _scored(blocks, validation, series)
    weights = _cross_weights(_Scaled.of(validation, series, members), kept, method, rounds, shrinkage)
    combined = pd.Series(np.nan, index=validation.index, dtype=np.float64)
    for block, fold in blocks.items():
        combined[fold.held] = _combined(validation[fold.held], weights[block])
    return combined, {block: weights[block] for block, fold in kept.items() if fold.others.any()}


def _scored(blocks: Mapping[int, _Fold], validation: pd.DataFrame, series: pd.DataFrame) -> dict[int, _Fold]:
    """The same over the rows that are scored, which are those of ``_Scaled``."""
    rows = scorable(validation, series).to_numpy()
    return {block: _Fold(fold.held[rows], fold.others[rows]) for block, fold in blocks.items()}


def _cross_weights(
    data: _Scaled, blocks: Mapping[int, _Fold], method: str, rounds: int = 0, shrinkage: float = 0.0
) -> dict[int, Weights]:
    others = {block: data.take(fold.others) for block, fold in blocks.items()}
    return {block: _shrunk(rows, _fit(rows, method, rounds), shrinkage) for block, rows in others.items()}


def _shrunk(data: _Scaled, weights: Weights, shrinkage: float) -> Weights:
    """Move weights towards equal ones of the better half of the members."""
    if not shrinkage:
        return weights
    half = _fit(data, "better_half")
    return {name: (1 - shrinkage) * weight + shrinkage * half[name] for name, weight in weights.items()}


def _cross_loss(data: _Scaled, blocks: Mapping[int, _Fold], weights: Mapping[int, Weights]) -> float:
    """Loss over the rows of these blocks, each combined with its weights."""
    combined, held = np.zeros(len(data.y)), np.zeros(len(data.y), dtype=bool)
    for block, fold in blocks.items():
        combined[fold.held] = data.forecasts[fold.held] @ np.array(list(weights[block].values()))
        held |= fold.held
    return data.take(held).loss(combined[held])


def _block_losses(data: _Scaled, blocks: Mapping[int, _Fold], weights: Mapping[int, Weights]) -> Floats:
    """The loss of each block that has scored rows, in their order."""
    held = {block: fold for block, fold in blocks.items() if fold.held.any()}
    return np.array([_cross_loss(data, {block: fold}, weights) for block, fold in held.items()])


def _standard_error(differences: Floats) -> float:
    """Of their mean; 0 of a single one."""
    return float(np.std(differences, ddof=1) / np.sqrt(len(differences))) if len(differences) > 1 else 0.0


def _largest_by_chance(differences: Floats) -> float:
    """What a mean of differences whose expectation is 0 stays below in 95 % of cases, by Student's t."""
    freedom = max(len(differences) - 1, 1)
    return float(special.stdtrit(freedom, 0.95)) * _standard_error(differences)


def _combined(table: pd.DataFrame, weights: Mapping[str, float]) -> Floats:
    values = table[list(weights)].to_numpy(dtype=np.float64)
    return np.asarray(values @ np.array(list(weights.values())))


# --- the stack ----------------------------------------------------------------------------------------


def stack(
    forecasts: pd.DataFrame,
    series: pd.DataFrame,
    settings: EnsembleSettings,
    members: Mapping[str, str],
    missing: Mapping[str, str],
    season_length: int,
) -> tuple[StackRecipe, pd.DataFrame]:
    """Weigh the members, choose between the stack and its best member, and fit the quantiles.

    The quantiles of a validation block come from the other blocks' errors, those of the test part from all of
    the validation part's. The published ones, in the recipe, use the errors of both parts.

    Args:
        forecasts: A column for each member; parts ``validation`` and ``test``.
        series: ``unique_id``, ``scale``.
        settings: Of the ensemble.
        members: Kind by member.
        missing: Reason by configured member that failed.
        season_length: MASE's m.

    Returns:
        The recipe, and ``forecasts`` with ``ensemble`` and the quantile columns.

    Raises:
        ModelError: Fewer trained members than ``min_models``, or no target of the validation part is scored.
    """
    _require_members(members, missing, settings.min_models)
    forecasts = forecasts.reset_index(drop=True)
    is_validation = forecasts["part"] == "validation"
    validation = forecasts[is_validation]
    chosen = _choose(validation, series, list(members), settings)
    table = forecasts.assign(**{ENSEMBLE: _combined(forecasts, chosen.weights)})
    table.loc[is_validation, ENSEMBLE] = chosen.combined
    horizon = int(lead_times(forecasts).max())
    scores = conformal_scores(table, series, ENSEMBLE)
    judged = ConformalQuantiles.fit(scores[is_validation[scores.index]], settings.quantiles, horizon)
    scale = series.set_index("unique_id")["scale"].astype(np.float64)
    scales = {str(name): float(value) if value > 0 else None for name, value in scale.items()}
    recipe = StackRecipe(
        method=chosen.method,
        shrinkage=chosen.shrinkage,
        weights=chosen.weights,
        members=dict(members),
        missing=dict(missing),
        quantiles=ConformalQuantiles.fit(scores, settings.quantiles, horizon),
        judged_quantiles=judged,
        scales=scales,
        season_length=season_length,
        best_member=chosen.best,
        loss=chosen.loss,
        loss_best_member=chosen.rival,
        loss_alone=chosen.alone,
        loss_without=chosen.without,
        block_weights=chosen.by_block,
        notes=chosen.notes,
    )
    return recipe, _with_quantiles(table, scores, judged, scales)


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
    method: Method
    shrinkage: float
    weights: Weights
    combined: "pd.Series[Any]"
    best: str
    loss: float
    rival: float
    alone: dict[str, float]
    without: dict[str, float]
    by_block: dict[int, Weights]
    notes: list[str]


def _choose(
    validation: pd.DataFrame, series: pd.DataFrame, names: list[str], settings: EnsembleSettings
) -> _Choice:
    data = _Scaled.of(validation, series, names)
    if not len(data.y):
        raise ModelError(
            "no target of the validation part is scored; allowed: observed targets and series that vary"
        )
    alone = {name: data.loss(data.forecasts[:, column]) for column, name in enumerate(names)}
    best = min(alone, key=alone.__getitem__)
    every = _scored(folds(validation), validation, series)
    # A block that nothing was held out for says nothing of weights, nor of a choice.
    blocks = {block: fold for block, fold in every.items() if fold.others.any() and fold.held.any()}
    held_out = bool(blocks)
    blocks = blocks or every
    method: Method = settings.method if held_out else "equal"
    rounds = settings.greedy_rounds
    shrinkage = _choose_shrinkage(data, blocks, method, rounds)
    combined, by_block = cross_fit(validation, series, names, method, rounds, shrinkage)
    notes = _notes_on_blocks(validation, by_block)
    stacked = by_block if held_out else _cross_weights(data, blocks, method)
    loss = _cross_loss(data, blocks, stacked)
    rival, doubt = _rival(data, blocks, stacked) if held_out else (alone[best], np.inf)
    without = _losses_without(data, blocks, method, rounds, shrinkage)
    weights = _shrunk(data, _fit(data, method, rounds), shrinkage)
    if loss - doubt >= rival:
        notes.append(_why_alone(best, loss, rival, doubt))
        method, shrinkage, combined = "best_member", 0.0, validation[best]
        weights = {name: float(name == best) for name in names}
    return _Choice(method, shrinkage, weights, combined, best, loss, rival, alone, without, by_block, notes)


def _rival(data: _Scaled, blocks: Mapping[int, _Fold], stacked: Mapping[int, Weights]) -> tuple[float, float]:
    """The loss of the member that is best on the other blocks, and how far above it a stack may be.

    The smallest loss of several on the same rows flatters: the choice is cross-fitted as the weights are. And
    blocks are few: a member that is ahead by chance is not expected to stay ahead of its stack.
    """
    single = _cross_weights(data, blocks, "best")
    loss = _cross_loss(data, blocks, single)
    differences = _block_losses(data, blocks, stacked) - _block_losses(data, blocks, single)
    return loss, min(_largest_by_chance(differences), MOST_DOUBT * loss)


def _why_alone(best: str, loss: float, rival: float, doubt: float) -> str:
    if math.isclose(loss, rival):
        return f"on held-out blocks the stack's MASE is its best member's, {rival:.4g}: {best} alone is used"
    limit = "a tenth" if doubt == MOST_DOUBT * rival else "chance gives"
    return (
        f"the stack's MASE on held-out blocks is {loss:.4g}, that of the best member of the other blocks"
        f" {rival:.4g}, which is better by more than {limit}, {doubt:.2g}: {best} alone is used"
    )


def _choose_shrinkage(data: _Scaled, blocks: Mapping[int, _Fold], method: str, rounds: int) -> float:
    """The largest shrinkage that is not worse than the best on held-out blocks by more than a standard error.

    Equal weights owe nothing to the blocks that were seen, so that the next ones are as likely to like them.

    Source: the one-standard-error rule of Breiman et al. (1984), "Classification and regression trees".
    """
    if method not in ("greedy", "nnls"):
        return 0.0
    others = {block: data.take(fold.others) for block, fold in blocks.items()}
    fitted = {block: _fit(rows, method, rounds) for block, rows in others.items()}
    losses = {}
    for shrinkage in SHRINKAGES:
        shrunk = {block: _shrunk(others[block], weights, shrinkage) for block, weights in fitted.items()}
        losses[shrinkage] = _block_losses(data, blocks, shrunk)
    best = min(losses.values(), key=np.mean)
    return max(
        shrinkage
        for shrinkage, found in losses.items()
        if np.mean(found - best) <= _standard_error(found - best)
    )


def _notes_on_blocks(validation: pd.DataFrame, by_block: Mapping[int, Weights]) -> list[str]:
    blocks = sorted(set(validation["block"]))
    lacking = [str(block) for block in blocks if block not in by_block]
    if not lacking:
        return []
    if len(lacking) == len(blocks):
        return ["no two validation blocks have separate targets, so nothing is held out: weights are equal"]
    return [f"validation blocks {', '.join(lacking)} overlap all others: equal weights there"]


def _losses_without(
    data: _Scaled, blocks: Mapping[int, _Fold], method: str, rounds: int, shrinkage: float
) -> dict[str, float]:
    """Cross-fitted loss of a stack without each member."""
    found = {}
    for name in data.members if len(data.members) > 1 else []:
        rest = data.without(name)
        found[name] = _cross_loss(rest, blocks, _cross_weights(rest, blocks, method, rounds, shrinkage))
    return found


def _with_quantiles(
    table: pd.DataFrame, scores: pd.DataFrame, judged: ConformalQuantiles, scales: Mapping[str, float | None]
) -> pd.DataFrame:
    """Add quantile columns; those of a validation block come from the errors of the others, if any."""
    found = judged.apply(table, scales, ENSEMBLE)
    validation = table[table["part"] == "validation"]
    for fold in folds(validation).values():
        others = scores[scores.index.isin(validation.index[fold.others])]
        if len(others):
            rows = validation[fold.held]
            quantiles = ConformalQuantiles.fit(others, judged.levels, len(judged.offsets))
            found.loc[rows.index, judged.columns] = quantiles.apply(rows, scales, ENSEMBLE)[judged.columns]
    return found


# --- forecasting --------------------------------------------------------------------------------------


def usable_weights(recipe: StackRecipe, available: Iterable[str]) -> Weights:
    """The weights of the members at hand, renormalised; a missing one is named in the log.

    Raises:
        ModelError: No member with weight is at hand.
    """
    at_hand = set(available)
    lacking = [name for name in recipe.active if name not in at_hand]
    found = {name: recipe.weights[name] for name in recipe.active if name in at_hand}
    if not found:
        raise ModelError(
            f"no forecast of {', '.join(recipe.active)}; allowed: at least one member with weight"
        )
    if lacking:
        _LOG.warning(
            "ensemble: forecasting without %s; the other weights are renormalised", ", ".join(lacking)
        )
        # Weights of OLS sum to nearly 1 and may be negative.
        total, target = sum(found.values()), sum(recipe.weights.values())
        equal = abs(total) < 1e-6
        found = {name: 1 / len(found) if equal else weight * target / total for name, weight in found.items()}
    return found


def own_scales(recipe: StackRecipe, panel: Panel, origins: Cutoffs) -> dict[str, float]:
    """Scales, from the rows up to their first origin, of series that the recipe has none for."""
    earliest = origins.frame.groupby("unique_id")["cutoff"].min().reset_index()
    lacking = [name for name in earliest["unique_id"] if recipe.scales.get(name) is None]
    if not lacking:
        return {}
    # Of all series, since one without a scale of its own takes the others' as a measure.
    table = series_scales(panel.history(Cutoffs(earliest)), recipe.season_length)
    found = dict(zip(table["unique_id"], table["scale"], strict=True))
    return {name: found[name] for name in lacking}


def combine(
    recipe: StackRecipe, table: pd.DataFrame, scales: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Combine members' forecasts.

    Args:
        recipe: Weights and quantiles.
        table: ``unique_id``, ``cutoff``, ``ds`` and a column for each member at hand.
        scales: Of series that the recipe has none for.

    Returns:
        ``unique_id``, ``cutoff``, ``ds``, ``yhat`` and the quantiles, in the order of ``table``.
    """
    weights = usable_weights(recipe, table.columns)
    points = table[KEYS].assign(yhat=_combined(table, weights))
    return recipe.quantiles.apply(points, {**recipe.scales, **(scales or {})})


@dataclass(frozen=True)
class Ensemble:
    """Fitted members and how to combine them.

    Attributes:
        members: By name; those without weight may be left out.
        recipe: Weights and quantiles.
    """

    members: Mapping[str, Forecaster]
    recipe: StackRecipe

    @property
    def name(self) -> str:
        """Column of the forecasts."""
        return ENSEMBLE

    def forecast(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        """See ``Forecaster.forecast``."""
        points = self.predict(panel, origins)[["unique_id", "cutoff", "ds", "yhat"]]
        return points.rename(columns={"yhat": ENSEMBLE})

    def predict(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        """Forecast with quantiles.

        A series unseen at fit gets its scale from its history, and the forecasts of the members that are not
        fitted series by series; where there is no such member, their fallback.

        Returns:
            ``unique_id``, ``cutoff``, ``ds``, ``yhat``, ``q0.1`` …, in the order of ``origins``.
        """
        table, scales = self._members(panel, origins), own_scales(self.recipe, panel, origins)
        unseen = ~table["unique_id"].isin(list(self.recipe.scales))
        local = [name for name in self.recipe.active if self.recipe.members[name] in PER_SERIES]
        if not (local and unseen.any()):
            return combine(self.recipe, table, scales)
        new = table.loc[unseen, "unique_id"].unique()[:5]
        names, about = ", ".join(new), {"series": new[0]}
        if len(local) == len(self.recipe.active):
            told = "%s: new to the model: the seasonal naive forecast of %s is used"
            _LOG.warning(told, names, local[0], extra=about)
            return combine(self.recipe, table, scales)
        _LOG.warning("%s: new to the model", names, extra=about)
        parts = [table[~unseen], table[unseen].drop(columns=local)]
        return pd.concat(combine(self.recipe, part, scales) for part in parts if len(part)).sort_index()

    def _members(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        table = panel.grid(origins)
        for name in self.recipe.active:
            if name not in self.members:
                continue
            try:
                table[name] = self.members[name].forecast(panel, origins)[name].to_numpy()
            except ModelError as error:
                _LOG.warning("ensemble: %s cannot forecast (%s)", name, error, extra={"model": name})
        return table

    def save(self, directory: Path) -> None:
        """Write ``ensemble.json`` and, under ``members/<name>``, each member with weight."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "ensemble.json").write_text(self.recipe.model_dump_json(indent=1))
        for name in self.recipe.active:
            if name in self.members:
                self.members[name].save(directory / "members" / name)

    @classmethod
    def load(cls, directory: Path) -> "Ensemble":
        """Read what ``save`` wrote; a member whose folder is missing is left out.

        Raises:
            IntegrityError: ``ensemble.json`` is missing or not what ``save`` writes.
        """
        path = directory / "ensemble.json"
        try:
            recipe = StackRecipe.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise IntegrityError(f"{path}: not an ensemble ({' '.join(str(error).split())[:200]})") from error
        folders = {name: directory / "members" / name for name in recipe.active}
        members = {
            name: load_forecaster(recipe.members[name], folder)
            for name, folder in folders.items()
            if folder.is_dir()
        }
        return cls(members, recipe)
