"""The report of a fit: whether it came to its end, its inputs, what it used, and its forecasts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kubecast.data.levels import LevelChanges, ScaleLevels, with_level_ratio
from kubecast.data.origins import before_test
from kubecast.data.panel import KEYS, Panel
from kubecast.evaluation.convergence import convergence
from kubecast.evaluation.fit_score import FitScore, fit_score
from kubecast.evaluation.importance import HasFeatureImportance, Importance, importance_of
from kubecast.evaluation.paths import series_paths
from kubecast.evaluation.series_facts import SeriesFacts, sizes_of, worst_and_largest
from kubecast.evaluation.words import plain
from kubecast.models.artifact import Status
from kubecast.models.base import FitLog, Forecaster, Sample
from kubecast.reports import charts
from kubecast.reports.explorer import Explorer, Forecasts, explorer
from kubecast.reports.html import figure, render, share
from kubecast.resources import Usage, most_of
from kubecast.scoring.conformal import ConformalQuantiles, conformal_scores
from kubecast.scoring.score_counts import ScoreCounts
from kubecast.scoring.significance import finite

MOST = 200  # series in the explorer
LEVELS = [0.1, 0.9]  # of the intervals
SHOWN = 25  # inputs in the chart of importance
OWN = "CatBoost's own figure: how much the prediction changes where the input does, in percent of all inputs."
SHUFFLED = (
    "How much the mean absolute scaled error rises where the input is shuffled, over windows of the"
    " validation split; the spread is its standard deviation over them."
)
UNSCORED = "No target of the validation split could be scored."
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
        changes: Of level, that the forecasts follow.
        part: The series that the page is about, of those that it was fitted to; None: all of them.
        shards: Tasks that fitted it, whose use of the machine is not on the page; 0: the page's own did.
    """

    name: str
    log: FitLog
    importance: list[Importance]
    about_importance: str
    forecasts: pd.DataFrame
    changes: LevelChanges
    part: Sample | None = None
    shards: int = 0

    @classmethod
    def evaluated(
        cls,
        forecaster: Forecaster,
        log: FitLog,
        panel: Panel,
        seed: int,
        forecasts: pd.DataFrame,
        changes: LevelChanges,
    ) -> "Fitted":
        """Explain a fit on the training split."""
        importance = importance_of(forecaster, panel, seed)
        about = OWN if isinstance(forecaster, HasFeatureImportance) else SHUFFLED if importance else UNSCORED
        return cls(forecaster.name, log, importance, about, forecasts, changes)

    @classmethod
    def production(
        cls,
        forecaster: Forecaster,
        log: FitLog,
        forecasts: pd.DataFrame,
        changes: LevelChanges,
        refused: bool = False,
    ) -> "Fitted":
        """A fit on all rows, or the evaluated one where that was refused, which is not explained again."""
        return cls(forecaster.name, log, [], REFUSED if refused else REPEATED, forecasts, changes)


def render_training(title: str, status: Status, fitted: Fitted | None, usage: Usage, panel: Panel) -> str:
    """Render one self-contained page.

    Args:
        title: Of the task.
        status: Says why there is no fit, or why it is not this one.
        fitted: None for a model that could not be fitted.
        usage: Of the task.
        panel: Gives the targets.
    """
    used = charts.usage_charts(usage)
    drawn = {f"usage-{title}": chart for title, chart in used.items()}
    score = None if fitted is None else fit_score(fitted.forecasts, panel, fitted.changes, fitted.name)
    about = {} if fitted is None else _about_fit(fitted)
    drawn |= _fit_charts(fitted) if fitted else {}
    return render(
        "training.html",
        drawn,
        _explorer(fitted, score, panel) if fitted and score else None,
        title=title,
        reason=status.reason,
        fitted=fitted is not None,
        tiles=_tiles(fitted, score, usage),
        usages=list(used),
        samples=len(usage.seconds),
        **about,
    )


def _tiles(fitted: Fitted | None, score: FitScore | None, usage: Usage) -> list[dict[str, str]]:
    """Error and skill first, then the time; resources where there is no fit."""
    if fitted is None:
        return [{"label": label, "value": figure(value), "about": ""} for label, value in _peaks(usage)][:4]
    tiles = []
    if score is not None:
        beside = f"{plain(score.naive)} {figure(score.naive_mase)}" if score.naive else ""
        tiles.append({"label": "MASE on the test split", "value": figure(score.mase), "about": beside})
        over = f"over {plain(score.naive)}, the strongest of the same rows" if score.naive else ""
        tiles.append({"label": "Skill", "value": share(score.skill), "about": over})
    ended = convergence(fitted.log)
    if ended.gap is not None:
        tiles.append({"label": "Gap", "value": share(ended.gap), "about": "validation loss above training"})
    seconds = {"label": "Seconds of the fit", "value": figure(fitted.log.seconds), "about": ""}
    return [*tiles, seconds]


def _about_fit(fitted: Fitted) -> dict[str, Any]:
    return {
        "log": fitted.log,
        "part": fitted.part,
        "shards": fitted.shards,
        "ended": convergence(fitted.log),
        "importance": fitted.importance,
        "about_importance": fitted.about_importance,
        "no_paths": fitted.about_importance
        if fitted.about_importance in (REPEATED, REFUSED)
        else "No series of the test split could be scored.",
    }


def _fit_charts(fitted: Fitted) -> dict[str, charts.Chart]:
    log, drawn = fitted.log, {}
    rates: Any = log.fixed_fit.get("learning_rates")
    if any(log.curves.values()):
        drawn["curves"] = charts.curve_chart(log.curves, log.best, f"Loss of {fitted.name} by step")
    if rates:
        drawn["rates"] = charts.rate_chart(rates)
    if fitted.importance:
        drawn["importance"] = charts.importance_chart(fitted.importance[:SHOWN])
    return drawn


def _peaks(usage: Usage) -> list[tuple[str, float]]:
    named: dict[str, Sequence[float | None]] = {
        "processors, at most": usage.cpu,
        "memory, GiB at most": usage.memory,
        "GPU share, at most": usage.gpu,
        "GPU memory, GiB at most": usage.gpu_memory,
    }
    peaks = [(label, most_of(values)) for label, values in named.items()]
    return [(label, most) for label, most in peaks if most is not None]


def _explorer(fitted: Fitted, score: FitScore, panel: Panel) -> Explorer | None:
    """Series of the test split, with intervals from the fit's own validation errors."""
    name, evaluated = fitted.name, fitted.forecasts[fitted.forecasts["split"].isin(["validation", "test"])]
    truth = panel.frame[["unique_id", "ds", "y", "observed"]]
    table = evaluated[[*KEYS, "split", name]].merge(truth, on=["unique_id", "ds"], how="left")
    table = with_level_ratio(table, fitted.changes, ScaleLevels.find(panel))
    validation, test = (table[table["split"] == split] for split in ("validation", "test"))
    validation = validation[before_test(panel, validation)]
    facts = _facts(score, panel, name)
    chosen = worst_and_largest(facts, MOST)
    test = test[test["unique_id"].isin(chosen)]
    scores = ScoreCounts.of_table(conformal_scores(validation, panel.series, name))
    levels = LEVELS if scores.size else []  # something of the validation split was observed
    if levels:
        quantiles = ConformalQuantiles.fit(scores, levels, panel.spec.horizon)
        scales = panel.series.set_index("unique_id")["scale"]
        test = quantiles.apply(test, {str(k): v for k, v in scales.items()}, name)
    paths = series_paths(test, panel, levels, chosen, name)
    return explorer(paths, facts, Forecasts(), panel.spec, score.naive)


def _facts(score: FitScore, panel: Panel, name: str) -> list[SeriesFacts]:
    sizes = sizes_of(panel)
    naive = score.by_series[score.naive].to_dict() if score.naive else {}
    return [
        SeriesFacts(
            unique_id=str(unique_id),
            size=sizes[str(unique_id)],
            mase=float(mase),
            naive_mase=finite(naive.get(unique_id)),
        )
        for unique_id, mase in score.by_series[name].items()
    ]
