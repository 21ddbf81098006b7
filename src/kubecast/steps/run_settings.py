"""The settings of one run: fixed by ``resolve_inputs``, kept beside the panel, read there by later steps.

So they are in one place, and no task repeats them in the run's Workflow object.
"""

from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from kubecast.config.base import Settings
from kubecast.config.training import TrainingSettings
from kubecast.config.validation import validate
from kubecast.errors import ConfigError, IntegrityError
from kubecast.settings.loading import SECTIONS, AllSettings
from kubecast.settings.pipeline import ModelKind, TuningSettings

RUN = "run.json"
KINDS = (*get_args(ModelKind), "ensemble")
THE_RUNS = "{}"
"""In place of a model's settings: those of the run."""

Section = dict[str, JsonValue]
"""Settings as their file has them; what is the default may be missing."""


class RunSettings(BaseModel):
    """What every step of a run may read, before any search.

    Attributes:
        training: With the run's own horizon, frequency and season lengths.
        models: Of each kind of model, trained or not, and of ``ensemble``: which are trained is the graph's.
        seed: Of every random choice.
        on_failure: What happens where a model cannot be fitted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    training: TrainingSettings
    models: dict[str, Section]
    seed: int = 42
    on_failure: Literal["continue", "stop"] = "continue"

    @classmethod
    def of(cls, settings: AllSettings) -> Self:
        """Those of settings files, where there is neither champion nor parameter."""
        return cls(
            training=settings.training,
            models={kind: section(getattr(settings, kind)) for kind in KINDS},
            seed=settings.training.seed,
            on_failure=settings.pipeline.on_trainer_failure,
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read JSON.

        Raises:
            ConfigError: It is not what ``resolve_inputs`` writes.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ConfigError(f"parameter settings: {' '.join(str(error).split())[:300]}") from error

    @classmethod
    def read(cls, panel_dir: Path) -> Self:
        """Read those that are kept beside a panel."""
        try:
            return cls.model_validate_json((panel_dir / RUN).read_bytes())
        except (OSError, ValidationError) as error:
            raise IntegrityError(
                f"{panel_dir / RUN}: not a run's settings ({' '.join(str(error).split())[:200]})"
            ) from error

    def write(self, panel_dir: Path) -> None:
        """Keep them beside a panel."""
        (panel_dir / RUN).write_text(self.model_dump_json(indent=1))

    def text(self) -> str:
        """What ``parse`` reads, as short as can be."""
        return self.model_dump_json(exclude_defaults=True)

    def of_kind(self, kind: str) -> Settings:
        """The settings of a model, or of the ensemble.

        Raises:
            ConfigError: The run has no such model.
        """
        if kind not in self.models:
            raise ConfigError(f"the run has no settings of {kind}; allowed: {', '.join(self.models)}")
        return validate(SECTIONS[kind], self.models[kind], f"{kind}_settings of the run")


class SearchPlan(BaseModel):
    """What the tasks that search are told besides, and no other.

    Attributes:
        tuning: How searches are made.
        spaces: By kind.
        champion: The champion's settings by kind, which a search tries first; empty where there are none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tuning: TuningSettings
    spaces: Section
    champion: dict[str, Section] = {}

    @classmethod
    def of(cls, settings: AllSettings) -> Self:
        """That of settings files."""
        pipeline = settings.pipeline
        spaces = settings.search.model_dump(mode="json", include=set(pipeline.tuned))
        return cls(tuning=pipeline.tuning, spaces=spaces)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read JSON.

        Raises:
            ConfigError: It is not what ``resolve_inputs`` writes.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ConfigError(f"parameter search: {' '.join(str(error).split())[:300]}") from error

    def text(self) -> str:
        """What ``parse`` reads."""
        return self.model_dump_json(exclude_defaults=True)


def section(settings: Settings) -> Section:
    """Those settings that are not the default."""
    return settings.model_dump(mode="json", exclude_defaults=True)
