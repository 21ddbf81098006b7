"""``catboost.yaml``."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from kubecast.config.base import PositiveFloat, PositiveInt
from kubecast.config.model import GlobalSettings


class CatBoostSettings(GlobalSettings):
    """``catboost.yaml``."""

    renamed: ClassVar[Mapping[str, str]] = {"averaged": "n_models"}

    iterations: PositiveInt = Field(default=1000, description="trees, at most")
    learning_rate: PositiveFloat = Field(default=0.1, description="of one tree")
    depth: Annotated[int, Field(ge=1, le=16)] = Field(default=6, description="of a tree")
    l2_leaf_reg: PositiveFloat = Field(default=3, description="L2 penalty of the leaves")
    bootstrap_type: Literal["Bayesian", "Bernoulli", "MVS", "No"] = Field(
        default="Bayesian", description="or Bernoulli, MVS, No"
    )
    bagging_temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=1, description="with Bayesian alone"
    )
    od_type: Literal["Iter", "IncToDec"] = Field(
        default="Iter", description="or IncToDec: how a fit that gets no better is recognised"
    )
    od_wait: PositiveInt = Field(
        default=50,
        description="trees without a better evaluation before a fit stops; the best number is kept",
    )
    loss_function: Literal["RMSE", "MAE"] = Field(default="RMSE", description="or MAE")
    eval_metric: Literal["RMSE", "MAE"] = Field(
        default="MAE", description="or RMSE: what stops a fit, on the newest tenth of the training rows"
    )
    differences: Literal["auto", "none"] | list[PositiveInt] = Field(
        default="auto",
        description="lags to difference the target by; auto: 1 or the season whose naive forecast errs least",
    )
    n_models: Annotated[int, Field(ge=1, le=100)] = Field(
        default=1,
        description="models whose forecasts are averaged, each with a seed and, where differences are auto,"
        " differences of its own: 1, the season lengths, and sets of these; the better, the heavier",
    )
    lags: list[PositiveInt] | None = Field(
        default=None,
        min_length=1,
        description="null: 1 to 24, each season length and the next, two first seasons",
    )
    rolling_windows: list[PositiveInt] | None = Field(
        default=None, min_length=1, description="lengths of rolling means; null: 6 and the season lengths"
    )

    @property
    def rounds(self) -> int:
        """Trees."""
        return self.iterations

    @model_validator(mode="after")
    def _bagging(self) -> Self:
        if self.bootstrap_type != "Bayesian" and self.bagging_temperature not in (None, 1):
            raise ValueError(
                f"bagging_temperature has no effect with bootstrap_type {self.bootstrap_type}; allowed:"
                " Bayesian"
            )
        return self
