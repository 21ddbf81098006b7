"""The base of the settings of every trained model."""

from typing import ClassVar

from pydantic import Field

from kubecast.config.base import PositiveFloat, PositiveInt, Settings


class ModelSettings(Settings):
    """The settings that every trained model has."""

    machine: ClassVar[tuple[str, ...]] = ("time_limit",)

    reports_improvements: ClassVar[bool] = False
    """Whether rounds call ``FitPlan.on_improvement``, so that a search may end a trial within a fit."""

    time_limit: PositiveFloat | None = Field(default=None, description="seconds of one fit, saving included")

    @property
    def sample_rows(self) -> int | None:
        """Training rows of the series that it is fitted to, at most; None: it is fitted to all series."""
        return None

    @property
    def rounds(self) -> int | None:
        """The most rounds of a fit, each of which calls ``FitPlan.on_step``; None: one for each series."""
        return None


class GlobalSettings(ModelSettings):
    """The settings of a model that one fit makes for all series."""

    max_rows: PositiveInt = Field(
        default=2_000_000,
        description="training rows that it is fitted to; of more, a sample of whole series with the panel's"
        " mix of scale, length and zeros",
    )

    @property
    def sample_rows(self) -> int:
        """``max_rows``."""
        return self.max_rows
