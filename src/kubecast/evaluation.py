"""What every model and the ensemble score, and whether the ensemble may be promoted."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from kubecast.metrics import (
    ENSEMBLE,
    POINT_METRICS,
    Metrics,
    count_points,
    intervals,
    lead_times,
    overall,
    quantile_column,
    scorable,
    series_metrics,
    series_with_means,
)
from kubecast.models.ensemble import SEASONAL_NAIVE, StackRecipe
from kubecast.panel import Panel, Part

PARTS: tuple[Part, Part] = ("test", "validation")
COVERAGE_FLOOR = 0.625  # of the nominal coverage: 50 % where 80 % is nominal
DISJOINT_ORIGINS = 10  # from which the spread over origins tells more than that over series
MANY_SERIES = 20


class _Json(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Figures(_Json):
    """Metrics of one model; None where undefined.

    Attributes:
        model: Column of the forecasts.
        part: Of the data.
        coverage: Share of targets inside each interval, by its nominal coverage in percent; the ensemble's.
        scored: Targets that count.
        skipped: Targets that were not observed or whose series has no scale.
    """

    model: str
    part: Part
    mase: float | None = None
    rmsse: float | None = None
    mae: float | None = None
    mse: float | None = None
    rmse: float | None = None
    r2: float | None = None
    wape: float | None = None
    smape: float | None = None
    wql: float | None = None
    coverage: dict[str, float] = {}
    scored: int = 0
    skipped: int = 0


class LeaderboardRow(Figures):
    """One model over one part.

    Attributes:
        skill: 1 - MASE / MASE of the best seasonal naive.
        mase_median: Over series.
        mase_worst_five: Share of the sum of all series' MASE that the five worst have.
        undefined: Reason by metric that has no value.
    """

    skill: float | None = None
    mase_median: float | None = None
    mase_worst_five: float | None = None
    undefined: dict[str, str] = {}


class LeadTimeRow(Figures):
    """One model at one lead time, in steps from 1."""

    lead_time: int


class SeriesRow(Figures):
    """One model on one series."""

    unique_id: str


class BlockRow(Figures):
    """One model on one block of origins."""

    block: int


class Paired(_Json):
    """The ensemble's MASE on the test part less that of the best member, on the same targets.

    Attributes:
        against: The member chosen on the validation part.
        difference: Below 0 where the ensemble is better.
        standard_error: None where there is too little to tell.
        over: What the error was estimated over: origins, allowing for their overlap, or series.
        origins: Number of origins.
        disjoint_origins: How many of them have separate targets.
        series: Number of series.
    """

    against: str
    difference: float | None
    standard_error: float | None
    over: Literal["origins", "series"] | None
    origins: int
    disjoint_origins: int
    series: int


class Check(_Json):
    """One condition of promotion: ``value`` against what is ``allowed``."""

    name: str
    value: float | None
    allowed: str
    passed: bool


class Decision(_Json):
    """Whether the version may become the champion.

    Attributes:
        promote: All checks passed.
        champion: The version that it was compared with; None: there was none.
        reasons: One sentence for each check that failed, else what was compared.
        checks: All of them.
    """

    promote: bool
    champion: str | None = None
    reasons: list[str]
    checks: list[Check]


class Evaluation(_Json):
    """Every figure of a run; its JSON is ``leaderboard.json``.

    Attributes:
        frequency: Of the panel.
        horizon: In steps.
        season_length: MASE's m.
        best_naive: The seasonal naive with the smallest MASE on the validation part; skill is against it.
        best_member: The member with the smallest MASE on the validation part.
        missing: Reason by configured model that failed.
        scoring: Metrics that short tables show beside MASE and skill.
        leaderboard: Best first, the test part before the validation part.
        by_lead_time: In order of lead time.
        by_series: In order of series.
        by_block: In order of block.
        paired: The ensemble against the best member.
        decision: Of the gate.
    """

    schema_version: Literal[1] = 1
    frequency: str
    horizon: int
    season_length: int
    best_naive: str | None
    best_member: str
    missing: dict[str, str] = {}
    scoring: list[str]
    leaderboard: list[LeaderboardRow]
    by_lead_time: list[LeadTimeRow]
    by_series: list[SeriesRow]
    by_block: list[BlockRow]
    paired: Paired
    decision: Decision

    def row(self, model: str, part: Part) -> LeaderboardRow:
        """The row of a model over a part."""
        return next(row for row in self.leaderboard if row.model == model and row.part == part)

    def summary(self) -> dict[str, float]:
        """The ensemble's figures on the test part that have a value."""
        row = self.row(ENSEMBLE, "test")
        names = (*POINT_METRICS, "wql", "skill", "mase_median")
        figures = {name: getattr(row, name) for name in names}
        figures |= {f"coverage_{level}": value for level, value in row.coverage.items()}
        return {name: value for name, value in figures.items() if value is not None}

    def markdown(self) -> str:
        """The leaderboard of the test part as a table."""
        columns = ["model", "mase", "skill", *self.scoring]
        lines = [
            f"MASE with m = {self.season_length}; skill against {self.best_naive or 'no seasonal naive'}",
            "",
            f"| {' | '.join(columns)} |",
            f"|{'---|' * len(columns)}",
        ]
        for row in self.leaderboard:
            if row.part == "test":
                lines.append(f"| {' | '.join(_text(getattr(row, column)) for column in columns)} |")
        passed = "passed" if self.decision.promote else "not passed"
        return "\n".join(
            [*lines, "", f"**Promotion checks {passed}**: {'; '.join(self.decision.reasons)}", ""]
        )


def _text(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def evaluate(
    table: pd.DataFrame, panel: Panel, recipe: StackRecipe, scoring: Sequence[str] = ("mse", "mae", "r2")
) -> Evaluation:
    """Score every member and the ensemble, and decide.

    The best seasonal naive and the best member are chosen on the validation part, nothing on the test part.

    Args:
        table: From ``kubecast.models.ensemble.stack``.
        panel: Gives scales, training means and season lengths.
        recipe: Names the members and the quantile levels.
        scoring: Metrics that short tables show beside MASE and skill; all are in the result.
    """
    table = table[table["part"].isin(PARTS)].assign(lead_time=lead_times(table))
    series = series_with_means(panel)
    models = [*recipe.members, ENSEMBLE]
    levels = recipe.quantiles.levels
    metrics = series_metrics(table, series, models, levels=levels)
    means = overall(metrics, ["part"])
    naive = [name for name, kind in recipe.members.items() if kind == SEASONAL_NAIVE]
    best_naive = _best(means["mase"], naive)
    leaderboard = _leaderboard(table, series, metrics, means, models, best_naive)
    paired = paired_difference(table, series, recipe.best_member, _groups(table, panel))
    row = next(row for row in leaderboard if row.model == ENSEMBLE and row.part == "test")
    return Evaluation(
        frequency=panel.spec.frequency,
        horizon=panel.spec.horizon,
        season_length=panel.spec.season_lengths[0],
        best_naive=best_naive,
        best_member=recipe.best_member,
        missing=recipe.missing,
        scoring=list(scoring),
        leaderboard=leaderboard,
        by_lead_time=[LeadTimeRow(**row) for row in _breakdown(table, series, models, "lead_time", levels)],
        by_series=[
            SeriesRow(**row) for row in _rows(metrics, count_points(table, series, _SERIES), models, _SERIES)
        ],
        by_block=[BlockRow(**row) for row in _breakdown(table, series, models, "block", levels)],
        paired=paired,
        decision=decide(row, table[table["part"] == "test"], levels),
    )


_SERIES = ["part", "unique_id"]


def _best(mase: pd.DataFrame, names: Sequence[str]) -> str | None:
    """The name with the smallest MASE on the validation part."""
    if not names or "validation" not in mase.index:
        return None
    return min(names, key=mase.loc["validation"].to_dict().__getitem__)


def _breakdown(
    table: pd.DataFrame, series: pd.DataFrame, models: Sequence[str], by: str, levels: Sequence[float]
) -> list[dict[str, Any]]:
    keys = ["part", by]
    metrics = overall(series_metrics(table, series, models, by, levels), keys)
    return _rows(metrics, count_points(table, series, keys), models, keys)


def _rows(
    metrics: Metrics, counts: pd.DataFrame, models: Sequence[str], keys: list[str]
) -> list[dict[str, Any]]:
    """One dictionary for each group and model; a group with nothing scored has counts alone."""
    values = {name: frame.reindex(counts.index).to_dict("index") for name, frame in metrics.items()}
    found = []
    for group, scored, skipped in counts.itertuples():
        named = dict(zip(keys, group if isinstance(group, tuple) else (group,), strict=True))
        for model in models:
            figures = {name: _finite(rows[group].get(model)) for name, rows in values.items()}
            coverage = {name: figures.pop(name) for name in list(figures) if name.startswith("coverage_")}
            inside = {name.removeprefix("coverage_"): v for name, v in coverage.items() if v is not None}
            count = {"scored": int(scored), "skipped": int(skipped)}
            found.append({"model": model, **named, **figures, "coverage": inside, **count})
    return found


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None


def _leaderboard(
    table: pd.DataFrame,
    series: pd.DataFrame,
    metrics: Metrics,
    means: Metrics,
    models: Sequence[str],
    best_naive: str | None,
) -> list[LeaderboardRow]:
    found = []
    for row in _rows(means, count_points(table, series, ["part"]), models, ["part"]):
        part, model = row["part"], row["model"]
        spread = _spread(metrics["mase"], part, model)
        skill = _skill(means["mase"], part, row["mase"], best_naive)
        found.append(LeaderboardRow(**row, **spread, skill=skill, undefined=_undefined(row, series)))
    return sorted(
        found, key=lambda row: (PARTS.index(row.part), row.mase is None, row.mase, row.model != ENSEMBLE)
    )


def _spread(mase: pd.DataFrame, part: str, model: str) -> dict[str, float | None]:
    if part not in mase.index.get_level_values("part"):
        return {}
    values = mase.xs(part, level="part")[model].sort_values(ascending=False)
    total = values.sum()
    worst = values.head(5).sum() / total if total > 0 else None
    return {"mase_median": _finite(values.median()), "mase_worst_five": _finite(worst)}


def _skill(mase: pd.DataFrame, part: str, own: float | None, best_naive: str | None) -> float | None:
    if best_naive is None or own is None:
        return None
    reference = mase[best_naive].to_dict()[part]
    return 1 - own / reference if reference > 0 else None


def _undefined(row: Mapping[str, Any], series: pd.DataFrame) -> dict[str, str]:
    if not row["scored"]:
        return {"mase": "no observed target of a series that has a scale"}
    reasons = {
        "r2": "no series varies around its training mean",
        "wape": "every target is 0",
        "wql": "every target is 0" if row["model"] == ENSEMBLE else "a member forecasts points only",
    }
    return {name: reason for name, reason in reasons.items() if row.get(name) is None}


# --- the ensemble against its best member ---------------------------------------------------------------


def _groups(table: pd.DataFrame, panel: Panel) -> "pd.Series[Any]":
    """One origin across series: the time or, where clocks do not matter, its place from the end."""
    if panel.spec.align == "calendar":
        return table["cutoff"]
    return table.groupby(["part", "unique_id"])["cutoff"].rank(method="dense", ascending=False)


def paired_difference(
    table: pd.DataFrame, series: pd.DataFrame, against: str, origins: "pd.Series[Any]"
) -> Paired:
    """Compare the ensemble with a member on the test part's scaled absolute errors.

    The standard error is over origins, with the long-run variance of Diebold & Mariano (1995) and the
    small-sample correction of Harvey, Leybourne & Newbold (1997); with fewer than 10 disjoint origins and 20
    series or more it is over series.

    Args:
        table: Forecasts.
        series: Scales.
        against: The member.
        origins: What counts as one origin across series, on the index of ``table``.
    """
    rows = table[(table["part"] == "test") & scorable(table, series)]
    scale = rows["unique_id"].map(series.set_index("unique_id")["scale"]).astype(np.float64)
    difference = ((rows["y"] - rows[ENSEMBLE]).abs() - (rows["y"] - rows[against]).abs()) / scale
    by_series = difference.groupby(rows["unique_id"]).mean()
    # Mean of each series' mean at the origin, so that each series weighs the same there.
    cells = difference.groupby([origins[rows.index], rows["unique_id"]]).mean()
    by_origin = cells.groupby(level=0).mean().sort_index().to_numpy()
    overlap = _overlap(rows)
    disjoint = -(-len(by_origin) // overlap)
    over: Literal["origins", "series"] = "origins"
    if disjoint < DISJOINT_ORIGINS and len(by_series) >= MANY_SERIES:
        over = "series"
    error = _series_error(by_series.to_numpy()) if over == "series" else _origins_error(by_origin, overlap)
    return Paired(
        against=against,
        difference=_finite(by_series.mean()),
        standard_error=error,
        over=None if error is None else over,
        origins=len(by_origin),
        disjoint_origins=disjoint,
        series=len(by_series),
    )


def _overlap(rows: pd.DataFrame) -> int:
    """How many origins in a row have targets in common with the first of them; 1: none but itself."""
    if rows.empty:
        return 1
    longest = rows.loc[rows["unique_id"] == rows["unique_id"].value_counts(sort=True).index[0]]
    ends = longest.groupby("cutoff")["ds"].max()
    cutoffs = ends.index.to_numpy()
    return int(np.max(np.searchsorted(cutoffs, ends.to_numpy(), side="left") - np.arange(len(ends))))


def _series_error(differences: NDArray[np.float64]) -> float | None:
    return _finite(np.std(differences, ddof=1) / np.sqrt(len(differences)))


def _origins_error(differences: NDArray[np.float64], overlap: int) -> float | None:
    count = len(differences)
    correction = count + 1 - 2 * overlap + overlap * (overlap - 1) / count if count else 0.0
    if count < 2 or correction <= 0:
        return None
    centred = differences - differences.mean()
    covariances = np.array([centred[lag:] @ centred[: count - lag] / count for lag in range(overlap)])
    # The plain sum can fall below 0; Bartlett's weights cannot.
    plain = covariances[0] + 2 * covariances[1:].sum()
    bartlett = covariances[0] + 2 * ((1 - np.arange(1, overlap) / overlap) * covariances[1:]).sum()
    return _finite(np.sqrt(max(plain, bartlett, 0.0) / count) / np.sqrt(correction / count))


# --- the gate -------------------------------------------------------------------------------------------


def decide(row: LeaderboardRow, test: pd.DataFrame, levels: Sequence[float]) -> Decision:
    """Decide by the version's own figures; it is compared with no champion.

    Args:
        row: The ensemble on the test part.
        test: The test part's forecasts.
        levels: Quantile levels.
    """
    columns = [ENSEMBLE, *(quantile_column(level) for level in levels)]
    infinite = int((~np.isfinite(test[columns].to_numpy(dtype=np.float64))).sum())
    checks = [
        Check(
            name="skill on the test part",
            value=row.skill,
            allowed="above 0",
            passed=row.skill is not None and row.skill > 0,
        ),
        Check(name="values that are not finite", value=infinite, allowed="0", passed=infinite == 0),
    ]
    if outermost := next(iter(intervals(levels)), None):
        least = COVERAGE_FLOOR * float(outermost) / 100
        covered = row.coverage.get(outermost)
        checks.append(
            Check(
                name=f"coverage of the {outermost} % interval",
                value=covered,
                allowed=f"at least {least:.3g}",
                passed=covered is not None and covered >= least,
            )
        )
    failed = [
        f"{check.name} is {_text(check.value)}; allowed: {check.allowed}"
        for check in checks
        if not check.passed
    ]
    passed = "every check is passed; it was compared with no champion"
    return Decision(promote=not failed, reasons=failed or [passed], checks=checks)
