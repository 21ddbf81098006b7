"""``mean.yaml``."""

from pydantic import Field

from kubecast.config.base import PositiveInt
from kubecast.config.model import ModelSettings


class MeanSettings(ModelSettings):
    """``mean.yaml``."""

    steps: PositiveInt = Field(default=24, description="newest values that are averaged")
