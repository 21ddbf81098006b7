"""``pipeline.yaml``: what shapes the graph, decided when the pipeline is compiled."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kubecast.config.base import Settings

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
