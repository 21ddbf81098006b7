"""The base of the settings of every trained model."""

from typing import ClassVar

from pydantic import Field

from kubecast.config.base import PositiveFloat, Settings


class ModelSettings(Settings):
    """The settings that every trained model has."""

    machine: ClassVar[tuple[str, ...]] = ("time_limit",)

    reports_improvements: ClassVar[bool] = False
    """Whether rounds call ``FitPlan.on_improvement``, so that a search may end a trial within a fit."""

    time_limit: PositiveFloat | None = Field(default=None, description="seconds of one fit, saving included")

    @property
    def rounds(self) -> int | None:
        """The most rounds of a fit, each of which calls ``FitPlan.on_step``; None: one for each series."""
        return None
