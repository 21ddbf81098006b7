"""The leaderboard: the scores of every model and of the ensemble, and whether that may be promoted."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import pandas as pd
from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from kubecast.config.training import PromotionSettings
from kubecast.data.findings import DataReport
from kubecast.data.panel import Panel, PanelSpec, Split
from kubecast.documents import Document
from kubecast.ensemble.recipe import StackRecipe
from kubecast.ensemble.stacking import SEASONAL_NAIVE
from kubecast.ensemble.summary import EnsembleSummary, summarise
from kubecast.errors import InputError
from kubecast.evaluation.examples import ExampleSeries, example_series
from kubecast.evaluation.history import EarlierVersion
from kubecast.evaluation.promotion import Champion, Decision, decide
from kubecast.evaluation.residuals import Residuals, residuals, season_phase
from kubecast.models.base import FitLog
from kubecast.scoring.metrics import (
    ENSEMBLE,
    METRICS,
    RANKING,
    MetricTables,
    count_points,
    lead_times,
    overall,
    series_metrics,
    series_with_means,
)
from kubecast.scoring.significance import Paired, common_origins, finite, paired_difference

SPLITS: tuple[Split, Split] = ("test", "validation")
LEADERBOARD = "leaderboard.json"


class Figures(Document):
    """Metrics of one model; None where undefined.

    Beside the fields it has a value for each metric of ``METRICS``, under its key.

    Attributes:
        model: Column of the forecasts.
        split: Of the data.
        mase: The metric that ranks.
        coverage: Share of targets inside each interval, by its nominal coverage in percent; the ensemble's.
        scored: Targets that count.
        skipped: Targets that were not observed or whose series has no scale.
    """

    model_config = ConfigDict(extra="allow")
    former_names: ClassVar[Mapping[str, str]] = {"part": "split", "block": "fold"}
    __pydantic_extra__: dict[str, float | None] = Field(init=False)

    model: str
    split: Split
    mase: float | None = None
    coverage: dict[str, float] = Field(default={})
    scored: int = 0
    skipped: int = 0

    @model_validator(mode="after")
    def _refuse_unknown(self) -> Self:
        if unknown := set(self.__pydantic_extra__) - set(METRICS):
            raise ValueError(f"unknown metric {', '.join(sorted(unknown))}")
        return self

    @model_serializer(mode="wrap")
    def _in_order(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Put the metrics together, in the order of their table."""
        fields: dict[str, Any] = handler(self)
        first = {name: fields[name] for name in ("model", "split", *METRICS) if name in fields}
        return first | fields

    def metric(self, name: str) -> float | None:
        """The value of a metric; None where it is undefined, or was not there yet."""
        value: float | None = getattr(self, name, None)
        return value


class LeaderboardRow(Figures):
    """One model over one split.

    Attributes:
        skill: 1 - MASE / MASE of the best seasonal naive.
        mase_median: Over series.
        mase_worst_five: Share of the sum of all series' MASE that the five worst have.
        undefined: Reason by metric that has no value.
    """

    skill: float | None = None
    mase_median: float | None = None
    mase_worst_five: float | None = None
    undefined: dict[str, str] = Field(default={})


class LeadTimeRow(Figures):
    """One model at one lead time, in steps from 1."""

    lead_time: int


class SeriesRow(Figures):
    """One model on one series."""

    unique_id: str


class FoldRow(Figures):
    """One model on one fold of origins."""

    fold: int


class PhaseRow(Figures):
    """The ensemble on the targets at one phase of the season, in steps from 0."""

    phase: int


class Evaluation(Document):
    """Every figure of a run; its JSON is ``leaderboard.json``, which the report is rendered from.

    Attributes:
        spec: Of the panel.
        data: Findings of the preparation.
        season_length: MASE's m.
        best_naive: The seasonal naive with the smallest MASE on the validation split, else that of m; skill
            is against it.
        best_member: The member with the smallest MASE on the validation split; None where there is none.
        missing: Reason by configured model that failed.
        scoring: Metrics that short tables show beside MASE and skill.
        leaderboard: Best first, the test split before the validation split.
        by_lead_time: In order of lead time.
        by_series: In order of series.
        by_fold: In order of fold.
        by_phase: Of the ensemble, in order of phase; phase 0 is that of the first evaluated target.
        residuals: Of the ensemble over the test split; None where no target counts.
        examples: The ensemble's forecasts of the best, the median and the worst series of the test split.
        ensemble: Its members and their weights.
        fits: How each model's fit went; without what repeats it.
        earlier: Versions of the same task, oldest first, each scored on the test split of its own run.
        paired: The ensemble against the best member, else the best naive.
        decision: Of the gate.
    """

    document_name: ClassVar[str] = "a leaderboard of this version"
    former_names: ClassVar[Mapping[str, str]] = {"by_block": "by_fold", "shown": "examples"}

    schema_version: Literal[2, 3] = 3
    spec: PanelSpec
    data: DataReport = DataReport()
    season_length: int
    best_naive: str | None
    best_member: str | None
    missing: dict[str, str] = Field(default={})
    scoring: list[str]
    leaderboard: list[LeaderboardRow]
    by_lead_time: list[LeadTimeRow]
    by_series: list[SeriesRow]
    by_fold: list[FoldRow]
    by_phase: list[PhaseRow] = Field(default=[])
    residuals: Residuals | None = None
    examples: list[ExampleSeries] = Field(default=[])
    ensemble: EnsembleSummary
    fits: dict[str, FitLog] = Field(default={})
    earlier: list[EarlierVersion] = Field(default=[])
    paired: Paired
    decision: Decision

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what ``write`` wrote.

        Raises:
            InputError: There is no such file.
            IntegrityError: It is not what this version of kubecast writes.
        """
        if not path.exists():
            raise InputError(f"{path.parent} has no {path.name}; allowed: the output folder of a run")
        return super().read(path)

    def row(self, model: str, split: Split) -> LeaderboardRow:
        """The row of a model over a split."""
        return next(row for row in self.leaderboard if row.model == model and row.split == split)

    def ranked(self, model: str = ENSEMBLE) -> list[SeriesRow]:
        """Series that could be scored on the test split, by a model's MASE there, best first."""
        return _ranked(self.by_series, model)

    def summary(self) -> dict[str, float]:
        """The ensemble's figures on the test split, and the champion's MASE, that have a value."""
        row = self.row(ENSEMBLE, "test")
        figures = {name: row.metric(name) for name in METRICS}
        figures |= {"skill": row.skill, "mase_median": row.mase_median}
        figures |= {f"coverage_{level}": value for level, value in row.coverage.items()}
        if comparison := self.decision.comparison:
            figures |= {"champion_mase": comparison.champion_mase, "champion_gain": comparison.gain}
        return {name: value for name, value in figures.items() if value is not None}


def _ranked(rows: Sequence[SeriesRow], model: str) -> list[SeriesRow]:
    scored = [row for row in rows if (row.split, row.model) == ("test", model) and row.mase is not None]
    return sorted(scored, key=lambda row: (row.mase, row.unique_id))


def evaluate(
    table: pd.DataFrame,
    panel: Panel,
    recipe: StackRecipe,
    scoring: Sequence[str] = ("mse", "mae", "r2"),
    promotion: PromotionSettings | None = None,
    champion: Champion | None = None,
    fits: Mapping[str, FitLog] | None = None,
    earlier: Sequence[EarlierVersion] = (),
) -> Evaluation:
    """Score every member and the ensemble, and decide.

    The best seasonal naive and the best member are chosen on the validation split, nothing on the test split.

    Args:
        table: From ``kubecast.ensemble.stacking.stack``.
        panel: Gives scales, training means and season lengths.
        recipe: Names the members and the quantile levels.
        scoring: Metrics that short tables show beside MASE and skill; all are in the result.
        promotion: The gate's limits; default: those of its settings.
        champion: The version to compare with; None: there is none.
        fits: Each trained model's log, for the report.
        earlier: Versions beside which this one is put.
    """
    table = table[table["split"].isin(SPLITS)].assign(lead_time=lead_times(table))
    series = series_with_means(panel)
    models = [*recipe.members, ENSEMBLE]
    levels = recipe.quantiles.levels
    metrics = series_metrics(table, series, models, levels=levels)
    means = overall(metrics, ["split"])
    naive = [name for name, kind in recipe.members.items() if kind == SEASONAL_NAIVE]
    best_naive = _best(means["mase"], naive)
    leaderboard = _leaderboard(table, series, metrics, means, models, best_naive)
    against = recipe.best_member or best_naive or next(iter(recipe.members))
    paired = paired_difference(table, series, ENSEMBLE, against, common_origins(table, panel))
    row = next(row for row in leaderboard if row.model == ENSEMBLE and row.split == "test")
    phase = season_phase(table["ds"], panel.spec.frequency, panel.spec.season_lengths[0])
    phases = _breakdown(table.assign(phase=phase), series, [ENSEMBLE], "phase", levels)
    counts = count_points(table, series, _SERIES)
    by_series = [SeriesRow(**row) for row in _rows(metrics, counts, models, _SERIES)]
    ranked = [(row.unique_id, row.mase) for row in _ranked(by_series, ENSEMBLE)]
    return Evaluation(
        spec=panel.spec,
        data=panel.report,
        season_length=panel.spec.season_lengths[0],
        best_naive=best_naive,
        best_member=recipe.best_member,
        missing=recipe.missing,
        scoring=list(scoring),
        leaderboard=leaderboard,
        by_lead_time=[LeadTimeRow(**row) for row in _breakdown(table, series, models, "lead_time", levels)],
        by_series=by_series,
        by_fold=[FoldRow(**row) for row in _breakdown(table, series, models, "fold", levels)],
        by_phase=[PhaseRow(**row) for row in phases],
        residuals=residuals(table[table["split"] == "test"], series, ENSEMBLE),
        examples=example_series(ranked, table, panel, ENSEMBLE, levels),
        ensemble=summarise(recipe),
        fits={name: log.model_copy(update={"fixed_fit": {}}) for name, log in sorted((fits or {}).items())},
        earlier=list(earlier),
        paired=paired,
        decision=decide(
            table[table["split"] == "test"],
            series,
            panel,
            row.skill,
            row.coverage,
            levels,
            promotion or PromotionSettings(),
            champion,
        ),
    )


_SERIES = ["split", "unique_id"]


def _best(mase: pd.DataFrame, names: Sequence[str]) -> str | None:
    """The name with the smallest MASE on the validation split, else the first."""
    if not names or "validation" not in mase.index:
        return next(iter(names), None)
    return min(names, key=mase.loc["validation"].to_dict().__getitem__)


def _breakdown(
    table: pd.DataFrame, series: pd.DataFrame, models: Sequence[str], by: str, levels: Sequence[float]
) -> list[dict[str, Any]]:
    keys = ["split", by]
    metrics = overall(series_metrics(table, series, models, by, levels), keys)
    return _rows(metrics, count_points(table, series, keys), models, keys)


def _rows(
    metrics: MetricTables, counts: pd.DataFrame, models: Sequence[str], keys: list[str]
) -> list[dict[str, Any]]:
    """One dictionary for each group and model; a group with nothing scored has counts only."""
    values = {name: frame.reindex(counts.index).to_dict("index") for name, frame in metrics.items()}
    table = []
    for group, scored, skipped in counts.itertuples():
        named = dict(zip(keys, group if isinstance(group, tuple) else (group,), strict=True))
        for model in models:
            figures = {name: finite(rows[group].get(model)) for name, rows in values.items()}
            coverage = {name: figures.pop(name) for name in list(figures) if name.startswith("coverage_")}
            inside = {name.removeprefix("coverage_"): v for name, v in coverage.items() if v is not None}
            count = {"scored": int(scored), "skipped": int(skipped)}
            table.append({"model": model, **named, **figures, "coverage": inside, **count})
    return table


def _leaderboard(
    table: pd.DataFrame,
    series: pd.DataFrame,
    metrics: MetricTables,
    means: MetricTables,
    models: Sequence[str],
    best_naive: str | None,
) -> list[LeaderboardRow]:
    board = []
    for row in _rows(means, count_points(table, series, ["split"]), models, ["split"]):
        split, model = row["split"], row["model"]
        spread = _spread(metrics["mase"], split, model)
        skill = _skill(means["mase"], split, row["mase"], best_naive)
        board.append(LeaderboardRow(**row, **spread, skill=skill, undefined=_undefined(row)))
    for split in set(SPLITS) - {row.split for row in board}:
        reason = {RANKING: f"the history is too short for a {split} split"}
        board += [LeaderboardRow(model=model, split=split, undefined=reason) for model in models]
    return sorted(
        board,
        key=lambda row: (SPLITS.index(row.split), row.mase is None, row.mase or 0.0, row.model != ENSEMBLE),
    )


def _spread(mase: pd.DataFrame, split: str, model: str) -> dict[str, float | None]:
    if split not in mase.index.get_level_values("split"):
        return {}
    values = mase.xs(split, level="split")[model].sort_values(ascending=False)
    total = values.sum()
    worst = values.head(5).sum() / total if total > 0 else None
    return {"mase_median": finite(values.median()), "mase_worst_five": finite(worst)}


def _skill(mase: pd.DataFrame, split: str, own: float | None, best_naive: str | None) -> float | None:
    if best_naive is None or own is None:
        return None
    reference = mase[best_naive].to_dict()[split]
    return 1 - own / reference if reference > 0 else None


def _undefined(row: Mapping[str, Any]) -> dict[str, str]:
    if not row["scored"]:
        return {RANKING: "no observed target of a series that has a scale"}
    points_only = row["model"] != ENSEMBLE
    reasons = {
        name: "a member forecasts points only" if metric.of_quantiles and points_only else metric.undefined
        for name, metric in METRICS.items()
    }
    return {name: reason for name, reason in reasons.items() if reason and row.get(name) is None}
