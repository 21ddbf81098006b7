"""The page of a training run: the verdict, the forecasts, and why they can be trusted or not."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from kubecast.data.clock import wall_clock
from kubecast.data.findings import Finding
from kubecast.evaluation.changes import Period
from kubecast.evaluation.examples import ExampleSeries
from kubecast.evaluation.leaderboard import Evaluation
from kubecast.evaluation.paths import SeriesPath
from kubecast.evaluation.scores import SPLITS
from kubecast.evaluation.series_facts import WORSE, SeriesFacts
from kubecast.evaluation.skill import Skill
from kubecast.evaluation.verdict import verdict
from kubecast.evaluation.words import percent, plain
from kubecast.models.base import FitLog
from kubecast.reports.charts import Chart
from kubecast.reports.explorer import Explorer, Forecasts, explorer
from kubecast.reports.html import count, figure, render, share
from kubecast.reports.report_charts import report_charts
from kubecast.scoring.metrics import ENSEMBLE, METRICS, RANKING

LONGEST = 100  # rows of a table that grows with the data
NEAR = 0.05  # of the nominal coverage: intervals that are as far off are right enough


class Report:
    """The page of a training run; its drawings are made once, however often it is rendered."""

    def __init__(self, evaluation: Evaluation, forecast: pd.DataFrame | None = None) -> None:
        """Take what the page shows; nothing is made yet.

        Args:
            evaluation: The figures, and the newest actuals.
            forecast: Beyond the data, as it is published; None: the page shows none.
        """
        self._evaluation = evaluation
        self._forecast = forecast
        self._skill = evaluation.skill.get("test", Skill())

    @property
    def name(self) -> str:
        """The model's name, where the run knows it."""
        return self._evaluation.made_with.get("model", "") or "Forecasting report"

    @cached_property
    def _charts(self) -> dict[str, Chart]:
        return report_charts(self._evaluation, self._skill.naive)

    @cached_property
    def _explorer(self) -> Explorer:
        return _explorer(self._evaluation, self._forecast, self._skill.naive)

    def render(self, version: str = "") -> str:
        """Render one self-contained page: nothing fetched, the same bytes for the same input.

        Args:
            version: ``NAME@VERSION``; empty where it is not known yet.
        """
        model = version.partition("@")[0] or self._evaluation.made_with.get("model", "")
        return render(
            "report.html",
            self._charts,
            self._explorer,
            version=version,
            name=model or self.name,
            model=model or "NAME",
            **_context(self._evaluation, self._skill),
        )


def render_report(evaluation: Evaluation, forecast: pd.DataFrame | None = None, version: str = "") -> str:
    """Render the page of a run or of a version at once; see ``Report``."""
    return Report(evaluation, forecast).render(version)


def _context(evaluation: Evaluation, skill: Skill) -> dict[str, Any]:
    """What the template shows beside the drawings."""
    return {
        "verdict": verdict(evaluation.decision),
        "worse": _worse_series(evaluation.series, skill),
        "split_sentence": evaluation.spec.splits.describe(evaluation.spec.horizon),
        "tiles": _tiles(evaluation, skill),
        "evaluation": evaluation,
        "period": _period(evaluation),
        "skill": skill,
        "boards": {split: evaluation.board(split) for split in SPLITS},
        "weights": {member.model: member.weight for member in evaluation.ensemble.members},
        "metrics": {name: metric for name, metric in METRICS.items() if name != RANKING},
        "summary": evaluation.ensemble,
        "spec": evaluation.spec,
        "data": evaluation.data,
        "findings": _findings(evaluation.data.findings),
        "folds": _folds(evaluation),
        "coverage": _coverage(evaluation),
        "versions": _versions(evaluation),
        "fits": [_fit(name, log) for name, log in evaluation.fits.items()],
        "residuals": evaluation.residuals,
        "longest": LONGEST,
    }


def _tiles(evaluation: Evaluation, skill: Skill) -> list[dict[str, str]]:
    own = evaluation.row(ENSEMBLE, "test")
    if not evaluation.decision.evaluated:
        about = "the history is too short for a test split"
        return [{"label": "Test split", "value": "none", "about": about}, _series_tile(evaluation.series)]
    tiles = [
        {"label": f"Skill over {skill.label}", "value": share(skill.value), "about": _interval(skill)},
        {"label": "MASE on the test split", "value": figure(own.mase), "about": _beside(evaluation, skill)},
    ]
    for level, observed in list(own.coverage.items())[:1]:
        off = observed - float(level) / 100
        too = "wide" if off > 0 else "narrow"
        about = "within 5 points" if abs(off) <= NEAR else f"too {too} by {100 * abs(off):.1f} points"
        label = f"The {level} % interval holds"
        tiles.append({"label": label, "value": share(observed), "about": f"of the actuals: {about}"})
    return [*tiles, _series_tile(evaluation.series)]


def _interval(skill: Skill) -> str:
    if skill.interval is None:
        return "too few origins and series for an interval"
    text = f"95 %: {percent(skill.interval.low)} to {percent(skill.interval.high)}"
    return text if skill.dates is None else f"{text} on {count(skill.dates, 'separate horizon')}"


def _beside(evaluation: Evaluation, skill: Skill) -> str:
    """The naive, and the member that was best in the end."""
    mase = {row.model: row.mase for row in evaluation.board("test")}
    texts = [f"{skill.label} {figure(mase.get(skill.naive))}"] if skill.naive else []
    best = evaluation.strongest_member("test")
    if best is not None and best.model != skill.naive:
        texts.append(f"best member, chosen afterwards: {plain(best.model)} {figure(best.mase)}")
    return " \u00b7 ".join(texts)


def _worse_series(facts: Sequence[SeriesFacts], skill: Skill) -> str:
    """How many series are flagged as ``naive is better``; empty where there is one series, or none is."""
    scored = [fact for fact in facts if fact.loss is not None]
    worse = sum(fact.naive_is_better for fact in scored)
    margin = percent(WORSE - 1, 0)
    text = f"{worse:,} of {len(scored):,} series are forecast worse than by {skill.label}, by over {margin}."
    return text if len(scored) > 1 and worse else ""


def _series_tile(facts: Sequence[SeriesFacts]) -> dict[str, str]:
    if not facts:  # a leaderboard of before
        return {
            "label": "Series to look at",
            "value": "unknown",
            "about": "this version was made without flags",
        }
    flags = Counter(flag for fact in facts for flag in fact.flags)
    about = ", ".join(f"{number} {flag}" for flag, number in flags.most_common(4))
    flagged = sum(bool(fact.flags) for fact in facts)
    return {
        "label": "Series to look at",
        "value": f"{flagged:,} of {len(facts):,}",
        "about": about or "nothing is flagged",
    }


def _explorer(evaluation: Evaluation, forecast: pd.DataFrame | None, naive: str | None) -> Explorer:
    paths = evaluation.paths or [_path(example) for example in evaluation.examples]
    facts = evaluation.series or [
        SeriesFacts(unique_id=row.unique_id, size=0.0, mase=row.mase) for row in evaluation.ranked()
    ]
    return explorer(paths, facts, Forecasts.read(forecast, evaluation.spec), evaluation.spec, naive)


def _path(example: ExampleSeries) -> SeriesPath:
    """What leaderboards of before had of three series."""
    level, (low, high) = next(iter(example.bands.items()), ("", ([], [])))
    return SeriesPath(
        unique_id=example.unique_id,
        begins=(example.history_ds + example.ds)[0],
        y=example.history + example.actual,
        at=len(example.history),
        forecast=example.forecast,
        level=level,
        low=low,
        high=high,
    )


def _period(evaluation: Evaluation) -> dict[str, str]:
    """The times of the data and of the test split, on the data's clock."""
    if evaluation.period is None:
        return dict.fromkeys(Period.model_fields, "")
    known = {name: moment for name, moment in evaluation.period if moment is not None}
    times = wall_clock(pd.DatetimeIndex([*known.values()]), evaluation.spec.timezone)
    days = all(moment == moment.normalize() for moment in times)
    return dict.fromkeys(Period.model_fields, "") | {
        name: f"{at:%Y-%m-%d}" if days else f"{at:%Y-%m-%d %H:%M}"
        for name, at in zip(known, times, strict=True)
    }


def _findings(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """The findings by kind, with the number of series that each concerns."""
    ordered = sorted(findings, key=lambda finding: finding.what)
    groups = [(what, list(group)) for what, group in groupby(ordered, key=lambda finding: finding.what)]
    return [
        {
            "what": plain(what),
            "series": len({finding.series for finding in group if finding.series}),
            "rows": group[:LONGEST],
            "total": len(group),
        }
        for what, group in groups
    ]


def _versions(evaluation: Evaluation) -> list[tuple[Any, ...]]:
    """Version, whether it was champion, MASE, skill and coverage of earlier ones and of this one."""
    earlier = evaluation.earlier
    own = evaluation.row(ENSEMBLE, "test")
    level = next(iter(own.coverage), "")
    rows = [(e.version, e.champion, e.mase, e.skill, e.coverage.get(level)) for e in earlier]
    return [*rows, ("this version", False, own.mase, own.skill, own.coverage.get(level))] if rows else []


def _folds(evaluation: Evaluation) -> dict[str, Any]:
    """MASE by fold of both splits, oldest first: whether a model is as good in each."""
    models = [row.model for row in evaluation.board("test")]
    mase: dict[tuple[str, int], dict[str, float | None]] = {}
    for row in evaluation.by_fold:
        mase.setdefault((row.split, row.fold), {})[row.model] = row.mase
    ordered = sorted(mase, key=lambda key: (key[0] == "test", key[1]))
    lines = {model: [mase[key].get(model) for key in ordered] for model in models}
    return {
        "names": [f"{split} {fold + 1}" for split, fold in ordered],
        "rows": [(model, *_spread(values), values) for model, values in lines.items()],
    }


def _spread(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean over folds, and the standard deviation by the mean."""
    known = [value for value in values if value is not None]
    mean = float(np.mean(known)) if known else None
    return mean, float(np.std(known, ddof=1)) / mean if mean and len(known) > 1 else None


def _coverage(evaluation: Evaluation) -> list[tuple[str, float, float | None]]:
    """Nominal coverage, and what was observed on the test and on the validation split."""
    test, validation = (evaluation.row(ENSEMBLE, split).coverage for split in ("test", "validation"))
    return [(level, observed, validation.get(level)) for level, observed in test.items()]


def _fit(name: str, log: FitLog) -> dict[str, Any]:
    return {
        "name": name,
        "log": log,
        "last_losses": {label: values[-1] for label, values in log.curves.items() if values},
        "fallbacks": list(log.fallbacks.items())[:LONGEST],
    }
