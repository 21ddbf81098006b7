"""``ensemble.yaml``."""

from typing import Literal, Self

from pydantic import Field, model_validator

from kubecast.config.base import PositiveInt, Settings, Share


class EnsembleSettings(Settings):
    """``ensemble.yaml``."""

    method: Literal["greedy", "nnls", "ols", "equal"] = Field(
        default="greedy",
        description="how the weights are fitted; or nnls, equal; ols, unconstrained, for one series",
    )
    greedy_rounds: PositiveInt = Field(
        default=50, description="times that greedy adds the member that helps most"
    )
    quantiles: list[Share] = Field(
        default=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
        min_length=1,
        description="levels that are forecast, in ascending order",
    )
    min_models: PositiveInt = Field(default=1, description="trained members without which the run fails")

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.quantiles != sorted(set(self.quantiles)):
            raise ValueError(f"quantiles {self.quantiles} are not in ascending order, each once")
        return self
