"""The request of a search, the same for every tuner."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from kubecast.steps.run_settings import FROM_RUN, RunSettings, SearchPlan


class Request(BaseModel):
    """A request to tune the settings of a model, or of the ensemble; workers get it as JSON.

    Attributes:
        kind: Key of ``kubecast.models.KINDS``, or ``ensemble``.
        panel_dir: From ``prepare_data``.
        settings: JSON of the settings file of that kind.
        champion: JSON of the champion's settings by kind; ``{}`` for none.
        search: JSON of the search spaces.
        tuning: JSON of ``pipeline.tuning``.
        seed: Seed of every random choice.
        members: For the ensemble: JSON of each model's settings, by kind; empty for one that is not in it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    panel_dir: Path
    settings: str
    champion: str
    search: str
    tuning: str
    seed: int
    members: dict[str, str] = {}

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
        return cls(
            kind=kind,
            panel_dir=panel_dir,
            settings=run.of_kind(kind).model_dump_json(),
            champion=json.dumps(plan.champion),
            search=json.dumps(plan.spaces),
            tuning=plan.tuning.model_dump_json(),
            seed=run.seed,
            members={
                name: run.of_kind(name).model_dump_json() if text == FROM_RUN else text
                for name, text in members.items()
                if text
            },
        )

    def key(self) -> str:
        """Digest of everything that the search is a function of, for its name and its checkpoint."""
        fields = self.model_dump(mode="json", exclude={"panel_dir", "tuning"}) | {
            "kubecast": version("kubecast")
        }
        training = RunSettings.read(self.panel_dir).training
        fields["panel"] = [(self.panel_dir / "panel.json").read_text(), training.model_dump_json()]
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
