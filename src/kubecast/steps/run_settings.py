"""The settings of one run: fixed by ``resolve_inputs``, kept beside the panel, read there by later steps.

So they are in one place, and no task repeats them in the run's Workflow object.
"""

import hashlib
import json
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from kubecast.config.base import Settings
from kubecast.config.training import TrainingSettings
from kubecast.config.validation import validate
from kubecast.documents import read_document
from kubecast.errors import ConfigError
from kubecast.models import KINDS
from kubecast.settings.loading import SECTIONS, AllSettings
from kubecast.settings.pipeline import TuningSettings

RUN = "run.json"
FROM_RUN = "{}"
"""Stands for the settings of the run, in place of a model's own."""

Section = dict[str, JsonValue]
"""Settings as their file has them; keys with their default may be missing."""


class Parameter(BaseModel):
    """Settings that ``resolve_inputs`` fixes and hands on as the JSON of a pipeline parameter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parameter: ClassVar[str]
    """The parameter's name, for messages."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read JSON.

        Raises:
            ConfigError: It is not what ``resolve_inputs`` writes.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ConfigError(f"parameter {cls.parameter}: {' '.join(str(error).split())[:300]}") from error

    def text(self) -> str:
        """JSON that ``parse`` reads, without defaults."""
        return self.model_dump_json(exclude_defaults=True)


class RunSettings(Parameter):
    """The settings that every step of a run may read, before any search.

    Attributes:
        training: Settings with the run's own horizon, frequency and season lengths.
        models: Settings of each kind of model, trained or not, and of ``ensemble``; the graph says which are
            trained.
        seed: Seed of every random choice.
        on_failure: Whether the run goes on where a model cannot be fitted.
    """

    parameter: ClassVar[str] = "settings"

    training: TrainingSettings
    models: dict[str, Section]
    seed: int = 42
    on_failure: Literal["continue", "stop"] = "continue"

    @classmethod
    def from_settings(cls, settings: AllSettings) -> Self:
        """Make the settings of a run from settings files, where there is neither champion nor parameter."""
        return cls(
            training=settings.training,
            models={kind: section(settings.of_kind(kind)) for kind in (*KINDS, "ensemble")},
            seed=settings.training.seed,
            on_failure=settings.pipeline.on_trainer_failure,
        )

    @classmethod
    def read(cls, panel_dir: Path) -> Self:
        """Read the settings that are kept beside a panel."""
        return read_document(cls, panel_dir / RUN, "a run's settings")

    def write(self, panel_dir: Path) -> None:
        """Keep the settings beside a panel."""
        (panel_dir / RUN).write_text(self.model_dump_json(indent=1))

    def digest_without_seed(self) -> str:
        """The digest of the settings but the seed and the gate, which another try at the same has too."""
        training = self.training.model_dump(mode="json", exclude={"seed", "promotion"})
        text = json.dumps([training, self.models], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def of_kind(self, kind: str) -> Settings:
        """The settings of a model, or of the ensemble.

        Raises:
            ConfigError: The run has no such model.
        """
        if kind not in self.models:
            raise ConfigError(f"the run has no settings of {kind}; allowed: {', '.join(self.models)}")
        return validate(SECTIONS[kind], self.models[kind], f"{kind}_settings of the run")


class SearchPlan(Parameter):
    """The inputs of a search beside the settings of the run.

    Attributes:
        tuning: Settings ``pipeline.tuning``.
        spaces: Search spaces by kind.
        champion: Settings of the champion by kind, which a search tries first; empty where there are none.
    """

    parameter: ClassVar[str] = "search"

    tuning: TuningSettings
    spaces: Section
    champion: dict[str, Section] = {}

    @classmethod
    def from_settings(cls, settings: AllSettings) -> Self:
        """Make the plan of settings files."""
        pipeline = settings.pipeline
        spaces = settings.search.model_dump(mode="json", include=set(pipeline.tuned))
        return cls(tuning=pipeline.tuning, spaces=spaces)


def section(settings: Settings) -> Section:
    """The settings that differ from their defaults."""
    return settings.model_dump(mode="json", exclude_defaults=True)
