"""The report of a run: what was decided, how good each model is, and the findings in the data."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from kubecast.evaluation.examples import ExampleSeries
from kubecast.evaluation.leaderboard import Evaluation, LeaderboardRow, SeriesRow
from kubecast.evaluation.residuals import Residuals
from kubecast.evaluation.skill import Skill
from kubecast.evaluation.verdict import verdict
from kubecast.models.base import FitLog
from kubecast.reports import charts
from kubecast.scoring.metrics import ENSEMBLE, METRICS, RANKING

LONGEST = 100  # rows of a table that grows with the data
MOST_SERIES = 1_000  # rows of the table by series
STEPS = 24  # rows of a table by lead time or season phase
ENDS = ("low end", "high end")


def render_report(evaluation: Evaluation) -> str:
    """Render one self-contained page: nothing fetched, the same bytes for the same input."""
    ranked = evaluation.ranked()
    return template("report.html").render(
        evaluation=evaluation,
        verdict=verdict(evaluation.decision),
        skill=evaluation.skill.get("test", Skill()),
        ensemble=evaluation.row(ENSEMBLE, "test"),
        metrics={name: metric for name, metric in METRICS.items() if name != RANKING},
        boards={split: _board(evaluation, split) for split in ("test", "validation")},
        summary=evaluation.ensemble,
        member_chart=charts.member_chart(evaluation.ensemble, "members"),
        spec=evaluation.spec,
        split_sentence=evaluation.spec.splits.describe(evaluation.spec.horizon),
        data=evaluation.data,
        lead_times=_lead_times(evaluation),
        by_series=_by_series(evaluation),
        series=len(ranked),
        paths=[series_view(example, f"path{at}") for at, example in enumerate(evaluation.examples)],
        coverage=_coverage(evaluation),
        folds=_folds(evaluation),
        versions=_versions(evaluation),
        residuals=_residuals(evaluation.residuals),
        fits=[_fit(name, log, f"fit{at}") for at, (name, log) in enumerate(evaluation.fits.items())],
        longest=LONGEST,
        most_series=MOST_SERIES,
    )


def template(name: str) -> Template:
    """One of the pages in ``templates/``; what goes into it is escaped."""
    environment = Environment(
        loader=PackageLoader("kubecast.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    formats: dict[str, Callable[[Any], str]] = {"figure": _figure, "percent": _percent}
    environment.filters |= {**formats, "formatted": lambda value, name: formats[name](value)}
    script = (files("kubecast.reports") / "templates" / "tables.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # The one script that the page's policy lets run.
    environment.globals |= {"script": Markup(script), "script_digest": digest}  # noqa: S704  our own file
    return environment.get_template(name)


def _figure(value: Any) -> str:
    """Four significant digits; large numbers whole; a dash for what is undefined."""
    if value is None or value != value:
        return "-"
    if 1e4 <= abs(value) < 1e12:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _board(evaluation: Evaluation, split: str) -> list[LeaderboardRow]:
    return [row for row in evaluation.leaderboard if row.split == split]


def _lead_times(evaluation: Evaluation) -> dict[str, Any]:
    """MASE on the test split: the chart of every lead time, and a table of some."""
    rows = [row for row in evaluation.by_lead_time if row.split == "test"]
    models = [row.model for row in _board(evaluation, "test")]
    lines = {model: [row.mase for row in rows if row.model == model] for model in models}
    steps = sorted({row.lead_time for row in rows})
    return {
        "chart": charts.lead_time_chart(lines, ENSEMBLE, evaluation.season_length, "lead"),
        "models": models,
        "rows": [(steps[at], [lines[model][at] for model in models]) for at in _some(len(steps))],
    }


def series_view(example: ExampleSeries, name: str) -> dict[str, Any]:
    """The chart and the table of one series, under a name that is unique in the page."""
    bands = list(example.bands.items())[:1]
    columns = [example.ds, example.actual, example.forecast, *(bound for _, pair in bands for bound in pair)]
    return {
        "example": example,
        "chart": charts.forecast_chart(example, name),
        "columns": ["ds", "y", example.model, *(f"{end} of {level} %" for level, _ in bands for end in ENDS)],
        "rows": list(zip(*columns, strict=True))[:LONGEST],
        "total": len(example.ds),
    }


def _by_series(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Each series with the ensemble's figures and its best member, the worst first."""
    members: dict[str, list[SeriesRow]] = {}
    for row in evaluation.by_series:
        if row.split == "test" and row.model != ENSEMBLE and row.mase is not None:
            members.setdefault(row.unique_id, []).append(row)
    rows = []
    for row in evaluation.ranked()[::-1][:MOST_SERIES]:
        best = min(members.get(row.unique_id, []), key=lambda member: member.mase or 0.0, default=None)
        rows.append({"own": row, "best": best})
    return rows


def _versions(evaluation: Evaluation) -> dict[str, Any] | None:
    """The ensemble's figures beside those of earlier versions; None where there are none."""
    earlier = evaluation.earlier
    if not earlier:
        return None
    own = evaluation.row(ENSEMBLE, "test")
    rows = [(each.version, each.champion, each.mase, each.skill, each.coverage) for each in earlier]
    rows.append(("this version", False, own.mase, own.skill, own.coverage))
    known = [each.mase for each in earlier if each.mase is not None]
    champion = next((at for at, each in enumerate(earlier) if each.champion), None)
    names = [*(f"{each.created:%Y-%m-%d %H:%M}" for each in earlier), "this version"]
    return {
        "rows": rows,
        "level": next(iter(own.coverage), None),
        "range": (min(known), max(known)) if known else None,
        "own": own.mase,
        "chart": charts.version_chart(names, [row[2] for row in rows], champion, "versions"),
    }


def _folds(evaluation: Evaluation) -> dict[str, Any]:
    """MASE by fold of both splits, oldest first: whether a model is as good in each."""
    models = [row.model for row in _board(evaluation, "test")]
    mase: dict[tuple[str, int], dict[str, float | None]] = {}
    for row in evaluation.by_fold:
        mase.setdefault((row.split, row.fold), {})[row.model] = row.mase
    ordered = sorted(mase, key=lambda key: (key[0] == "test", key[1]))
    rows = [
        (f"{split} {fold + 1}", [mase[split, fold].get(model) for model in models]) for split, fold in ordered
    ]
    lines = {model: [values[at] for _, values in rows] for at, model in enumerate(models)}
    return {
        "rows": rows,
        "spread": [(model, *_spread(values)) for model, values in lines.items()],
        "chart": charts.fold_chart(
            [name for name, _ in rows], lines, ENSEMBLE, evaluation.season_length, "fold"
        ),
    }


def _spread(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean over folds, and the standard deviation by the mean."""
    known = [value for value in values if value is not None]
    mean = float(np.mean(known)) if known else None
    return mean, float(np.std(known, ddof=1)) / mean if mean and len(known) > 1 else None


def _residuals(residuals: Residuals | None) -> dict[str, Any] | None:
    if residuals is None:
        return None
    return {
        "figures": residuals,
        "histogram": charts.histogram_chart(residuals.edges, residuals.counts, "histogram"),
        "quantiles": charts.quantile_chart(residuals.normal, residuals.observed, "quantiles"),
        "correlation": charts.correlation_chart(residuals.autocorrelation, residuals.bands, "correlation")
        if residuals.bands
        else None,
    }


def _coverage(evaluation: Evaluation) -> dict[str, Any]:
    """Observed coverage by nominal level, by lead time and by season phase, with charts."""
    test, validation = (evaluation.row(ENSEMBLE, split).coverage for split in ("test", "validation"))
    pairs = {level: (float(level) / 100, observed) for level, observed in test.items()}
    by_step: dict[str, dict[int, dict[str, float]]] = {
        "lead time": {
            row.lead_time: row.coverage
            for row in evaluation.by_lead_time
            if (row.split, row.model) == ("test", ENSEMBLE)
        },
        "season phase": {row.phase: row.coverage for row in evaluation.by_phase if row.split == "test"},
    }
    return {
        "chart": charts.coverage_chart(pairs, "coverage") if pairs else None,
        "levels": list(test),
        "steps": {
            title: _coverage_steps(title, coverages, list(test), f"coverage-{at}")
            for at, (title, coverages) in enumerate(by_step.items())
            if len(coverages) > 1 and test
        },
        "rows": [(level, observed, validation.get(level)) for level, observed in test.items()],
    }


def _coverage_steps(
    title: str, coverages: dict[int, dict[str, float]], levels: Sequence[str], name: str
) -> dict[str, Any]:
    lines = {level: [coverage.get(level) for coverage in coverages.values()] for level in levels}
    steps = list(coverages)
    return {
        "chart": charts.coverage_step_chart(lines, title, name),
        "rows": [(steps[at], [lines[level][at] for level in levels]) for at in _some(len(steps))],
    }


def _some(count: int) -> list[int]:
    """Positions of at most ``STEPS`` of so many rows, evenly spread, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, STEPS).astype(int)).tolist() if count else []


def _fit(name: str, log: FitLog, chart: str) -> dict[str, Any]:
    drawn = any(log.curves.values())
    return {
        "name": name,
        "log": log,
        "chart": charts.curve_chart(log.curves, log.best, name, chart) if drawn else None,
        "last_losses": {label: values[-1] for label, values in log.curves.items() if values},
        "fallbacks": list(log.fallbacks.items())[:LONGEST],
    }
