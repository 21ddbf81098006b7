"""``catboost.yaml``."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from kubecast.config.base import PositiveFloat, PositiveInt
from kubecast.config.model import ModelSettings


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
