"""``mean.yaml``."""

from typing import ClassVar

from pydantic import Field

from kubecast.config.base import PositiveInt
from kubecast.config.model import ModelSettings


class MeanSettings(ModelSettings):
    """``mean.yaml``."""

    machine: ClassVar[tuple[str, ...]] = (*ModelSettings.machine, "threads")

    steps: PositiveInt = Field(default=24, description="newest values that are averaged")
    threads: PositiveInt = Field(default=1, description="of the machine; a mean needs one")

    @property
    def rounds(self) -> int:
        """One."""
        return 1
