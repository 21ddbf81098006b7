"""The leaderboard: the scores of every model and of the ensemble, and whether that may be promoted."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from kubecast.config.training import PromotionSettings
from kubecast.data.findings import DataReport
from kubecast.data.panel import PanelSpec, Split
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.documents import Document, Table, significant
from kubecast.ensemble.recipe import StackRecipe
from kubecast.ensemble.summary import EnsembleSummary, summarise
from kubecast.errors import InputError
from kubecast.evaluation.calibration import calibration
from kubecast.evaluation.changes import Change, Period, period_of
from kubecast.evaluation.closer_look import closer_look
from kubecast.evaluation.comparison import Champion
from kubecast.evaluation.examples import ExampleSeries
from kubecast.evaluation.figures import (
    Breakdown,
    figures_of_groups,
    spread_over_series,
    table_of_groups,
    undefined_reasons,
)
from kubecast.evaluation.history import EarlierVersion
from kubecast.evaluation.paths import SeriesPath
from kubecast.evaluation.promotion import Decision, decide
from kubecast.evaluation.residuals import Residuals, residuals
from kubecast.evaluation.rows import (
    FoldRow,
    LeaderboardRow,
    LeadTimeRow,
    OriginRow,
    PhaseRow,
    SeriesRow,
)
from kubecast.evaluation.scores import SERIES, SPLITS, Scores, Subject, of_test
from kubecast.evaluation.segments import SegmentRow, by_segment
from kubecast.evaluation.series_facts import SeriesFacts, series_facts, sizes_of, worst_and_largest
from kubecast.evaluation.series_table import SeriesTable
from kubecast.evaluation.skill import Skill, SplitLosses
from kubecast.models.base import FitLog
from kubecast.scoring.forecasts import Forecasts
from kubecast.scoring.metrics import COVERAGE, ENSEMBLE, METRICS, RANKING
from kubecast.scoring.over_series import OverSeries
from kubecast.scoring.significance import Paired, paired_difference

LEADERBOARD = "leaderboard.json"
SCHEMA_VERSION: Final = 6
SEPARATE_TABLES: Final = 6  # the first schema with tables beside the JSON
DIGITS = 6  # significant ones of a figure in it
FACTS = "series.parquet"
SERIES_TABLES: Mapping[str, type[Document]] = {"by_series.parquet": SeriesRow, FACTS: SeriesFacts}
"""Files beside it, each with the row that it holds of a series; the field has the name before the dot."""


class Evaluation(Document):
    """Every figure of a run: ``leaderboard.json`` and tables beside it, which the report is rendered from.

    Attributes:
        spec: Of the panel.
        data: Findings of the preparation.
        season_length: MASE's m.
        naives: Models that are naive forecasts, members and yardsticks.
        yardsticks: Those of them that the ensemble is never made of.
        skill: Of the ensemble by split, with the naive forecast that skill of that split refers to.
        best_member: The member with the smallest MASE on the validation split; None where there is none.
        missing: Reason by configured model that failed.
        scoring: Metrics that short tables show beside MASE and skill.
        leaderboard: Best first, the test split before the validation split.
        by_lead_time: In order of lead time.
        by_series: In order of series; in ``by_series.parquet`` beside the JSON, which had it before 6.
        by_fold: In order of fold.
        by_phase: Of the ensemble, in order of phase; phase 0 is that of the first evaluated target.
        residuals: Of the ensemble over the test split; None where no target counts.
        examples: Forecasts of three series; of versions before 4 alone, ``paths`` has them all.
        ensemble: Its members and their weights.
        fits: How each model's fit went; without what repeats it.
        earlier: Versions of the same task, oldest first, each scored on the test split of its own run.
        paired: The ensemble against the best member, else the strongest naive forecast, on the test split.
        decision: Of the gate.
        by_origin: On the test split, in order of time; empty where origins are more than 500.
        by_segment: On the test split; empty where the series cannot be divided.
        calibration: Share of the test split's targets at or below each quantile, by its level.
        series: What is to be known of each series; in ``series.parquet``, as ``by_series``.
        paths: Actuals and last evaluated forecasts of the worst and the largest series, at most 1,000.
        period: Times of the data and of the test split.
        made_with: Versions of kubecast and Python, and the seed.
        changed: Settings and data that differ from the champion's.
    """

    document_name: ClassVar[str] = "a leaderboard of this version"
    former_names: ClassVar[Mapping[str, str]] = {"by_block": "by_fold", "shown": "examples"}

    schema_version: Literal[2, 3, 4, 5, 6] = SCHEMA_VERSION
    spec: PanelSpec
    data: DataReport = DataReport()
    season_length: int
    naives: list[str] = Field(default=[])
    yardsticks: list[str] = Field(default=[])
    skill: dict[Split, Skill] = Field(default={})
    best_member: str | None
    missing: dict[str, str] = Field(default={})
    scoring: list[str]
    leaderboard: list[LeaderboardRow]
    by_lead_time: Table[LeadTimeRow]
    by_series: Table[SeriesRow] = Field(default=[], exclude=True)
    by_fold: Table[FoldRow]
    by_phase: Table[PhaseRow] = Field(default=[])
    residuals: Residuals | None = None
    examples: list[ExampleSeries] = Field(default=[])
    ensemble: EnsembleSummary
    fits: dict[str, FitLog] = Field(default={})
    earlier: list[EarlierVersion] = Field(default=[])
    paired: Paired
    decision: Decision
    by_origin: Table[OriginRow] = Field(default=[])
    by_segment: Table[SegmentRow] = Field(default=[])
    calibration: dict[str, float] = Field(default={})
    series: Table[SeriesFacts] = Field(default=[], exclude=True)
    paths: list[SeriesPath] = Field(default=[])
    period: Period | None = None
    made_with: dict[str, str] = Field(default={})
    changed: list[Change] = Field(default=[])

    @model_validator(mode="before")
    @classmethod
    def _read_best_naive(cls, data: Any) -> Any:
        """Read the one naive forecast that skill referred to before schema version 4."""
        if not isinstance(data, dict) or "best_naive" not in data:
            return data
        naive = data["best_naive"]
        own = [row for row in data.get("leaderboard", []) if row.get("model") == ENSEMBLE]
        skill = {
            row.get("split", row.get("part")): {"naive": naive, "value": row.get("skill")} for row in own
        }
        rest = {key: value for key, value in data.items() if key != "best_naive"}
        return rest | {"skill": skill, "naives": [] if naive is None else [naive]}

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what ``write`` wrote.

        Raises:
            InputError: There is no such file.
            IntegrityError: It is not what this version of kubecast writes.
        """
        _check_exists(path)
        evaluation = super().read(path)
        if not evaluation.has_tables_beside:
            return evaluation
        tables = {name: path.with_name(name) for name in SERIES_TABLES}
        for table in tables.values():
            _check_exists(table)
        return evaluation.with_tables(tables, str(path.parent))

    @property
    def has_tables_beside(self) -> bool:
        """Whether tables with a row for each series are in files beside the JSON."""
        return self.schema_version >= SEPARATE_TABLES

    def with_tables(self, sources: Mapping[str, Path | bytes], where: str) -> Self:
        """The same with some of ``SERIES_TABLES``.

        Args:
            sources: Files or their bytes, by name.
            where: They are, for messages.

        Raises:
            IntegrityError: One of them is no such table; rows are checked when they are made.
        """
        tables = {
            Path(name).stem: SeriesTable.read(SERIES_TABLES[name], source, f"{where}/{name}")
            for name, source in sources.items()
        }
        return self.model_copy(update=tables)

    def write(self, path: Path) -> None:
        """Write the document without indentation and with short numbers, and ``SERIES_TABLES`` beside it.

        What was read of an older schema is written in the form, and with the version, of this one.
        """
        document = self.model_dump(mode="json") | {"schema_version": SCHEMA_VERSION}
        short = significant(document, DIGITS) | {"paths": document["paths"]}  # rounded by their own ranges
        path.write_text(json.dumps(short, ensure_ascii=False, separators=(",", ":")), "utf-8")
        for name, row in SERIES_TABLES.items():
            SeriesTable.of(row, getattr(self, Path(name).stem)).write(path.with_name(name))

    def strongest_member(self, split: Split) -> LeaderboardRow | None:
        """The member with the smallest MASE on a split; on the test split it is known only afterwards."""
        members = (row for row in self.leaderboard if row.split == split and row.mase is not None)
        return next((row for row in members if row.model not in (ENSEMBLE, *self.yardsticks)), None)

    def board(self, split: Split) -> list[LeaderboardRow]:
        """The rows of every model over a split, best first."""
        return [row for row in self.leaderboard if row.split == split]

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
        figures |= {f"{COVERAGE}{level}": value for level, value in row.coverage.items()}
        if comparison := self.decision.comparison:
            figures |= {"champion_mase": comparison.champion_mase, "champion_gain": comparison.gain}
        return {name: value for name, value in figures.items() if value is not None}


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path.parent} has no {path.name}; allowed: the output folder of a run")


def _ranked(rows: Sequence[SeriesRow], model: str) -> list[SeriesRow]:
    scored = [row for row in rows if (row.split, row.model) == ("test", model) and row.mase is not None]
    return sorted(scored, key=lambda row: (row.mase, row.unique_id))


def evaluate(
    forecasts: Forecasts,
    panel: PanelBlocks,
    recipe: StackRecipe,
    scoring: Sequence[str] = ("mse", "mae", "r2"),
    promotion: PromotionSettings | None = None,
    champion: Champion | None = None,
    fits: Mapping[str, FitLog] | None = None,
    earlier: Sequence[EarlierVersion] = (),
    challenger: str = "",
    made_with: Mapping[str, str] | None = None,
    changed: Sequence[Change] = (),
) -> Evaluation:
    """Score every member and the ensemble, and decide.

    The best member is chosen on the validation split. The naive forecast that skill refers to is the
    strongest of each split, which is chosen afterwards, and again in each resample. The forecasts are read a
    block of series at a time, and again for what is chosen from all of them.

    Args:
        forecasts: From ``kubecast.ensemble.stacking.stack``.
        panel: Gives the series; its rows are read for the paths alone.
        recipe: Names the members and the quantile levels.
        scoring: Metrics that short tables show beside MASE and skill; all are in the result.
        promotion: The gate's limits; default: those of its settings.
        champion: The version to compare with; None: there is none.
        fits: Each trained model's log, for the report.
        earlier: Versions beside which this one is put.
        challenger: Digest of the settings but the seed.
        made_with: Versions of packages, and the seed.
        changed: Settings and data that differ from the champion's.

    Raises:
        DataError: The champion was to be scored on rows that it has seen.
    """
    outline = panel.outline
    subject = Subject.of(outline, recipe, forecasts, champion)
    scores = Scores.of(forecasts, subject)
    models, levels = subject.models, subject.levels
    losses = {
        split: SplitLosses.of(scores.grid(split), subject.naives)
        for split in SPLITS
        if split in scores.splits or split == "test"
    }
    skill = {split: each.skill() for split, each in losses.items()}
    strongest = skill["test"].naive
    facts = series_facts(outline, scores.by_series(strongest), levels)
    closer = closer_look(forecasts, panel, scores, worst_and_largest(facts))
    leaderboard = _leaderboard(scores, losses, closer.wql)
    against = recipe.best_member or strongest or next(iter(recipe.members))
    row = next(row for row in leaderboard if row.model == ENSEMBLE and row.split == "test")
    by_series = table_of_groups(scores.metrics, scores.points, models, SERIES)
    return Evaluation(
        spec=panel.spec,
        data=outline.report,
        season_length=panel.spec.season_lengths[0],
        naives=subject.naives,
        yardsticks=subject.yardsticks,
        skill=skill,
        best_member=recipe.best_member,
        missing=recipe.missing,
        scoring=list(scoring),
        leaderboard=leaderboard,
        by_lead_time=[LeadTimeRow(**row) for row in scores.breakdown("by_lead_time").rows(models)],
        by_series=SeriesTable.of_frame(SeriesRow, by_series),
        by_fold=[FoldRow(**row) for row in scores.breakdown("by_fold").rows(models)],
        by_phase=[PhaseRow(**row) for row in scores.breakdown("by_phase").rows([ENSEMBLE])],
        residuals=residuals([block.errors for block in scores.blocks]),
        ensemble=summarise(recipe),
        fits={name: log.model_copy(update={"fixed_fit": {}}) for name, log in sorted((fits or {}).items())},
        earlier=list(earlier),
        paired=paired_difference(losses["test"].grid, ENSEMBLE, against, losses["test"].resamples),
        decision=decide(
            outline,
            skill["test"],
            row.coverage,
            levels,
            scores.infinite,
            promotion or PromotionSettings(),
            champion,
            scores.comparison(),
            challenger,
        ),
        by_origin=_by_origin(scores.breakdown("by_origin"), strongest),
        by_segment=by_segment(of_test(scores.metrics["mase"]), outline, sizes_of(outline)),
        calibration=calibration(scores.below),
        series=facts,
        paths=closer.paths,
        period=period_of(panel.series, [time for block in scores.blocks for time in block.targets]),
        made_with=dict(made_with or {}),
        changed=list(changed),
    )


_MOST_ORIGINS = 500


def _by_origin(breakdown: Breakdown, naive: str | None) -> list[OriginRow]:
    if breakdown.points.index.get_level_values("split").tolist().count("test") > _MOST_ORIGINS:
        return []
    rows = breakdown.rows([ENSEMBLE, *([naive] if naive else [])])
    return [OriginRow(**row) for row in rows if row["split"] == "test"]


def _leaderboard(
    scores: Scores, losses: Mapping[Split, SplitLosses], wql: Mapping[str, float]
) -> list[LeaderboardRow]:
    models = scores.subject.models
    means = OverSeries.of(scores.metrics, ["split"]).tables()
    points = scores.points.groupby(level="split").sum()
    board = []
    for row in figures_of_groups(means, points, models, ["split"]):
        split, model = row["split"], row["model"]
        if split == "test" and model in wql:
            row["wql"] = wql[model]
        spread = spread_over_series(scores.metrics["mase"], split, model)
        figures = losses[split].figures(model)
        board.append(LeaderboardRow(**row, **spread, **figures, undefined=undefined_reasons(row)))
    for split in set(SPLITS) - {row.split for row in board}:
        reason = {RANKING: f"the history is too short for a {split} split"}
        board += [LeaderboardRow(model=model, split=split, undefined=reason) for model in models]
    return sorted(
        board,
        key=lambda row: (SPLITS.index(row.split), row.mase is None, row.mase or 0.0, row.model != ENSEMBLE),
    )
