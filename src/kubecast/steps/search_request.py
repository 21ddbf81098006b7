"""What a search is given, whoever searches."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from kubecast.steps.run_settings import THE_RUNS, RunSettings, SearchPlan


class Request(BaseModel):
    """What is to be tuned; as JSON, a worker process is given it.

    Attributes:
        kind: Of the model, or ``ensemble``.
        panel_dir: From ``prepare_data``.
        settings: JSON of its settings file.
        champion: JSON of the champion's settings by kind; ``{}`` for none.
        search: JSON of the search spaces.
        tuning: JSON of ``pipeline.tuning``.
        seed: Of every random choice.
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
    def of(cls, kind: str, panel_dir: Path, search: str, members: Mapping[str, str]) -> Self:
        """A request with the run's settings, which are kept beside the panel.

        Args:
            kind: Of the model, or ``ensemble``.
            panel_dir: From ``prepare_data``.
            search: JSON of the ``SearchPlan``.
            members: For the ensemble, of each model that is in it: JSON of the settings that a search found,
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
                name: run.of_kind(name).model_dump_json() if found == THE_RUNS else found
                for name, found in members.items()
                if found
            },
        )

    def key(self) -> str:
        """Everything that the search is a function of, for its name and its checkpoint."""
        told = self.model_dump(mode="json", exclude={"panel_dir", "tuning"}) | {
            "kubecast": version("kubecast")
        }
        training = RunSettings.read(self.panel_dir).training
        told["panel"] = [(self.panel_dir / "panel.json").read_text(), training.model_dump_json()]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
