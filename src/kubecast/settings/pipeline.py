"""``pipeline.yaml``: what shapes the graph, decided when the pipeline is compiled."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from kubecast.config.base import Settings
from kubecast.models import DEFAULT_KINDS, KINDS

if TYPE_CHECKING:
    ModelKind = str
    TunedKind = str
else:  # so that a message names what is allowed
    ModelKind = Literal[tuple(KINDS)]
    TunedKind = Literal[(*KINDS, "ensemble")]

MOST_SHARDS = 64
"""With more, the workflow of a run would grow too large for Argo."""


class TuningSettings(Settings):
    """The tuner and the models that it tunes; how long it may take is in ``training.optimization``."""

    tuner: Literal["none", "optuna", "katib"] = Field(
        default="none", description="or optuna, katib; mode tune is optuna where this says none"
    )
    models: list[TunedKind] | None = Field(
        default=None,
        min_length=1,
        description="of those above, and ensemble; default: every model",
        examples=[["lstm"]],
    )
    storage: Literal["journal", "database"] = Field(
        default="journal", description="of Optuna: one worker's own file; or database, at KUBECAST_OPTUNA_URL"
    )
    workers: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1, description="trials at one time, of each model; more than 1 need a database, or katib"
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

    models: list[ModelKind] = Field(
        default=[*DEFAULT_KINDS], min_length=1, description="kinds that are trained"
    )
    final_fit: bool = Field(default=True, description="fit each model again on all rows before publishing")
    on_trainer_failure: Literal["continue", "stop"] = Field(
        default="continue", description="or stop: end the run where a model cannot be fitted"
    )
    shards: Literal["auto"] | Annotated[int, Field(ge=1, le=MOST_SHARDS)] = Field(
        default="auto",
        description="parts of the series with a task each, to forecast them in mode score and, where it is a"
        " number, to fit ARIMA; auto: one for every 5 million rows, at most 64",
    )
    min_shards: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = Field(
        default=1.0,
        description="share of them that must succeed; the rest is named, and has no forecasts or, in a fit,"
        " the fallback",
    )
    tuning: TuningSettings = Field(
        default=TuningSettings(),
        description="before training, over the spaces in search/; nothing that --set fixes is searched",
    )

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

    def fitted_shards(self, kind: str) -> int:
        """The tasks that fit the series of a model; their rows are not known yet, so that auto is one.

        Args:
            kind: Key of ``kubecast.models.KINDS``.
        """
        return 1 if self.shards == "auto" or not KINDS[kind].divisible else self.shards

    @property
    def tuned(self) -> list[str]:
        """The kinds that are tuned before they are trained."""
        if self.tuning.tuner == "none":
            return []
        return list(self.models if self.tuning.models is None else self.tuning.models)
