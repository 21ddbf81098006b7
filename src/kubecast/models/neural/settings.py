"""``lstm.yaml`` and ``transformer.yaml``."""

from typing import Literal, Self

from pydantic import Field, model_validator

from kubecast.config.base import PositiveFloat, PositiveInt, Rate, Settings
from kubecast.config.model import ModelSettings


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
