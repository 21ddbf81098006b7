"""CatBoost: one global model of all series, of one-step forecasts on the features of ``kubecast.features``.

A fit takes seconds to minutes, so one that was interrupted starts again: ``FitPlan.checkpoint`` is not used.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from catboost import CatBoostError, CatBoostRegressor
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from kubecast.config import CatBoostSettings
from kubecast.errors import IntegrityError, ModelError
from kubecast.features import FeatureSpec, design, recursive_forecast, row_scales, training_features, usable
from kubecast.models.base import FitLog, FitPlan
from kubecast.models.seasonal_naive import forecast_frame, seasonal_naive
from kubecast.panel import Cutoffs, Panel

MODEL_FILE, SPEC_FILE = "catboost.cbm", "catboost.json"
LARGEST_FILE = 4 << 30
REPORT_EVERY = 10  # iterations
SAVING = 0.5  # seconds before the deadline that are left for saving
TAIL = 10  # the tail that stops a fit early is one row in so many
CHOICE_ORIGINS, CHOICE_SERIES = 100, 100  # from which naive forecasts are compared
OD_PVAL = 0.001  # without one CatBoost's IncToDec detector is off


class _Saved(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    spec: FeatureSpec


class _Replay(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    iterations: int
    differences: list[int]


@dataclass(frozen=True)
class CatBoostForecaster:
    """A fitted CatBoost model.

    Attributes:
        model: Forecasts one scaled, differenced step.
        spec: Its features.
        name: Column of the forecasts.
    """

    model: CatBoostRegressor
    spec: FeatureSpec
    name: str

    def forecast(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        """See ``Forecaster.forecast``; short and constant histories get the seasonal naive forecast."""
        values = seasonal_naive(panel, origins, self.spec.season_lengths[0])
        use = usable(panel, origins, self.spec)
        found = recursive_forecast(panel, Cutoffs(origins.frame[use]), self.spec, self.model)
        values[use] = np.where(np.isfinite(found), found, values[use])
        return forecast_frame(panel, origins, values, self.name)

    def importance(self) -> dict[str, float]:
        """By feature, how much the prediction changes where it does, in percent of all features."""
        values = self.model.get_feature_importance()
        return {
            str(name): float(value) for name, value in zip(self.model.feature_names_, values, strict=True)
        }

    def save(self, directory: Path) -> None:
        """Write ``catboost.cbm`` and ``catboost.json``."""
        directory.mkdir(parents=True, exist_ok=True)
        self.model.save_model(str(directory / MODEL_FILE), format="cbm")
        (directory / SPEC_FILE).write_text(_Saved(name=self.name, spec=self.spec).model_dump_json(indent=1))

    @classmethod
    def load(cls, directory: Path) -> "CatBoostForecaster":
        """Read what ``save`` wrote.

        Raises:
            IntegrityError: A file is missing or not what ``save`` writes.
        """
        path = directory / MODEL_FILE
        try:
            saved = _Saved.model_validate_json((directory / SPEC_FILE).read_text())
            size = path.stat().st_size
            if not 0 < size <= LARGEST_FILE:
                raise IntegrityError(f"{path}: {size} bytes; allowed: 1 to {LARGEST_FILE}")
            model = CatBoostRegressor().load_model(str(path), format="cbm")
        except (OSError, ValidationError, UnicodeDecodeError, CatBoostError) as error:
            reason = " ".join(str(error).split())[:200]
            raise IntegrityError(f"{directory}: not a saved CatBoost model ({reason})") from error
        return cls(model, saved.spec, saved.name)


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
    forecaster: CatBoostForecaster
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

        The last max(horizon, 10 %) steps of each series before ``until`` stop the fit early.
        ``FitLog.replay`` holds the number of trees and the differences.

        Raises:
            ModelError: No series has enough rows, or CatBoost fails.
        """
        started = time.monotonic()
        replay = None if plan.replay is None else _read_replay(plan.replay)
        if replay is None:
            replay = _Replay(
                iterations=self.settings.iterations,
                differences=choose_differences(panel, until, self.settings),
            )
        fitted = self._fit_once(panel, until, plan, replay)
        trees = int(fitted.forecaster.model.tree_count_)
        log = FitLog(
            stopped=self._stopped(plan, fitted),
            replay=plan.replay or {"iterations": trees, "differences": list(replay.differences)},
            curves=fitted.curves,
            best=trees - 1,
            seconds=time.monotonic() - started,
            fallbacks=_fallbacks(panel, until, fitted.forecaster.spec),
        )
        return fitted.forecaster, log

    def _stopped(self, plan: FitPlan, fitted: _Fitted) -> str:
        if fitted.late:
            return "time_limit"
        if plan.replay is not None:
            return "replayed"
        grown = len(fitted.curves["train"])
        return "early_stopping" if grown < self.settings.iterations else "max_iterations"

    def _fit_once(self, panel: Panel, until: Cutoffs, plan: FitPlan, recipe: _Replay) -> _Fitted:
        spec = design(panel, until, self.settings, recipe.differences)
        features, target, rows = training_features(panel, until, spec, self.settings.max_rows)
        tail = plan.replay is None
        held_out = _in_tail(panel, until, rows) & tail
        if held_out.all():
            raise ModelError(_too_short(panel, until, spec, tail))
        watch = _Watch(_stop_at(plan), plan.report, self.settings.eval_metric)
        model = CatBoostRegressor(**self._parameters(), iterations=recipe.iterations, random_seed=plan.seed)
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
        return _Fitted(CatBoostForecaster(model, spec, self.name), _curves(model, self.settings), watch.late)

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


def choose_differences(panel: Panel, until: Cutoffs, settings: CatBoostSettings) -> list[int]:
    """Take the settings' differences, else the lag whose naive forecasts before ``until`` err least.

    Candidates are 1 and the season lengths that nine series in ten hold twice. Naive errors of the whole
    history do not depend on the seed. Comparing fits on a held-out tail did, and its choices forecast worse.
    """
    if settings.differences != "auto":
        return [] if settings.differences == "none" else settings.differences
    _, length = _lengths(panel, until)
    typical = float(np.quantile(length, 0.1)) if len(length) else 0.0
    seasons = [m for m in panel.spec.season_lengths if m > 1 and 2 * m + panel.spec.horizon <= typical]
    return [min([1, *seasons], key=lambda lag: _naive_error(panel, until, lag))]


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
    some = np.unique(np.linspace(0, max(len(ends) - 1, 0), CHOICE_SERIES).astype(np.int64))[: len(ends)]
    back = max(panel.spec.season_lengths)
    at = [np.empty(0, dtype=np.int64)]
    for end, rows in zip(ends[some], length[some], strict=True):
        first, last = end - rows + min(back, rows), end - panel.spec.horizon
        at.append(
            np.unique(np.linspace(first, last, CHOICE_ORIGINS).astype(np.int64))[: max(last - first + 1, 0)]
        )
    return Cutoffs.of(panel.frame.iloc[np.concatenate(at)], "ds")


def _read_replay(replay: dict[str, Any]) -> _Replay:
    try:
        return _Replay.model_validate(replay)
    except ValidationError as error:
        raise ModelError(
            f"replay {replay} is not that of a CatBoost fit; allowed: iterations, differences"
        ) from error


def _stop_at(plan: FitPlan) -> float | None:
    return None if plan.deadline is None else plan.deadline - SAVING


def _lengths(panel: Panel, until: Cutoffs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row that each series ends on, and its number of rows up to there."""
    ends = panel.rows_of(until)
    return ends, ends - panel.starts[panel.codes[ends]] + 1


def _in_tail(panel: Panel, until: Cutoffs, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    ends, length = _lengths(panel, until)
    first = np.zeros(len(panel.ids), dtype=np.int64)
    first[panel.codes[ends]] = ends - np.maximum(panel.spec.horizon, length // TAIL) + 1
    return np.asarray(rows >= first[panel.codes[rows]])


def _too_short(panel: Panel, until: Cutoffs, spec: FeatureSpec, tail: bool) -> str:
    _, length = _lengths(panel, until)
    longest = int(length.max()) if len(length) else 0
    needed = spec.needed + 1 + (panel.spec.horizon if tail else 0)
    return (
        f"catboost: no series can be fitted, the longest has {longest} training rows; allowed: at least"
        f" {needed} rows that are not constant"
    )


def _fallbacks(panel: Panel, until: Cutoffs, spec: FeatureSpec) -> dict[str, str]:
    use = usable(panel, until, spec)
    reason = f"constant, or fewer than {spec.needed} rows: seasonal naive"
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
