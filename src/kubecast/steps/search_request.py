"""The request of a search, the same for every tuner."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from kubecast.config.base import Settings
from kubecast.config.model import ModelSettings
from kubecast.config.search import Space
from kubecast.config.validation import parse_settings, validate
from kubecast.settings.loading import SECTIONS
from kubecast.settings.pipeline import TuningSettings
from kubecast.settings.search import SearchSettings
from kubecast.steps.run_settings import FROM_RUN, RunSettings, SearchPlan, Section


class Request(BaseModel):
    """A request to tune the settings of a model, or of the ensemble; workers get it as JSON.

    Attributes:
        kind: Key of ``kubecast.models.KINDS``, or ``ensemble``.
        panel_dir: From ``prepare_data``.
        settings: Settings file of that kind.
        champion: The champion's settings of that kind; None: there are none.
        space: Search space of that kind.
        tuning: Settings ``pipeline.tuning``.
        seed: Seed of every random choice.
        members: For the ensemble: settings of each model that is in it, by kind.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    panel_dir: Path
    settings: Section
    champion: Section | None
    space: Space
    tuning: TuningSettings
    seed: int
    members: dict[str, Section] = {}

    @classmethod
    def from_run(cls, kind: str, panel_dir: Path, search: str, members: Mapping[str, str]) -> Self:
        """Make a request with the run's settings, which are kept beside the panel.

        Args:
            kind: Key of ``kubecast.models.KINDS``, or ``ensemble``.
            panel_dir: From ``prepare_data``.
            search: JSON of the ``SearchPlan``.
            members: For the ensemble, of each model that is in it: JSON of the settings that a search chose,
                or ``{}`` where the run's are taken.
        """
        run, plan = RunSettings.read(panel_dir), SearchPlan.parse(search)

        def settings(name: str, text: str = FROM_RUN) -> Section:
            if text == FROM_RUN:
                return run.of_kind(name).model_dump(mode="json")
            return parse_settings(SECTIONS[name], text, f"{name}_settings").model_dump(mode="json")

        return cls(
            kind=kind,
            panel_dir=panel_dir,
            settings=settings(kind),
            champion=plan.champion.get(kind),
            space=validate(SearchSettings, plan.spaces, "parameter search").space_of(kind),
            tuning=plan.tuning,
            seed=run.seed,
            members={name: settings(name, text) for name, text in members.items() if text},
        )

    def checked_settings(self) -> tuple[Settings, dict[str, ModelSettings]]:
        """The settings of the kind, and those of the ensemble's members."""
        members: dict[str, Any] = {
            kind: validate(SECTIONS[kind], settings, f"{kind}_settings")
            for kind, settings in self.members.items()
        }
        return validate(SECTIONS[self.kind], self.settings, f"{self.kind}_settings"), members

    def key(self) -> str:
        """Digest of everything that the search is a function of, for its name and its checkpoint."""
        fields = self.model_dump(mode="json", exclude={"panel_dir", "tuning"}) | {
            "kubecast": version("kubecast")
        }
        training = RunSettings.read(self.panel_dir).training
        fields["panel"] = [(self.panel_dir / "panel.json").read_text(), training.model_dump_json()]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
