"""The report of a fit: whether it came to its end, its inputs, what it used, and its forecasts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kubecast.data.levels import with_level_ratio
from kubecast.data.origins import before_test
from kubecast.data.panel import KEYS, Cutoffs, Panel
from kubecast.errors import ModelError
from kubecast.evaluation.convergence import convergence
from kubecast.evaluation.examples import example_series
from kubecast.evaluation.importance import HasFeatureImportance, Importance, importance_of
from kubecast.models.artifact import Status
from kubecast.models.base import FitLog, Forecaster
from kubecast.reports import charts
from kubecast.reports.page import series_view, template
from kubecast.resources import Usage, most_of
from kubecast.scoring.conformal import ConformalQuantiles, conformal_scores
from kubecast.scoring.metrics import series_metrics

LEVELS = [0.1, 0.9]  # of the intervals
SHOWN = 25  # inputs in the chart of importance
OWN = "CatBoost's own figure: how much the prediction changes where the input does, in percent of all inputs."
SHUFFLED = (
    "How much the mean absolute scaled error rises where the input is shuffled, over windows of the"
    " validation split; the spread is its standard deviation over them."
)
UNSCORED = "No target of the validation split could be scored."
UNVALIDATED = "The history is too short for a validation split, whose errors intervals come from."
REPEATED = "The evaluated fit has them: this one repeats it on all rows."
REFUSED = "The page of the evaluated fit has them."


@dataclass(frozen=True)
class Fitted:
    """A fit and its forecasts.

    Attributes:
        name: Of the model.
        log: Of the fit.
        importance: Of its inputs; empty where it could not be measured.
        about_importance: How it was measured, or why it is missing: ``OWN``, ``SHUFFLED``, ``UNSCORED``,
            ``REPEATED`` or ``REFUSED``.
        forecasts: ``unique_id``, ``cutoff``, ``ds``, ``split`` and ``<name>``.
    """

    name: str
    log: FitLog
    importance: list[Importance]
    about_importance: str
    forecasts: pd.DataFrame

    @classmethod
    def evaluated(
        cls, forecaster: Forecaster, log: FitLog, panel: Panel, seed: int, forecasts: pd.DataFrame
    ) -> "Fitted":
        """Explain a fit on the training split."""
        importance = importance_of(forecaster, panel, seed)
        about = OWN if isinstance(forecaster, HasFeatureImportance) else SHUFFLED if importance else UNSCORED
        return cls(forecaster.name, log, importance, about, forecasts)

    @classmethod
    def production(
        cls, forecaster: Forecaster, log: FitLog, forecasts: pd.DataFrame, refused: bool = False
    ) -> "Fitted":
        """A fit on all rows, or the evaluated one where that was refused, which is not explained again."""
        return cls(forecaster.name, log, [], REFUSED if refused else REPEATED, forecasts)


def render_training(title: str, status: Status, fitted: Fitted | None, usage: Usage, panel: Panel) -> str:
    """Render one self-contained page.

    Args:
        title: Of the task.
        status: Says why there is no fit, or why it is not this one.
        fitted: None for a model that could not be fitted.
        usage: Of the task.
        panel: Gives the targets.
    """
    used = {
        "usage_charts": charts.usage_charts(usage),
        "peaks": _peaks(usage),
        "samples": len(usage.seconds),
    }
    about = {} if fitted is None else _about_fit(fitted, panel)
    return template("training.html").render(
        title=title, reason=status.reason, fitted=fitted is not None, **used, **about
    )


def _about_fit(fitted: Fitted, panel: Panel) -> dict[str, Any]:
    log, importance = fitted.log, fitted.importance
    rates: Any = log.fixed_fit.get("learning_rates")
    return {
        "log": log,
        "ended": convergence(log),
        "curves": charts.curve_chart(log.curves, log.best, fitted.name, "curves")
        if any(log.curves.values())
        else None,
        "rates": charts.rate_chart(rates, "rates") if rates else None,
        "importance": importance,
        "importance_chart": charts.importance_chart(importance[:SHOWN], "importance") if importance else None,
        "about_importance": fitted.about_importance,
        "paths": _paths(fitted, panel),
        "no_paths": _why_no_paths(fitted, panel),
    }


def _why_no_paths(fitted: Fitted, panel: Panel) -> str:
    if fitted.about_importance in (REPEATED, REFUSED):
        return fitted.about_importance
    if not panel.spec.splits.is_validated:
        return UNVALIDATED
    return "No series of the test split could be scored."


def _peaks(usage: Usage) -> list[tuple[str, float]]:
    named: dict[str, Sequence[float | None]] = {
        "processors, at most": usage.cpu,
        "memory, GiB at most": usage.memory,
        "GPU share, at most": usage.gpu,
        "GPU memory, GiB at most": usage.gpu_memory,
    }
    peaks = [(label, most_of(values)) for label, values in named.items()]
    return [(label, most) for label, most in peaks if most is not None]


def _paths(fitted: Fitted, panel: Panel) -> list[dict[str, Any]]:
    """The best, median and worst series of the test split, with intervals from validation errors."""
    name, evaluated = fitted.name, fitted.forecasts[fitted.forecasts["split"].isin(["validation", "test"])]
    truth = panel.frame[["unique_id", "ds", "y", "observed"]]
    table = evaluated[[*KEYS, "split", name]].merge(truth, on=["unique_id", "ds"], how="left")
    table = with_level_ratio(table, panel, Cutoffs.from_frame(evaluated))
    validation, test = (table[table["split"] == split] for split in ("validation", "test"))
    validation = validation[before_test(panel, validation)]
    try:
        scores = conformal_scores(validation, panel.series, name)
        quantiles = ConformalQuantiles.fit(scores, LEVELS, panel.spec.horizon)
    except ModelError:  # nothing was observed, or it is a production fit
        return []
    scales = panel.series.set_index("unique_id")["scale"]
    forecasts = pd.concat([validation, quantiles.apply(test, {str(k): v for k, v in scales.items()}, name)])
    errors = (
        series_metrics(test, panel.series, [name])["mase"][name].droplevel("split").dropna().sort_values()
    )
    ranked = [(str(unique_id), float(mase)) for unique_id, mase in errors.items()]
    chosen = example_series(ranked, forecasts, panel, name, LEVELS)
    return [series_view(each, f"path{at}") for at, each in enumerate(chosen)]


def render_unexplained(title: str, reason: str) -> str:
    """A page that says why there is no other: a fit is not lost with its page."""
    return template("unexplained.html").render(title=title, reason=reason)
