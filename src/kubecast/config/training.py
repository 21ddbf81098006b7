"""``training.yaml``: the data, the split, promotion and the registry."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kubecast.config.base import PositiveInt, Rate, Settings, Share
from kubecast.config.validation import validate
from kubecast.errors import ConfigError, InvalidName
from kubecast.names import check_name

RESERVED = frozenset({"", "unique_id", "ds", "y", "observed", "cutoff", "part", "block"})


class Columns(Settings):
    """What the columns of the data file are called."""

    unique_id: str = "unique_id"
    ds: str = "ds"
    y: str = "y"


class Covariates(Settings):
    """Columns beside the target, by when their values are known."""

    future: list[str] = Field(default=[], description="known in advance, over the horizon too")
    past: list[str] = Field(default=[], description="known up to the origin only")
    static: list[str] = Field(default=[], description="one value for each series, number or text")

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        every = [*self.future, *self.past, *self.static]
        twice = sorted({name for name in every if every.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is listed twice; allowed: one kind for each column")
        reserved = sorted(RESERVED.intersection(every))
        if reserved:
            raise ValueError(
                f"{', '.join(reserved)} is a name of the panel's own; allowed: a column that is renamed first"
            )
        return self


class DataSettings(Settings):
    """How the data file is read, what it may lack, and how it is split by time."""

    train_ratio: Share = 0.7
    val_ratio: Share = 0.2
    test_ratio: Share = 0.1
    min_samples: PositiveInt = Field(default=1000, description="least rows of the whole panel")
    columns: Columns = Columns()
    covariates: Covariates = Covariates()
    timestamp_format: str | None = Field(default=None, description="strptime format of ds, e.g. %d/%m/%Y")
    timezone: str | None = Field(default=None, description="zone of timestamps without one; then kept in UTC")
    resample: Literal["mean", "sum", "last"] | None = Field(
        default=None,
        description="how rows off the grid are brought onto it (covariates: mean or last); none: refused",
    )
    max_missing: Rate = Field(default=0.3, description="largest share of missing targets in a series")
    max_gap: PositiveInt | None = Field(
        default=None, description="largest gap in steps; default: 3 longest seasons"
    )
    max_bytes: PositiveInt = Field(default=2 << 30, description="largest data file")
    align: Literal["auto", "calendar", "series_end"] = Field(
        default="auto", description="cut-offs at the same time for all series, or counted from each one's end"
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
        every = [*roles, *covariates.future, *covariates.past, *covariates.static]
        for name in roles:
            if every.count(name) > 1:
                raise ValueError(f"column {name} has two roles; allowed: one for each column")
        return self


class OptimizationSettings(Settings):
    """How tuning searches, where ``pipeline.tuning`` asks for it."""

    n_trials: PositiveInt = 100
    timeout: PositiveInt = Field(
        default=3600, description="seconds, after which no trial is begun, and of one trial of a model"
    )
    pruner: Literal["median", "hyperband", "none"] = Field(
        default="median", description="Optuna's; Katib's is cluster.katib.early_stopping"
    )
    patience: PositiveInt | None = Field(
        default=None, description="trials without a better one after which none is begun"
    )
    folds: Annotated[int, Field(ge=1, le=10)] = Field(
        default=3, description="blocks at the end of the training part that a trial forecasts"
    )


class ValidationSettings(Settings):
    """Rolling origins."""

    cv_folds: Annotated[int, Field(ge=2)] = Field(default=5, description="contiguous blocks of origins")
    scoring: list[Literal["mse", "mae", "r2", "rmse", "rmsse", "wape", "smape", "wql"]] = Field(
        default=["mse", "mae", "r2"],
        min_length=1,
        description="shown beside MASE and skill in short tables; the report and leaderboard.json have all",
    )
    origin_stride: PositiveInt | None = Field(
        default=None, description="steps between origins; default: as small as max_origins allows"
    )
    max_origins: Annotated[int, Field(ge=2)] = Field(default=100, description="for each part")


class ModelRegistrySettings(Settings):
    """Where versions go and how many are kept."""

    path: str = "/app/models"
    versioning: Literal["timestamp"] = Field(default="timestamp", description="the one kind there is")
    max_versions: PositiveInt = 10


class PromotionSettings(Settings):
    """When a version takes the champion's place; relative changes are of MASE."""

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

    model_name: str = "forecaster"
    horizon: PositiveInt | None = None
    frequency: str | None = Field(default=None, description="a pandas offset alias, e.g. h, 30min, D, MS")
    season_lengths: list[PositiveInt] | None = Field(
        default=None, min_length=1, description="in steps, the first is MASE's m; default: from the frequency"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    data: DataSettings = DataSettings()
    optimization: OptimizationSettings = OptimizationSettings()
    validation: ValidationSettings = ValidationSettings()
    promotion: PromotionSettings = PromotionSettings()
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
