"""The charts of a training run's page, each of them a function of its figures."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from kubecast.data.clock import wall_clock
from kubecast.evaluation.leaderboard import Evaluation
from kubecast.evaluation.rows import LeadTimeRow, PhaseRow
from kubecast.evaluation.words import plain
from kubecast.reports import charts
from kubecast.reports.charts import Chart
from kubecast.scoring.metrics import ENSEMBLE


def report_charts(evaluation: Evaluation, naive: str | None) -> dict[str, Chart]:
    """The charts that the figures allow, by the name that the template puts them under.

    Args:
        evaluation: The figures.
        naive: The strongest naive forecast of the test split.
    """
    drawn = {
        "whiskers": _whiskers(evaluation),
        "lead": _lead_times(evaluation, naive),
        "origins": _origins(evaluation, naive),
        "segments": _segments(evaluation, naive),
        "calibration": _calibration(evaluation),
        "members": charts.member_chart(evaluation.ensemble),
        "champion": _champion(evaluation),
        "versions": _version_chart(evaluation),
        **_coverage_charts(evaluation),
        **(charts.residual_charts(evaluation.residuals) if evaluation.residuals else {}),
        **{
            f"fit-{name}": charts.curve_chart(log.curves, log.best, f"Loss of {name} by step")
            for name, log in evaluation.fits.items()
            if any(log.curves.values())
        },
    }
    return {name: chart for name, chart in drawn.items() if chart is not None}


def _whiskers(evaluation: Evaluation) -> Chart | None:
    """The difference of each model to the ensemble, with its 95 % interval."""
    rows = [row for row in evaluation.board("test") if row.model != ENSEMBLE and row.difference is not None]
    if not rows:
        return None
    ends = [row.difference_interval for row in rows]
    group = {
        "name": "MASE less the ensemble's",
        "style": "own",
        "values": [row.difference for row in rows],
        "low": [each.low if each else row.difference for row, each in zip(rows, ends, strict=True)],
        "high": [each.high if each else row.difference for row, each in zip(rows, ends, strict=True)],
    }
    return charts.bars(
        "MASE of each model less the ensemble's on the same targets, with 95 % intervals",
        [plain(row.model) for row in rows],
        [group],
        x_label="MASE less the ensemble's",
        rules=[0.0],
    )


def _lead_times(evaluation: Evaluation, naive: str | None) -> Chart | None:
    rows = [row for row in evaluation.by_lead_time if row.split == "test"]
    models = [model for model in (ENSEMBLE, naive) if model]
    return _mase_lines(
        "MASE by lead time",
        {model: {row.lead_time: row.mase for row in rows if row.model == model} for model in models},
        "steps ahead",
    )


def _origins(evaluation: Evaluation, naive: str | None) -> Chart | None:
    zone = evaluation.spec.timezone
    models = [model for model in (ENSEMBLE, naive) if model]
    rows = {
        model: {row.cutoff: row.mase for row in evaluation.by_origin if row.model == model}
        for model in models
    }
    if len(rows[ENSEMBLE]) < 2:
        return None
    seconds = (
        wall_clock(pd.DatetimeIndex([*rows[ENSEMBLE]]), zone).to_numpy("datetime64[s]").astype(int).tolist()
    )
    timed = {
        model: dict(zip(seconds, values.values(), strict=True)) for model, values in rows.items() if values
    }
    return _mase_lines("MASE by test origin", timed, "origin", "utc")


def _mase_lines(
    label: str, values: Mapping[str, Mapping[Any, float | None]], x_label: str, x_type: str = "linear"
) -> Chart | None:
    x = list(values[ENSEMBLE])
    if not x:
        return None
    named = {plain(model): [line.get(at) for at in x] for model, line in values.items()}
    return charts.lines(
        f"{label}: {' and '.join(named)}", x, named, x_label=x_label, y_label="MASE", x_type=x_type
    )


def _segments(evaluation: Evaluation, naive: str | None) -> Chart | None:
    rows = evaluation.by_segment
    if not rows:
        return None
    models = [(ENSEMBLE, "own"), *([(naive, "naive")] if naive else [])]
    groups = [
        {"name": plain(model), "style": style, "values": [row.mase.get(model) for row in rows]}
        for model, style in models
    ]
    names = [f"{row.segment} ({row.series:,})" for row in rows]
    return charts.bars(f"MASE by segment: {rows[0].by}", names, groups, x_label="MASE")


def _calibration(evaluation: Evaluation) -> Chart | None:
    levels = [float(level) for level in evaluation.calibration]
    if not levels:
        return None
    values = {"observed": list(evaluation.calibration.values()), "right": levels}
    return charts.lines(
        "Share of actuals at or below each quantile; on the dashed line where it is right",
        levels,
        values,
        x_label="quantile",
        y_label="actuals at or below",
        percent=True,
    )


def _champion(evaluation: Evaluation) -> Chart | None:
    if (comparison := evaluation.decision.comparison) is None:
        return None
    values = [comparison.mase, comparison.champion_mase]
    group = {"name": "MASE", "style": "own", "values": values}
    return charts.bars(
        "MASE of this version and of the champion on the same targets",
        ["this version", "champion"],
        [group],
        x_label="MASE, same targets",
    )


def _version_chart(evaluation: Evaluation) -> Chart | None:
    if not evaluation.earlier:
        return None
    names = [f"{each.created:%Y-%m-%d %H:%M}" for each in evaluation.earlier]
    skill = [*(each.skill for each in evaluation.earlier), evaluation.row(ENSEMBLE, "test").skill]
    return charts.lines(
        "Skill of earlier versions and of this one, each on the newest rows of its own time",
        charts.distinct([*names, "this version"]),
        {"skill": skill},
        x_label="published",
        y_label="skill",
        x_type="point",
        percent=True,
    )


def _coverage_charts(evaluation: Evaluation) -> dict[str, Chart]:
    level = next(iter(evaluation.row(ENSEMBLE, "test").coverage), None)
    if level is None:
        return {}
    lead = [row for row in evaluation.by_lead_time if (row.split, row.model) == ("test", ENSEMBLE)]
    phase = [row for row in evaluation.by_phase if row.split == "test"]
    drawn = {
        "coverage-lead": _coverage_line("lead time", level, {row.lead_time: row for row in lead}),
        "coverage-phase": _coverage_line("season phase", level, {row.phase: row for row in phase}),
    }
    return {name: chart for name, chart in drawn.items() if chart}


def _coverage_line(what: str, level: str, rows: Mapping[int, LeadTimeRow | PhaseRow]) -> Chart | None:
    if len(rows) < 2:
        return None
    return charts.lines(
        f"Share of actuals that the {level} % interval holds, by {what}; nominal is dotted",
        list(rows),
        {f"{level} % interval": [row.coverage.get(level) for row in rows.values()]},
        x_label=f"{what}, steps",
        y_label="actuals inside",
        percent=True,
        rules=[float(level) / 100],
    )
