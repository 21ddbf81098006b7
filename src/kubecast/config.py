"""The settings: one pydantic model for each file in ``configs/``, and the one way to load them.

Types are strict: ``epochs: "5"`` is refused, as is ``yes`` for a boolean. An unknown key is refused
with the nearest known one. Precedence, highest first: a scalar parameter, ``--set``, the file, the
default written here.
"""

import difflib
import json
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from kubecast.cluster import ClusterSettings
from kubecast.errors import ConfigError, InvalidName
from kubecast.names import check_name
from kubecast.settings import PositiveFloat, PositiveInt, Rate, Settings, Share
from kubecast.tuning.spaces import SearchSettings, check_names, check_space, setting_of

MAX_BYTES = 1 << 20
MAX_DEPTH = 12

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


MACHINE = ("time_limit", "precision", "jit_compile")
"""Keys of a model's settings that speak of the machine: a retraining takes them from the file."""


class ModelSettings(Settings):
    """What every trained model has."""

    time_limit: PositiveFloat | None = Field(default=None, description="seconds of one fit, saving included")


class ArimaSettings(ModelSettings):
    """``arima.yaml``."""

    engine: Literal["auto", "css", "pmdarima", "statsforecast", "burg"] = Field(
        default="auto",
        description="what searches and estimates; css: conditional least squares, by far the fastest; auto:"
        " css, or statsforecast where every series is short, as its likelihood uses the first rows too; burg:"
        " no search but a long autoregression, of max_order's p, by Burg's method in milliseconds",
    )
    max_order: Annotated[list[Annotated[int, Field(ge=0, le=168)]], Field(min_length=3, max_length=3)] = (
        Field(
            default=[5, 1, 5],
            description="the largest p, d and q, each; not pmdarima's max_order, which is their sum",
        )
    )
    seasonal: bool = Field(default=False, description="search seasonal orders at the first season length")
    information_criterion: Literal["aic", "aicc", "bic"] = "aic"
    stepwise: bool = True
    seasonal_test: Literal["ocsb", "ch"] = "ocsb"
    deseasonalize: Literal["auto", "profile", "fourier", "none"] = Field(
        default="auto",
        description="how seasons are removed before the search; auto: the profile that forecasts the newest"
        " training rows best, or none; if seasonal, none",
    )
    averaged: Annotated[int, Field(ge=1, le=100)] = Field(
        default=1,
        description="season profiles, each with an ARIMA of its own, whose forecasts are averaged: the best"
        " on the newest training rows, the better the heavier",
    )
    fourier_terms: PositiveInt = Field(default=4, description="sine and cosine pairs for each season length")
    max_rows: PositiveInt = Field(default=5000, description="newest rows of each series that a fit sees")

    @model_validator(mode="after")
    def _effective(self) -> Self:
        d = self.max_order[1]
        if d > 2:
            raise ValueError(
                f"max_order {self.max_order} differences {d} times; allowed: a second number of 0 to 2"
            )
        self._check_burg()
        if self.seasonal and self.deseasonalize in ("profile", "fourier"):
            raise ValueError(
                f"deseasonalize {self.deseasonalize} removes the season that seasonal searches;"
                " allowed: auto, none"
            )
        # Not model_fields_set: a pipeline parameter names every key.
        if self.deseasonalize != "fourier" and self.fourier_terms != 4:
            raise ValueError(
                f"fourier_terms has no effect with deseasonalize {self.deseasonalize}; allowed: fourier"
            )
        return self

    def _check_burg(self) -> None:
        p, _, q = self.max_order
        if self.engine == "burg" and (q or self.seasonal):
            what = f"max_order {self.max_order}" if q else "seasonal: true"
            raise ValueError(
                f"{what} with engine burg, which is an autoregression of neighbouring steps; allowed: a third"
                " number of 0 and seasonal: false, or another engine"
            )
        if self.engine != "burg" and max(p, q) > 24:
            raise ValueError(
                f"max_order {self.max_order}: a search of such orders takes too long; allowed: at"
                " most 24, or engine burg"
            )


class EarlyStopping(Settings):
    """When training stops before its last epoch; the best weights are kept."""

    patience: PositiveInt = 10
    monitor: Literal["val_loss", "loss"] = "val_loss"


class NeuralSettings(ModelSettings):
    """What LSTM and Transformer share: windows, normalisation and the training loop."""

    sequence_length: PositiveInt | Literal["auto"] = Field(
        default=60, description="steps that the network sees; auto: the longest season, at least two horizons"
    )
    patch_length: PositiveInt = Field(default=1, description="neighbouring steps read as one token")
    dropout_rate: Rate = 0.2
    normalization: Literal["instance", "series", "none"] = "instance"
    difference: PositiveInt | Literal["season"] | None = Field(
        default=None,
        description="lag that the network sees the target differenced by; season: the shortest season length",
    )
    residual: Literal["none", "last", "season"] = Field(
        default="last", description="what the network's output is added to"
    )
    linear_skip: bool = Field(default=False, description="add a linear map of the whole window")
    batch_size: PositiveInt = 32
    epochs: PositiveInt = 100
    windows_per_epoch: PositiveInt | None = Field(
        default=None, description="windows drawn for one epoch; default: each once"
    )
    learning_rate: PositiveFloat = 1e-3
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    loss: Literal["mse", "mae", "huber"] = "mse"
    clip_norm: PositiveFloat | None = 1.0
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        default="float32", description="of the updates; weights, losses and forecasts are float32"
    )
    jit_compile: Literal["auto"] | bool = Field(
        default="auto", description="compile the updates by XLA; auto: on a GPU, where every layer allows it"
    )
    early_stopping: EarlyStopping = EarlyStopping()

    @model_validator(mode="after")
    def _patches(self) -> Self:
        if self.sequence_length != "auto" and self.sequence_length % self.patch_length:
            raise ValueError(
                f"patch_length {self.patch_length} does not divide sequence_length {self.sequence_length};"
                " allowed: a divisor of it"
            )
        return self


class LstmSettings(NeuralSettings):
    """``lstm.yaml``."""

    hidden_units: list[PositiveInt] = Field(
        default=[128, 64], min_length=1, description="units of each layer"
    )


class TransformerSettings(NeuralSettings):
    """``transformer.yaml``."""

    d_model: PositiveInt = 512
    num_heads: PositiveInt = 8
    num_layers: PositiveInt = 6
    dff: PositiveInt = 2048
    dropout_rate: Rate = 0.1
    pooling: Literal["average", "flatten", "last"] = "average"

    @model_validator(mode="after")
    def _heads(self) -> Self:
        if self.d_model % self.num_heads:
            raise ValueError(
                f"num_heads {self.num_heads} does not divide d_model {self.d_model}; allowed: a divisor of it"
            )
        return self


class CatBoostSettings(ModelSettings):
    """``catboost.yaml``."""

    iterations: PositiveInt = 1000
    learning_rate: PositiveFloat = 0.1
    depth: Annotated[int, Field(ge=1, le=16)] = 6
    l2_leaf_reg: PositiveFloat = 3
    bootstrap_type: Literal["Bayesian", "Bernoulli", "MVS", "No"] = "Bayesian"
    bagging_temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = 1
    od_type: Literal["Iter", "IncToDec"] = "Iter"
    od_wait: PositiveInt = 50
    loss_function: Literal["RMSE", "MAE"] = "RMSE"
    eval_metric: Literal["RMSE", "MAE"] = "MAE"
    differences: Literal["auto", "none"] | list[PositiveInt] = Field(
        default="auto",
        description="lags to difference the target by; auto: 1 or the season whose naive forecast errs least",
    )
    averaged: Annotated[int, Field(ge=1, le=100)] = Field(
        default=1,
        description="models whose forecasts are averaged, each with a seed and, where differences are auto,"
        " differences of its own: 1, the season lengths, and sets of these; the better, the heavier",
    )
    lags: list[PositiveInt] | None = Field(
        default=None, min_length=1, description="default: 1 to 24, each season length and the next"
    )
    rolling_windows: list[PositiveInt] | None = Field(
        default=None, min_length=1, description="of rolling means; default: 6 and the season lengths"
    )
    max_rows: PositiveInt = Field(default=2_000_000, description="newest training rows kept, shared equally")

    @model_validator(mode="after")
    def _bagging(self) -> Self:
        if self.bootstrap_type != "Bayesian" and self.bagging_temperature not in (None, 1):
            raise ValueError(
                f"bagging_temperature has no effect with bootstrap_type {self.bootstrap_type}; allowed:"
                " Bayesian"
            )
        return self


class EnsembleSettings(Settings):
    """``ensemble.yaml``."""

    method: Literal["greedy", "nnls", "ols", "equal"] = Field(
        default="greedy", description="how the weights are fitted; ols, unconstrained, is for one series"
    )
    greedy_rounds: PositiveInt = 50
    quantiles: list[Share] = Field(default=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], min_length=1)
    min_models: PositiveInt = Field(default=1, description="trained members without which the run fails")

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.quantiles != sorted(set(self.quantiles)):
            raise ValueError(f"quantiles {self.quantiles} are not in ascending order, each once")
        return self


ModelKind = Literal["arima", "lstm", "transformer", "catboost"]


class TuningSettings(Settings):
    """Who searches, and for which models; how long is in ``training.optimization``."""

    tuner: Literal["none", "optuna", "katib"] = "none"
    models: list[Literal[ModelKind, "ensemble"]] | None = Field(
        default=None, min_length=1, description="default: every model of the pipeline"
    )
    storage: Literal["journal", "database"] = Field(
        default="journal", description="optuna: of the trials; database: at KUBECAST_OPTUNA_URL"
    )
    workers: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1, description="trials at one time, of each model"
    )

    @model_validator(mode="after")
    def _shared(self) -> Self:
        if self.workers > 1 and self.tuner != "katib" and self.storage != "database":
            raise ValueError(
                f"workers {self.workers} with storage {self.storage}, which one worker alone can write;"
                " allowed: storage database, or 1 worker"
            )
        return self


class PipelineSettings(Settings):
    """``pipeline.yaml``: what shapes the graph, decided when the pipeline is compiled."""

    models: list[ModelKind] = Field(default=["arima", "lstm", "transformer", "catboost"], min_length=1)
    final_fit: bool = Field(default=True, description="fit each model again on all rows before publishing")
    on_trainer_failure: Literal["continue", "stop"] = "continue"
    tuning: TuningSettings = TuningSettings()

    @model_validator(mode="after")
    def _once(self) -> Self:
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"models {self.models} names one twice; allowed: each once")
        if unknown := set(self.tuning.models or []) - {*self.models, "ensemble"}:
            raise ValueError(
                f"tuning.models names {', '.join(sorted(unknown))}, which is not trained; allowed:"
                f" {', '.join(self.models)}, ensemble"
            )
        return self

    @property
    def tuned(self) -> list[str]:
        """What is tuned before it is trained."""
        if self.tuning.tuner == "none":
            return []
        return list(self.models if self.tuning.models is None else self.tuning.models)


class AllSettings(Settings):
    """Every settings file of a folder, each under the name of its file."""

    training: TrainingSettings = TrainingSettings()
    arima: ArimaSettings = ArimaSettings()
    lstm: LstmSettings = LstmSettings()
    transformer: TransformerSettings = TransformerSettings()
    catboost: CatBoostSettings = CatBoostSettings()
    ensemble: EnsembleSettings = EnsembleSettings()
    pipeline: PipelineSettings = PipelineSettings()
    search: SearchSettings = SearchSettings()
    cluster: ClusterSettings = ClusterSettings()


S = TypeVar("S", bound=Settings)


def load_settings(folder: Path | None, overrides: Iterable[str] = ()) -> AllSettings:
    """Read every settings file of a folder; a file that is not there keeps its defaults.

    Args:
        folder: Holds ``training.yaml``, ``lstm.yaml`` and so on, and ``search/lstm.yaml`` and so on; each has
            one top-level key, its name. None: the defaults.
        overrides: ``file.key[.key]=value``, the value read as YAML, e.g. ``lstm.epochs=5``.

    Raises:
        ConfigError: A file, key or value is wrong.
    """
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"{folder}: no such configuration folder")
    _refuse_misspelt_files(folder)
    files = {name: f"{name}.yaml" if folder is None else str(folder / f"{name}.yaml") for name in SECTIONS}
    parts = {name: {} if folder is None else _section(Path(path), name) for name, path in files.items()}
    parts["search"], files["search"] = _spaces(folder), str((folder or Path()) / "search")
    found = {name: validate(SECTIONS[name], part, files[name], name) for name, part in parts.items()}
    overrides = list(overrides)
    changed: dict[str, list[str]] = {}
    for override in overrides:
        changed.setdefault(_apply(parts, override), []).append(override)
    for name, texts in changed.items():
        found[name] = validate(SECTIONS[name], parts[name], f"--set {' '.join(texts)}", name)
    settings = AllSettings.model_validate(found)
    fixed = [override.partition("=")[0].strip() for override in overrides]
    spaces = {}
    for kind in SearchSettings.model_fields:
        model, space = SECTIONS[kind], settings.search.of(kind)
        check_names(kind, model, space)
        if kind in settings.pipeline.tuned:
            check_space(kind, getattr(settings, kind), space)
        # What is set by hand is not searched.
        held = {key.split(".")[1] for key in fixed if key.split(".")[0] == kind}
        spaces[kind] = {name: found for name, found in space.items() if setting_of(model, name) not in held}
    return settings.model_copy(update={"search": SearchSettings(**spaces)})


def _refuse_misspelt_files(folder: Path | None) -> None:
    known = {"": [*SECTIONS], "search": [*SearchSettings.model_fields]}
    for below, names in known.items():
        for path in sorted((folder / below).glob("*.y*ml")) if folder else []:
            near = difflib.get_close_matches(path.stem, names, n=1, cutoff=0.8)
            if near and path.name != f"{near[0]}.yaml":
                raise ConfigError(f"{path}: not a settings file's name; did you mean {near[0]}.yaml?")


def parse_settings(model: type[S], text: str, parameter: str) -> S:
    """Read one settings file's JSON, as a pipeline parameter carries it.

    Raises:
        ConfigError: The text is not JSON, or a key or value in it is wrong.
    """
    try:
        data = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"parameter {parameter}: not valid JSON ({error})") from error
    if not isinstance(data, dict):
        raise ConfigError(f"parameter {parameter}: found {type(data).__name__}, allowed: a JSON object")
    return validate(model, data, f"parameter {parameter}")


def validate(model: type[S], data: Mapping[str, Any], where: str, prefix: str = "") -> S:
    """Build ``model`` from plain data, with one-line errors that name the place and what is allowed."""
    _check_keys(model, data, where, prefix)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(_one_line(error, where, prefix)) from error


def _one_line(error: ValidationError, where: str, prefix: str) -> str:
    messages: dict[str, list[str]] = {}
    errors = error.errors(include_url=False)
    for each in errors:
        # Beside names and places a location holds pydantic's tags for the kinds that a value may be of.
        parts = [part for part in each["loc"] if isinstance(part, int) or part.isidentifier()]
        key = ".".join(str(part) for part in (prefix, *parts) if part != "")
        messages.setdefault(key, []).append(each["msg"].removeprefix("Value error, "))
    key, (message, *other_kinds) = next(iter(messages.items()))
    allowed = " or ".join([message, *(other.removeprefix("Input should be ") for other in other_kinds)])
    found = "" if isinstance(errors[0]["input"], dict) else f", found {errors[0]['input']!r}"
    rest = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
    return f"{where}: {key}: {allowed}{found}{rest}" if key else f"{where}: {allowed}{found}{rest}"


def _check_keys(model: type[BaseModel], data: Mapping[str, Any], where: str, prefix: str) -> None:
    for key, value in data.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        field = model.model_fields.get(key) if isinstance(key, str) else None
        if field is None:
            raise ConfigError(f"{where}: {_unknown(model, str(key), path)}")
        for nested in (field.annotation, *get_args(field.annotation)):
            if isinstance(nested, type) and issubclass(nested, BaseModel):
                for inner, part in _mappings(value, path):
                    _check_keys(nested, part, where, inner)


def _mappings(value: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A mapping, or those in a list, each with its path."""
    if isinstance(value, dict):
        yield path, value
    for number, item in enumerate(value if isinstance(value, list) else []):
        yield from _mappings(item, f"{path}.{number}")


def _unknown(model: type[BaseModel], key: str, path: str) -> str:
    removed = model.removed if issubclass(model, Settings) else {}
    if key in removed:
        return f"{path} is no setting any more: {removed[key]}; allowed: without it"
    return f"unknown key {path}; {_nearest(key, model.model_fields)}"


def _nearest(key: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"allowed: {', '.join(names)}"


def _spaces(folder: Path | None) -> dict[str, Any]:
    """The search spaces, each from a file of its own; all of them, so that ``--set`` can change one value."""
    kinds = SearchSettings.model_fields
    files = {kind: folder / "search" / f"{kind}.yaml" for kind in kinds} if folder else {}
    found = {kind: _section(file, kind) for kind, file in files.items() if file.exists()}
    return SearchSettings().model_dump() | found


def _section(path: Path, name: str) -> dict[str, Any]:
    if not path.exists():
        return {}
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: found no mapping, allowed: one top-level key, {name}")
    for key in document:
        if key != name:
            raise ConfigError(f"{path}: unknown key {key}; allowed: one top-level key, {name}")
    section = document.get(name)
    if not isinstance(section, dict):
        raise ConfigError(f"{path}: {name} holds {type(section).__name__}, allowed: a mapping of keys")
    return section


def _apply(parts: dict[str, dict[str, Any]], override: str) -> str:
    """Put one override over the files' data, and tell whose."""
    path, equals, text = override.partition("=")
    name, *keys = path.strip().split(".")
    if not equals or not keys or not all(keys):
        raise ConfigError(f"--set {override}: allowed: FILE.KEY=VALUE, e.g. lstm.epochs=5")
    if name not in parts:
        raise ConfigError(f"--set {override}: unknown file {name}; {_nearest(name, parts)}")
    target = parts[name]
    for key in keys[:-1]:
        target = target.setdefault(key, {})
        if not isinstance(target, dict):
            raise ConfigError(f"--set {override}: {key} holds a value, allowed: the name of a group")
    target[keys[-1]] = parse_yaml(text, f"--set {override}")
    return name


def read_yaml(path: Path) -> Any:
    """Read a YAML file of at most 1 MB; see ``parse_yaml``."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ConfigError(f"{path}: {size} bytes, allowed: {MAX_BYTES}")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML as strictly as JSON.

    Aliases, tags, duplicate keys and deep nesting are refused before anything is built. Only ``true``
    and ``false`` are booleans, and a number with a leading zero is text, as in YAML 1.2.

    Raises:
        ConfigError: Naming the line.
    """
    try:
        _check_events(text, where)
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506  a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{where}: line {line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not YAML ({' '.join(str(error).split())})") from error
    except ValueError as error:
        raise ConfigError(f"{where}: a value cannot be read ({error})") from error


def _check_events(text: str, where: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{where}: line {line}: alias *{event.anchor}; allowed: no aliases")
        if tag := getattr(event, "tag", None):
            raise ConfigError(f"{where}: line {line}: tag {tag}; allowed: no tags")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise ConfigError(f"{where}: line {line}: nested deeper than {MAX_DEPTH} levels")


class _StrictLoader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012  PyYAML's own interface

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is not text", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {key}", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


for _tag, _pattern, _first in (  # the first character decides which patterns are tried
    ("bool", r"true|false", "tf"),
    ("null", r"null|~|", ["n", "~", ""]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _StrictLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first)
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"duplicate key {twice}")
    return dict(pairs)


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


SECTIONS: dict[str, type[Settings]] = {
    name: field.annotation  # type: ignore[misc]
    for name, field in AllSettings.model_fields.items()
}
"""Each settings file's model, by the file's name."""

PARAMETERS = tuple(name for name in SECTIONS if name not in {"pipeline", "cluster"})
"""Those that a run is given as a parameter; the others shape the graph when it is compiled."""


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
