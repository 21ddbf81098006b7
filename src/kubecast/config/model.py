"""What the settings of every trained model share."""

from pydantic import Field

from kubecast.config.base import PositiveFloat, Settings

MACHINE = ("time_limit", "precision", "jit_compile")
"""Keys of a model's settings that speak of the machine: a retraining takes them from the file."""


class ModelSettings(Settings):
    """What every trained model has."""

    time_limit: PositiveFloat | None = Field(default=None, description="seconds of one fit, saving included")
