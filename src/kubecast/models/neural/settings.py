"""``lstm.yaml`` and ``transformer.yaml``."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from kubecast.config.base import PositiveFloat, PositiveInt, Rate, Settings
from kubecast.config.model import GlobalSettings


class EarlyStopping(Settings):
    """When training stops before its last epoch; the best weights are kept."""

    patience: PositiveInt = Field(default=10, description="epochs without a better loss")
    monitor: Literal["val_loss", "loss"] = Field(
        default="val_loss", description="or loss, that of the training windows"
    )


class NeuralSettings(GlobalSettings):
    """What LSTM and Transformer share: windows, normalisation and the training loop."""

    machine: ClassVar[tuple[str, ...]] = (*GlobalSettings.machine, "precision", "jit_compile")
    reports_improvements: ClassVar[bool] = True

    sequence_length: PositiveInt | Literal["auto"] = Field(
        default=60,
        description="steps that the network sees; or auto: the longest season, at least two horizons",
    )
    patch_length: PositiveInt = Field(
        default=1, description="neighbouring steps read as one token; divides sequence_length"
    )
    dropout_rate: Rate = Field(default=0.2, description="share of the units that an update leaves out")
    normalization: Literal["instance", "series", "none"] = Field(
        default="instance", description="each window by its own mean and spread; or series, none"
    )
    difference: PositiveInt | Literal["season"] | None = Field(
        default=None, description="lag that the target is differenced by; season: the shortest season length"
    )
    residual: Literal["none", "last", "season"] = Field(
        default="last",
        description="the output is added to the last value; or season, one longest season ago; none",
    )
    linear_skip: bool = Field(
        default=False, description="true: add a linear map of the whole window, fitted in closed form"
    )
    batch_size: PositiveInt = Field(default=32, description="windows of one update")
    epochs: PositiveInt = Field(default=100, description="at most")
    windows_per_epoch: PositiveInt | None = Field(
        default=None, description="windows drawn for one epoch; null: each once"
    )
    learning_rate: PositiveFloat = Field(default=1e-3, description="of Adam")
    schedule: Literal["constant", "cosine", "plateau"] = Field(
        default="constant", description="of the learning rate; or cosine, plateau"
    )
    loss: Literal["mse", "mae", "huber"] = Field(default="mse", description="or mae, huber")
    clip_norm: PositiveFloat | None = Field(
        default=1.0, description="largest norm of the gradient; null: no limit"
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        default="float32", description="of the updates; or mixed_bfloat16, mixed_float16, for GPUs"
    )
    jit_compile: Literal["auto"] | bool = Field(
        default="auto", description="updates by XLA: on a GPU, where every layer allows it; or true, false"
    )
    early_stopping: EarlyStopping = EarlyStopping()

    @property
    def rounds(self) -> int:
        """Epochs."""
        return self.epochs

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
        default=[128, 64], min_length=1, description="units of each layer; any number of layers"
    )


class TransformerSettings(NeuralSettings):
    """``transformer.yaml``."""

    d_model: PositiveInt = Field(default=512, description="width of a token")
    num_heads: PositiveInt = Field(default=8, description="divides d_model")
    num_layers: PositiveInt = Field(default=6, description="blocks of attention")
    dff: PositiveInt = Field(default=2048, description="width inside a block")
    dropout_rate: Rate = Field(default=0.1, description="share of the units that an update leaves out")
    pooling: Literal["average", "flatten", "last"] = Field(
        default="average", description="over the tokens; or flatten, last"
    )

    @model_validator(mode="after")
    def _heads(self) -> Self:
        if self.d_model % self.num_heads:
            raise ValueError(
                f"num_heads {self.num_heads} does not divide d_model {self.d_model}; allowed: a divisor of it"
            )
        return self
