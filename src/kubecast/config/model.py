"""The base of the settings of every trained model."""

from pydantic import Field

from kubecast.config.base import PositiveFloat, Settings

MACHINE = ("time_limit", "precision", "jit_compile")
"""The keys of a model's settings that describe the machine: a retraining takes them from the file."""


class ModelSettings(Settings):
    """The settings that every trained model has."""

    time_limit: PositiveFloat | None = Field(default=None, description="seconds of one fit, saving included")
