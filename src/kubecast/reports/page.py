"""The report of a run: what was decided, how good each model is, and what the data was like."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from kubecast.diagnostics import Residuals
from kubecast.evaluation import Evaluation, LeaderboardRow, LeadTimeRow, PhaseRow, SeriesRow
from kubecast.metrics import ENSEMBLE, intervals, quantile_column
from kubecast.models.base import FitLog
from kubecast.models.ensemble import StackRecipe
from kubecast.panel import Panel
from kubecast.reports import charts

LONGEST = 100  # rows of a table that grows with the data
LEAD_TIMES = 24  # rows of the table by lead time
WORST = 10  # series in the table of the worst
HISTORY = 3  # horizons drawn before an origin


def render_report(
    evaluation: Evaluation,
    recipe: StackRecipe,
    panel: Panel,
    logs: Mapping[str, FitLog | None],
    table: pd.DataFrame,
) -> str:
    """Render one self-contained page: no script, nothing fetched, the same bytes for the same input.

    Args:
        evaluation: From ``kubecast.evaluation.evaluate``.
        recipe: Weights.
        panel: Gives the data report.
        logs: By model; None for one that was not fitted.
        table: The forecasts that were evaluated.
    """
    ranked = _ranked(evaluation)
    fitted = {name: log for name, log in sorted(logs.items()) if log is not None}
    return template("report.html").render(
        evaluation=evaluation,
        ensemble=evaluation.row(ENSEMBLE, "test"),
        boards={part: _board(evaluation, part) for part in ("test", "validation")},
        recipe=recipe,
        weights=sorted(recipe.weights.items(), key=lambda item: -item[1]),
        spec=panel.spec,
        data=panel.report,
        lead_times=_lead_times(evaluation),
        worst=ranked[::-1][:WORST],
        series=len(ranked),
        paths=[
            series_view(title, unique_id, mase, table, ENSEMBLE, recipe.quantiles.levels, f"path{at}")
            for at, (title, unique_id, mase) in enumerate(
                chosen_series([(row.unique_id, row.mase) for row in ranked])
            )
        ],
        coverage=_coverage(evaluation),
        blocks=_blocks(evaluation),
        residuals=_residuals(evaluation.residuals),
        fits=[_fit(name, log, f"fit{at}") for at, (name, log) in enumerate(fitted.items())],
        longest=LONGEST,
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
    environment.filters |= {"figure": _figure, "percent": _percent}
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


def _board(evaluation: Evaluation, part: str) -> list[LeaderboardRow]:
    return [row for row in evaluation.leaderboard if row.part == part]


def _ranked(evaluation: Evaluation) -> list[SeriesRow]:
    """Series by the ensemble's MASE on the test part, best first."""
    rows = [row for row in evaluation.by_series if row.part == "test" and row.model == ENSEMBLE]
    return sorted((row for row in rows if row.mase is not None), key=lambda row: (row.mase, row.unique_id))


def chosen_series(ranked: Sequence[tuple[str, float | None]]) -> list[tuple[str, str, float | None]]:
    """The best, the median and the worst of series with their MASE, best first; or all of few."""
    if len(ranked) < 3:
        return [("series", *found) for found in ranked]
    return [("best", *ranked[0]), ("median", *ranked[len(ranked) // 2]), ("worst", *ranked[-1])]


def _lead_times(evaluation: Evaluation) -> dict[str, Any]:
    """MASE on the test part: the chart of every lead time, and a table of some."""
    rows = [row for row in evaluation.by_lead_time if row.part == "test"]
    models = [row.model for row in _board(evaluation, "test")]
    lines = {model: [row.mase for row in rows if row.model == model] for model in models}
    steps = sorted({row.lead_time for row in rows})
    kept = np.unique(np.linspace(0, len(steps) - 1, LEAD_TIMES).astype(int)).tolist() if steps else []
    return {
        "chart": charts.lead_time_chart(lines, ENSEMBLE, evaluation.season_length, "lead"),
        "models": models,
        "rows": [(steps[at], [lines[model][at] for model in models]) for at in kept],
    }


def series_view(
    title: str,
    unique_id: str,
    mase: float | None,
    table: pd.DataFrame,
    model: str,
    levels: Sequence[float],
    name: str,
) -> dict[str, Any]:
    """One series' forecast from the last test origin, with the actuals before it that the table holds.

    Args:
        title: What the series stands for.
        unique_id: Of the series.
        mase: Of the model over the test part of the series.
        table: Forecasts beside their targets, with quantile columns.
        model: Column of the point forecasts.
        levels: Of the quantile columns.
        name: Unique in the page.
    """
    own = table[table["unique_id"] == unique_id]
    cutoff = own.loc[own["part"] == "test", "cutoff"].max()
    horizon = own[(own["cutoff"] == cutoff) & (own["part"] == "test")]
    history = own[own["ds"] <= cutoff].drop_duplicates("ds").sort_values("ds").tail(HISTORY * len(horizon))
    bands = {
        level: (quantile_column(low), quantile_column(high))
        for level, (low, high) in intervals(levels).items()
        if level == next(iter(intervals(levels))) or float(level) == 40
    }
    drawn = charts.Path(unique_id, history, horizon, model, bands)
    columns = ["ds", "y", model, *(column for band in list(bands.values())[:1] for column in band)]
    return {
        "title": title,
        "unique_id": unique_id,
        "mase": mase,
        "cutoff": cutoff,
        "chart": charts.forecast_chart(drawn, name),
        "columns": columns,
        "rows": horizon[columns].head(LONGEST).values.tolist(),
        "total": len(horizon),
    }


def _blocks(evaluation: Evaluation) -> dict[str, Any]:
    """MASE by block of both parts, oldest first: whether a model is as good in each."""
    models = [row.model for row in _board(evaluation, "test")]
    found: dict[tuple[str, int], dict[str, float | None]] = {}
    for row in evaluation.by_block:
        found.setdefault((row.part, row.block), {})[row.model] = row.mase
    ordered = sorted(found, key=lambda key: (key[0] == "test", key[1]))
    rows = [
        (f"{part} {block + 1}", [found[part, block].get(model) for model in models])
        for part, block in ordered
    ]
    lines = {model: [values[at] for _, values in rows] for at, model in enumerate(models)}
    return {
        "rows": rows,
        "spread": [(model, *_spread(values)) for model, values in lines.items()],
        "chart": charts.block_chart(
            [name for name, _ in rows], lines, ENSEMBLE, evaluation.season_length, "block"
        ),
    }


def _spread(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean over blocks, and the standard deviation by the mean."""
    known = [value for value in values if value is not None]
    mean = float(np.mean(known)) if known else None
    return mean, float(np.std(known, ddof=1)) / mean if mean and len(known) > 1 else None


def _residuals(found: Residuals | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "figures": found,
        "histogram": charts.histogram_chart(found.edges, found.counts, "histogram"),
        "quantiles": charts.quantile_chart(found.normal, found.observed, "quantiles"),
        "correlation": charts.correlation_chart(found.autocorrelation, found.band, "correlation")
        if found.band is not None
        else None,
    }


def _coverage(evaluation: Evaluation) -> dict[str, Any]:
    """Observed coverage by nominal level, by lead time and by season phase, and charts of them."""
    test, validation = (evaluation.row(ENSEMBLE, part).coverage for part in ("test", "validation"))
    pairs = {level: (float(level) / 100, observed) for level, observed in test.items()}
    steps: dict[str, Sequence[LeadTimeRow | PhaseRow]] = {
        "lead time": [row for row in evaluation.by_lead_time if (row.part, row.model) == ("test", ENSEMBLE)],
        "season phase": [row for row in evaluation.by_phase if row.part == "test"],
    }
    lines = {
        title: {level: [row.coverage.get(level) for row in rows] for level in test}
        for title, rows in steps.items()
        if len(rows) > 1
    }
    return {
        "chart": charts.coverage_chart(pairs, "coverage") if pairs else None,
        "steps": {
            title: charts.coverage_step_chart(found, title, f"coverage-{at}")
            for at, (title, found) in enumerate(lines.items())
            if found
        },
        "rows": [(level, observed, validation.get(level)) for level, observed in test.items()],
    }


def _fit(name: str, log: FitLog, chart: str) -> dict[str, Any]:
    drawn = any(log.curves.values())
    return {
        "name": name,
        "log": log,
        "chart": charts.curve_chart(log.curves, log.best, chart) if drawn else None,
        "final": {label: values[-1] for label, values in log.curves.items() if values},
        "fallbacks": list(log.fallbacks.items())[:LONGEST],
    }
