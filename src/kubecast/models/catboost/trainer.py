"""CatBoost: a global model of all series, of one-step forecasts on the features of ``features``.

Several may be averaged, each with differences and a seed of its own.

A fit takes seconds to minutes, so one that was interrupted starts again: ``FitPlan.checkpoint`` is not used.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from catboost import CatBoostError, CatBoostRegressor
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kubecast.data.panel import Cutoffs, Panel
from kubecast.errors import IntegrityError, ModelError
from kubecast.models.averaging import inverse_error_weights
from kubecast.models.base import FitLog, FitPlan
from kubecast.models.catboost.features import (
    FeatureSpec,
    design,
    recursive_forecast,
    row_scales,
    training_features,
    usable,
)
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.models.seasonal_naive import forecast_frame, seasonal_naive

_LOG = logging.getLogger(__name__)

SPEC_FILE = "catboost.json"
LARGEST_FILE = 4 << 30
REPORT_EVERY = 10  # iterations
SAVING = 0.5  # seconds before the deadline that are left for saving
TAIL = 10  # the tail that stops a fit early is one row in so many
MOST_SERIES = 100  # that are forecast to choose differences, or to weigh models
NAIVE_ORIGINS = 100  # of each series, from which naive forecasts are compared
BACKTESTS, FEWEST_BACKTESTS = 4, 100  # of each series, and of all together, that models are weighed by
SHARPNESS = 12  # power of the inverse errors that they are weighed by
WEIGHING = 0.1  # of the time until the deadline: kept for that
EARLY, EARLY_TREES = 0.7, 200  # share of the rows, and trees, of the fits that are judged from there on
OD_PVAL = 0.001  # without one CatBoost's IncToDec detector is off


class _SavedMember(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    spec: FeatureSpec
    weight: float


class _Saved(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    members: list[_SavedMember] = Field(min_length=1)


class _Recipe(BaseModel):
    """What repeats one model's fit."""

    model_config = ConfigDict(extra="forbid", strict=True)

    iterations: int
    differences: list[int]
    weight: float = 1.0


class _Replay(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    members: list[_Recipe] = Field(min_length=1)


@dataclass(frozen=True)
class Member:
    """One fitted model.

    Attributes:
        model: Forecasts one scaled, differenced step.
        spec: Its features.
        weight: Share in the forecast.
    """

    model: CatBoostRegressor
    spec: FeatureSpec
    weight: float = 1.0

    def forecast(self, panel: Panel, origins: Cutoffs) -> NDArray[np.float64]:
        """Shape (origins, horizon); NaN from short and constant histories."""
        values = np.full((len(origins), panel.spec.horizon), np.nan)
        use = usable(panel, origins, self.spec)
        found = recursive_forecast(panel, Cutoffs(origins.frame[use]), self.spec, self.model)
        values[use] = np.where(np.isfinite(found).all(axis=1, keepdims=True), found, np.nan)
        return values


@dataclass(frozen=True)
class CatBoostForecaster:
    """Fitted CatBoost models, averaged.

    Attributes:
        members: Their weights sum to 1.
        name: Column of the forecasts.
    """

    members: list[Member]
    name: str

    def forecast(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        """See ``Forecaster.forecast``.

        Where a history is too short for some of the models the others forecast, and the seasonal naive where
        it is too short for all, or constant.
        """
        values = seasonal_naive(panel, origins, self.members[0].spec.season_lengths[0])
        total, weight = np.zeros_like(values), np.zeros((len(origins), 1))
        for member in self.members:
            found = member.forecast(panel, origins)
            use = np.isfinite(found).all(axis=1)
            total[use] += member.weight * found[use]
            weight[use] += member.weight
        values = np.where(weight > 0, total / np.where(weight > 0, weight, 1.0), values)
        return forecast_frame(panel, origins, values, self.name)

    def importance(self) -> dict[str, float]:
        """By feature, how much the prediction changes where it does, in percent of all features."""
        found: dict[str, float] = {}
        for member in self.members:
            values = member.model.get_feature_importance()
            for name, value in zip(member.model.feature_names_, values, strict=True):
                found[str(name)] = found.get(str(name), 0.0) + member.weight * float(value)
        return found

    def save(self, directory: Path) -> None:
        """Write ``catboost-1.cbm`` and so on, and ``catboost.json``."""
        directory.mkdir(parents=True, exist_ok=True)
        for number, member in enumerate(self.members, start=1):
            member.model.save_model(str(_model_file(directory, number)), format="cbm")
        members = [_SavedMember(spec=member.spec, weight=member.weight) for member in self.members]
        (directory / SPEC_FILE).write_text(_Saved(name=self.name, members=members).model_dump_json(indent=1))

    @classmethod
    def load(cls, directory: Path) -> "CatBoostForecaster":
        """Read what ``save`` wrote.

        Raises:
            IntegrityError: A file is missing or not what ``save`` writes.
        """
        try:
            saved = _Saved.model_validate_json((directory / SPEC_FILE).read_text())
            members = [
                Member(_load_model(_model_file(directory, number)), member.spec, member.weight)
                for number, member in enumerate(saved.members, start=1)
            ]
        except (OSError, ValidationError, UnicodeDecodeError, CatBoostError) as error:
            reason = " ".join(str(error).split())[:200]
            raise IntegrityError(f"{directory}: not a saved CatBoost model ({reason})") from error
        return cls(members, saved.name)


def _model_file(directory: Path, number: int) -> Path:
    return directory / f"catboost-{number}.cbm"


def _load_model(path: Path) -> CatBoostRegressor:
    size = path.stat().st_size
    if not 0 < size <= LARGEST_FILE:
        raise IntegrityError(f"{path}: {size} bytes; allowed: 1 to {LARGEST_FILE}")
    return CatBoostRegressor().load_model(str(path), format="cbm")


@dataclass
class _Watch:
    """CatBoost's callback: ends the fit at the deadline, or when ``report`` raises."""

    deadline: float | None
    report: Callable[[int, float], None]
    metric: str
    late: bool = False
    raised: BaseException | None = None

    def after_iteration(self, info: Any) -> bool:
        """Tell CatBoost whether to go on."""
        self.late = self.deadline is not None and time.monotonic() >= self.deadline
        losses = info.metrics.get("validation", {}).get(self.metric) or []
        if losses and info.iteration % REPORT_EVERY == 0:
            try:
                self.report(info.iteration, float(losses[-1]))
            except (
                BaseException
            ) as error:  # it would be lost in CatBoost's C++ and is raised again after the fit
                self.raised = error
        return not self.late and self.raised is None


@dataclass(frozen=True)
class _Fitted:
    member: Member
    curves: dict[str, list[float]]
    late: bool


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
        fitted to the first 70 % of the rows. ``FitLog.replay`` holds each one's number of trees, differences
        and weight; ``FitLog.curves`` are those of the heaviest.

        Raises:
            ModelError: No series has enough rows, or CatBoost fails.
        """
        started = time.monotonic()
        recipes = self._recipes(panel, until) if plan.replay is None else _read_replay(plan.replay).members
        weighed = plan.replay is None and len(recipes) > 1
        fitted = self._fit_all(panel, until, _leaving_time(plan) if weighed else plan, recipes)
        late = fitted[-1].late
        if late and len(fitted) > 1:
            fitted = fitted[:-1]  # of a few trees
        if weighed and len(fitted) > 1:
            fitted = self._weigh(fitted, panel, until, plan)
        fitted = _sharing(fitted)
        heaviest = max(fitted, key=lambda each: each.member.weight)
        members = [each.member for each in fitted]
        trees = int(heaviest.member.model.tree_count_)
        repeated = plan.replay is not None and not late
        log = FitLog(
            stopped="time_limit" if late else self._stopped(plan, heaviest),
            replay=plan.replay if repeated else _Replay(members=list(map(_recipe, members))).model_dump(),
            curves=heaviest.curves,
            best=trees - 1,
            seconds=time.monotonic() - started,
            fallbacks=_fallbacks(panel, until, [member.spec for member in members]),
        )
        return CatBoostForecaster(members, self.name), log

    def _recipes(self, panel: Panel, until: Cutoffs) -> list[_Recipe]:
        """Each model's own differences; where there are fewer, other seeds of the first ones."""
        several = candidate_differences(panel, until, self.settings)
        count = self.settings.averaged
        return [
            _Recipe(iterations=self.settings.iterations, differences=several[number % len(several)])
            for number in range(count)
        ]

    def _fit_all(self, panel: Panel, until: Cutoffs, plan: FitPlan, recipes: list[_Recipe]) -> list[_Fitted]:
        """Fit one model after the other; those that the rows or the deadline do not suffice for are left out.

        Raises:
            ModelError: None is left.
        """
        fitted: list[_Fitted] = []
        refused: ModelError | None = None
        for number, recipe in enumerate(recipes):
            if fitted and fitted[-1].late:
                break
            try:
                fitted.append(self._fit_once(panel, until, plan, recipe, number, len(recipes)))
            except ModelError as error:
                _LOG.warning("%s: no model of differences %s: %s", self.name, recipe.differences, error)
                refused = refused or error
        if refused is not None and not fitted:
            raise refused
        return fitted

    def _weigh(self, fitted: list[_Fitted], panel: Panel, until: Cutoffs, plan: FitPlan) -> list[_Fitted]:
        """Weigh models by the errors of their forecasts, and of those of small ones fitted to earlier rows.

        The tail alone is a few days of a single series: too little to tell which differences suit it.
        """
        began = time.monotonic()
        origins = _tail_origins(panel, until, fitted[0].member.spec, self.settings.max_rows)
        errors = [_relative(_errors([each.member for each in fitted], panel, origins))]
        taken = time.monotonic() - began
        early = _share(panel, until, EARLY)
        small = self._fit_small(fitted, panel, early, plan)
        if small and _time_left(plan) > taken:
            errors.append(_relative(_errors(small, panel, _later_origins(panel, early, until))))
        judged = pd.DataFrame(errors).mean()  # of what there is
        if judged.isna().any():
            return fitted
        weights = inverse_error_weights(judged.to_numpy(), SHARPNESS)
        return [
            replace(each, member=replace(each.member, weight=float(weight)))
            for each, weight in zip(fitted, weights, strict=True)
        ]

    def _fit_small(self, fitted: list[_Fitted], panel: Panel, early: Cutoffs, plan: FitPlan) -> list[Member]:
        """A quick model of each one's differences on earlier rows; none where rows or time are short for one.

        A comparison of some alone would favour them.
        """
        quiet = FitPlan(seed=plan.seed, deadline=plan.deadline)
        trees = min(EARLY_TREES, self.settings.iterations)
        found: list[Member] = []
        for number, each in enumerate(fitted):
            if _time_left(plan) <= 0:  # CatBoost looks at the clock only after its first tree
                return []
            recipe = _Recipe(iterations=trees, differences=each.member.spec.differences)
            try:
                small = self._fit_once(panel, early, quiet, recipe, number, len(fitted))
            except ModelError:
                return []
            if small.late:
                return []
            found.append(small.member)
        return found

    def _stopped(self, plan: FitPlan, heaviest: _Fitted) -> str:
        if plan.replay is not None:
            return "replayed"
        grown = len(heaviest.curves["train"])
        return "early_stopping" if grown < self.settings.iterations else "max_iterations"

    def _fit_once(
        self, panel: Panel, until: Cutoffs, plan: FitPlan, recipe: _Recipe, number: int, count: int
    ) -> _Fitted:
        spec = design(panel, until, self.settings, recipe.differences)
        features, target, rows = training_features(panel, until, spec, self.settings.max_rows)
        tail = plan.replay is None
        held_out = _in_tail(panel, until, rows, spec, self.settings.max_rows) & tail
        if held_out.all():
            raise ModelError(_too_short(panel, until, spec, tail))
        done = number * self.settings.iterations  # progress is over all models
        watch = _Watch(
            _stop_at(plan),
            lambda step, loss: plan.report((done + step) // count, loss),
            self.settings.eval_metric,
        )
        seed = plan.seed + number
        model = CatBoostRegressor(**self._parameters(), iterations=recipe.iterations, random_seed=seed)
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
            raise ModelError(f"catboost: {' '.join(str(error).split())[:200]}") from error
        if watch.raised is not None:
            raise watch.raised
        return _Fitted(Member(model, spec, recipe.weight), _curves(model, self.settings), watch.late)

    def _parameters(self) -> dict[str, Any]:
        parameters = self.settings.model_dump(include=_PASSED)
        if self.settings.bootstrap_type == "Bayesian":
            parameters["bagging_temperature"] = self.settings.bagging_temperature
        if self.settings.od_type == "IncToDec":
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


def candidate_differences(panel: Panel, until: Cutoffs, settings: CatBoostSettings) -> list[list[int]]:
    """The settings' differences, else lags by how much their naive forecasts before ``until`` err.

    Candidates are 1 and the season lengths that nine series in ten hold twice, and after them two and more of
    these lags together. Naive errors of the whole history do not depend on the seed. To take the one whose
    fit forecasts a held-out tail best did, and its choices forecast worse.
    """
    if settings.differences != "auto":
        return [[] if settings.differences == "none" else settings.differences]
    _, length = _lengths(panel, until)
    typical = float(np.quantile(length, 0.1)) if len(length) else 0.0
    seasons = [m for m in panel.spec.season_lengths if m > 1 and 2 * m + panel.spec.horizon <= typical]
    lags = sorted([1, *seasons], key=lambda lag: _naive_error(panel, until, lag))
    several = [list(some) for count in range(2, len(lags) + 1) for some in combinations(lags, count)]
    together = [some for some in several if 2 * sum(some) + panel.spec.horizon <= typical]
    return [*([lag] for lag in lags), *together]


def _sharing(fitted: list[_Fitted]) -> list[_Fitted]:
    """Those with weight, which then sums to 1; of none, all alike."""
    total = sum(each.member.weight for each in fitted)
    some = [each for each in fitted if each.member.weight > 0] or fitted
    return [
        replace(
            each, member=replace(each.member, weight=each.member.weight / total if total else 1 / len(some))
        )
        for each in some
    ]


def _errors(members: Sequence[Member], panel: Panel, origins: Cutoffs) -> NDArray[np.float64]:
    """Each model's mean absolute scaled error over the horizon; NaN where none is scored."""
    rows = panel.rows_of(origins)
    steps, y = np.arange(1, panel.spec.horizon + 1), panel.frame["y"].to_numpy(dtype=np.float64)
    scale = row_scales(panel, [panel.spec.season_lengths[0]])[rows][:, None]
    scale = np.where(scale > 0, scale, np.nan)
    naive = seasonal_naive(panel, origins, panel.spec.season_lengths[0])
    found = []
    for member in members:
        values = member.forecast(panel, origins)
        errors = np.abs(np.where(np.isfinite(values), values, naive) - y[rows[:, None] + steps]) / scale
        found.append(float("nan") if np.isnan(errors).all() else float(np.nanmean(errors)))
    return np.array(found)


def _relative(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """By the smallest of them."""
    smallest = np.nanmin(errors) if np.isfinite(errors).any() else np.nan
    return errors / smallest if smallest > 0 else errors


def _share(panel: Panel, until: Cutoffs, share: float) -> Cutoffs:
    """Cut-offs after so much of each series' rows."""
    ends, length = _lengths(panel, until)
    kept = np.maximum((share * length).astype(np.int64), 1)
    return Cutoffs.of(panel.frame.iloc[ends - length + kept], "ds")


def _tail_origins(panel: Panel, until: Cutoffs, spec: FeatureSpec, max_rows: int) -> Cutoffs:
    """Origins of some series whose horizon lies in the tail."""
    ends, length = _lengths(panel, until)
    tail = _tail(panel, length, spec, max_rows)
    return _backtests(panel, np.maximum(ends - tail, ends - length + 1), ends)


def _later_origins(panel: Panel, early: Cutoffs, until: Cutoffs) -> Cutoffs:
    """Origins of some series from one cut-off on, whose horizon ends by another."""
    return _backtests(panel, panel.rows_of(early), panel.rows_of(until))


def _backtests(panel: Panel, first: NDArray[np.int64], ends: NDArray[np.int64]) -> Cutoffs:
    """As many origins as models are weighed by."""
    series = max(min(len(ends), MOST_SERIES), 1)
    return _origins(panel, first, ends, max(BACKTESTS, FEWEST_BACKTESTS // series))


def _origins(panel: Panel, first: NDArray[np.int64], ends: NDArray[np.int64], each: int) -> Cutoffs:
    """Evenly spread rows of some series, at most ``each``, from ``first`` until a horizon before ``ends``."""
    some = _spread(len(ends), MOST_SERIES)
    at = [np.empty(0, dtype=np.int64)]
    for begin, end in zip(first[some], ends[some] - panel.spec.horizon, strict=True):
        if begin <= end:
            at.append(np.unique(np.linspace(begin, end, each).astype(np.int64)))
    return Cutoffs.of(panel.frame.iloc[np.concatenate(at)], "ds")


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """At most so many of ``count`` positions, evenly spread."""
    return np.unique(np.linspace(0, max(count - 1, 0), most).astype(np.int64))[:count]


def _recipe(member: Member) -> _Recipe:
    return _Recipe(
        iterations=int(member.model.tree_count_), differences=member.spec.differences, weight=member.weight
    )


def _naive_error(panel: Panel, until: Cutoffs, lag: int) -> float:
    """Mean absolute error over the horizon by the mean absolute step; each series weighs the same."""
    ends, origins = panel.rows_of(until), _past_origins(panel, until)
    steps, y = np.arange(1, panel.spec.horizon + 1), panel.frame["y"].to_numpy(dtype=np.float64)
    rows = panel.rows_of(origins)
    error = np.abs(seasonal_naive(panel, origins, lag) - y[rows[:, None] + steps])
    by_series = pd.DataFrame(error).mean(axis=1).groupby(panel.codes[rows]).mean()
    scale = pd.Series(row_scales(panel, [1])[ends], index=panel.codes[ends])
    return float((by_series / scale.where(scale > 0)).mean())


def _past_origins(panel: Panel, until: Cutoffs) -> Cutoffs:
    """Origins whose horizon ends by ``until``, evenly spread over the history and the series."""
    ends, length = _lengths(panel, until)
    first = ends - length + np.minimum(max(panel.spec.season_lengths), length)
    return _origins(panel, first, ends, NAIVE_ORIGINS)


def _read_replay(replay: dict[str, Any]) -> _Replay:
    try:
        return _Replay.model_validate(replay)
    except ValidationError as error:
        raise ModelError(
            f"replay {replay} is not that of a CatBoost fit; allowed: members with iterations,"
            " differences and weight"
        ) from error


def _stop_at(plan: FitPlan) -> float | None:
    return None if plan.deadline is None else plan.deadline - SAVING


def _leaving_time(plan: FitPlan) -> FitPlan:
    """The same, less the time that models are weighed in."""
    if plan.deadline is None:
        return plan
    return replace(plan, deadline=plan.deadline - WEIGHING * max(_time_left(plan), 0.0))


def _time_left(plan: FitPlan) -> float:
    stop = _stop_at(plan)
    return float("inf") if stop is None else stop - time.monotonic()


def _lengths(panel: Panel, until: Cutoffs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row that each series ends on, and its number of rows up to there."""
    ends = panel.rows_of(until)
    return ends, panel.lengths(ends)


def _tail(panel: Panel, length: NDArray[np.int64], spec: FeatureSpec, max_rows: int) -> NDArray[np.int64]:
    """Steps of each series that are held out: the horizon or a tenth, of few rows kept at most half."""
    series = max(int((length > spec.needed).sum()), 1)  # that share the rows
    kept = np.minimum(length, max(max_rows // series, 1))
    horizon = np.where(kept < length, np.minimum(panel.spec.horizon, kept // 2), panel.spec.horizon)
    return np.asarray(np.maximum(horizon, kept // TAIL))


def _in_tail(
    panel: Panel, until: Cutoffs, rows: NDArray[np.int64], spec: FeatureSpec, max_rows: int
) -> NDArray[np.bool_]:
    ends, length = _lengths(panel, until)
    first = np.zeros(len(panel.ids), dtype=np.int64)
    first[panel.codes[ends]] = ends - _tail(panel, length, spec, max_rows) + 1
    return np.asarray(rows >= first[panel.codes[rows]])


def _too_short(panel: Panel, until: Cutoffs, spec: FeatureSpec, tail: bool) -> str:
    _, length = _lengths(panel, until)
    longest = int(length.max()) if len(length) else 0
    needed = spec.needed + 1 + (panel.spec.horizon if tail else 0)
    return (
        f"catboost: no series can be fitted, the longest has {longest} training rows; allowed: at least"
        f" {needed} rows that are not constant"
    )


def _fallbacks(panel: Panel, until: Cutoffs, specs: list[FeatureSpec]) -> dict[str, str]:
    """The series that no model can forecast."""
    use = np.any([usable(panel, until, spec) for spec in specs], axis=0)
    reason = f"constant, or fewer than {min(spec.needed for spec in specs)} rows: seasonal naive"
    return {str(name): reason for name in until.frame["unique_id"].to_numpy()[~use]}


def _curves(model: CatBoostRegressor, settings: CatBoostSettings) -> dict[str, list[float]]:
    found = model.get_evals_result()
    # The metric of both, so that their gap means something, and not the loss that was minimised.
    curves = {"train": found["learn"][settings.eval_metric]}
    if "validation" in found:
        curves["validation"] = found["validation"][settings.eval_metric]
    if not all(np.isfinite(values).all() for values in curves.values()):
        raise ModelError("catboost: the loss is not finite; allowed: targets of a smaller range")
    return curves
