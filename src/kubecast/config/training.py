"""``training.yaml``: the data, the split, promotion and the registry."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from kubecast.config.base import PositiveInt, Rate, Settings, Share
from kubecast.config.validation import validate
from kubecast.errors import ConfigError, InvalidName
from kubecast.names import check_name

ScoringMetric = Literal["rmsse", "wape", "smape", "wql", "mae", "rmse", "mse", "r2"]
"""Keys of ``kubecast.scoring.metrics.METRICS`` but the ranking metric's, which every table has."""

ColumnName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
"""Without blanks around it, as every source gives its names."""

RESERVED = frozenset({"", "unique_id", "ds", "y", "observed", "cutoff"})


class Columns(Settings):
    """The names of the columns of the data."""

    unique_id: ColumnName = Field(default="unique_id", description="a file without it holds one series")
    ds: ColumnName = Field(default="ds", description="the timestamps")
    y: ColumnName = Field(default="y", description="the target")


class Covariates(Settings):
    """Columns beside the target, by when their values are known."""

    future: list[ColumnName] = Field(default=[], description="known over the horizon too, e.g. holidays")
    past: list[ColumnName] = Field(default=[], description="known up to the origin only")
    static: list[ColumnName] = Field(default=[], description="one value for each series, number or text")

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        names = [*self.future, *self.past, *self.static]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is listed twice; allowed: one kind for each column")
        reserved = sorted(RESERVED.intersection(names))
        if reserved:
            raise ValueError(
                f"{', '.join(reserved)} is a name of the panel's own; allowed: a column that is renamed first"
            )
        return self


class DataSettings(Settings):
    """Settings of the data: how it is read, what it may lack, and how it is split by time."""

    train_ratio: Share = Field(default=0.7, description="share of the rows by time; the three are 1 in all")
    val_ratio: Share = Field(default=0.2, description="where the ensemble's weights are fitted")
    test_ratio: Share = Field(default=0.1, description="where everything is evaluated, the newest rows")
    min_samples: PositiveInt = Field(
        default=1000, description="rows of the whole panel below which a finding says that they are few"
    )
    columns: Columns = Field(
        default=Columns(), description="their names in the data; or --id, --time, --target"
    )
    covariates: Covariates = Field(
        default=Covariates(), description="columns beside the target, by when their values are known"
    )
    timestamp_format: str | None = Field(
        default=None,
        description="strptime format of ds, epoch seconds or epoch milliseconds; default: ISO 8601",
        examples=["%d/%m/%Y %H:%M"],
    )
    timezone: str | None = Field(
        default=None,
        description="zone of timestamps without one; then kept in UTC",
        examples=["Europe/Berlin"],
    )
    resample: Literal["mean", "sum", "last"] | None = Field(
        default=None,
        description="or sum, last: how rows off the grid are brought onto it; default: refused",
        examples=["mean"],
    )
    empty: Literal["missing", "zero"] = Field(
        default="missing", description="or zero: what a step without a row is, e.g. a day without a sale"
    )
    max_missing: Rate = Field(default=0.3, description="largest share of missing targets in a series")
    max_gap: PositiveInt | None = Field(
        default=None, description="largest gap in steps; default: three longest seasons", examples=[500]
    )
    max_bytes: PositiveInt = Field(
        default=2 << 30,
        description="largest file; of folders, tables and queries: the needed columns",
    )
    query: str | None = Field(
        default=None,
        description="SQL whose rows are the data, where that is a database",
        examples=["SELECT shop AS unique_id, day AS ds, sum(price) AS y FROM sales GROUP BY shop, day"],
    )
    stale: Literal["forecast", "mark", "leave_out"] = Field(
        default="forecast",
        description="of series that end over a horizon before most others, e.g. discontinued items: forecast"
        " them, mark: with a column stale, leave_out: do not",
    )
    align: Literal["auto", "calendar", "series_end"] = Field(
        default="auto",
        description="calendar: cut-offs at the same time for all series; series_end: each its own",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train_ratio + self.val_ratio + self.test_ratio
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train_ratio + val_ratio + test_ratio is {total:g}; allowed: 1")
        return self

    @model_validator(mode="after")
    def _one_role(self) -> Self:
        columns, covariates = self.columns, self.covariates
        roles = [columns.unique_id, columns.ds, columns.y]
        names = [*roles, *covariates.future, *covariates.past, *covariates.static]
        for name in roles:
            if names.count(name) > 1:
                raise ValueError(f"column {name} has two roles; allowed: one for each column")
        return self


class OptimizationSettings(Settings):
    """Settings of a search, where ``pipeline.tuning`` turns it on."""

    n_trials: PositiveInt = Field(default=100, description="for each model")
    timeout: PositiveInt = Field(
        default=3600, description="seconds, after which no trial is begun, and of one trial of a model"
    )
    pruner: Literal["median", "hyperband", "none"] = Field(
        default="median", description="Optuna's; Katib's is cluster.katib.early_stopping"
    )
    patience: PositiveInt | None = Field(
        default=None,
        description="trials without a better one after which none is begun; default: all are",
        examples=[30],
    )
    folds: Annotated[int, Field(ge=1, le=10)] = Field(
        default=3, description="folds at the end of the training split that a trial forecasts"
    )


class ValidationSettings(Settings):
    """Rolling origins."""

    cv_folds: Annotated[int, Field(ge=2)] = Field(default=5, description="contiguous folds of origins")
    scoring: list[ScoringMetric] = Field(
        default=["mse", "mae", "r2"],
        min_length=1,
        description="shown beside MASE and skill in short tables; the report and leaderboard.json have all",
    )
    origin_stride: PositiveInt | None = Field(
        default=None,
        description="steps between origins; default: as small as max_origins allows",
        examples=[24],
    )
    max_origins: Annotated[int, Field(ge=2)] = Field(default=100, description="for each split")


class ModelRegistrySettings(Settings):
    """The place of published versions, and how many are kept."""

    path: str = Field(
        default="/app/models",
        description="folder or URL; --registry goes before it, and a local run keeps its own",
    )
    versioning: Literal["timestamp"] = Field(default="timestamp", description="the one kind there is")
    max_versions: PositiveInt = Field(
        default=10, description="the oldest above it are retired, but none with an alias"
    )


class PromotionSettings(Settings):
    """The rule by which a version takes the champion's place; relative changes are of MASE."""

    mode: Literal["retrain", "compete"] = Field(
        default="retrain", description="retrain: a newer fit that is not worse; compete: a better one"
    )
    tolerance: Rate = Field(default=0.05, description="retrain: largest loss against the champion")
    min_gain: Rate = Field(default=0.0, description="compete: smallest gain over the champion")
    significance: Share = Field(default=0.05, description="compete: of the paired, one-sided test")
    when_untestable: Literal["keep", "promote"] = Field(
        default="keep", description="compete: with too few origins and series for that test"
    )
    coverage_tolerance: Rate = Field(
        default=0.05, description="how much further from nominal than the champion's"
    )
    segment_cap: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.25, description="largest loss in any series, or any tenth of them by scale"
    )


class TrainingSettings(Settings):
    """``training.yaml``: the data, the split, promotion and the registry."""

    model_name: str = Field(default="forecaster", description="its name in the registry")
    horizon: PositiveInt | None = Field(
        default=None, description="steps to forecast; or --horizon", examples=[48]
    )
    frequency: str | None = Field(
        default=None,
        description="a pandas offset alias, e.g. h, 30min, D, MS; default: inferred from the data",
        examples=["30min"],
    )
    season_lengths: list[PositiveInt] | None = Field(
        default=None,
        min_length=1,
        description="in steps, the first is MASE's m; default: from the frequency",
        examples=[[48, 336]],
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(default=42, description="of every random choice")
    data: DataSettings = DataSettings()
    optimization: OptimizationSettings = Field(
        default=OptimizationSettings(), description="where pipeline.tuning says so, and in mode tune"
    )
    validation: ValidationSettings = Field(default=ValidationSettings(), description="rolling origins")
    promotion: PromotionSettings = Field(
        default=PromotionSettings(),
        description="when a version takes the champion's place; changes are of MASE, as shares",
    )
    model_registry: ModelRegistrySettings = ModelRegistrySettings()
    checkpoint_url: str = Field(
        default="", description="folder or URL of the checkpoints of unfinished fits; empty: none are kept"
    )

    @model_validator(mode="after")
    def _named(self) -> Self:
        try:
            check_name(self.model_name)
        except InvalidName as error:
            raise ValueError(str(error)) from error
        return self


def with_scalars(
    training: TrainingSettings,
    horizon: int | None = None,
    frequency: str = "",
    season_lengths: str = "",
    model_name: str = "",
    where: str = "parameters",
) -> TrainingSettings:
    """Put the scalar parameters, where given, over the training settings.

    Args:
        training: From its file.
        horizon: In steps; None keeps the file's.
        frequency: A pandas offset alias; empty keeps the file's.
        season_lengths: Comma-separated, with or without brackets; blank keeps the file's.
        model_name: Empty keeps the file's.
        where: They come from, for messages.

    Raises:
        ConfigError: One is wrong.
    """
    try:
        text = season_lengths.strip("[] ").removesuffix(",")
        lengths = [int(each) for each in text.split(",") if text] if season_lengths.strip() else None
    except ValueError as error:
        raise ConfigError(
            f"{where}: season_lengths {season_lengths!r}; allowed: whole numbers with commas, e.g. 48,336"
        ) from error
    given = {
        "horizon": horizon,
        "frequency": frequency or None,
        "season_lengths": lengths,
        "model_name": model_name or None,
    }
    changed = {key: value for key, value in given.items() if value is not None}
    return validate(TrainingSettings, {**training.model_dump(), **changed}, where, "training")
