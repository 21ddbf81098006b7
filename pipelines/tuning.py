"""How searches are wired: between prepare_data and the trainers, and before the ensemble is stacked."""

from collections.abc import Iterable, Mapping
from typing import Any

from kfp import dsl

from components import images
from components.training.choose_settings import choose_settings
from components.training.tune_katib import tune_katib
from components.training.tune_optuna import tune_optuna
from components.training.tune_worker import tune_worker
from kubecast.cluster import TaskSettings
from kubecast.config import AllSettings, PipelineSettings
from kubecast.errors import ConfigError
from kubecast.schedules import Mode
from kubecast.tuning.spaces import check_space
from pipelines.pods import trial_pod

IMAGES = {
    "arima": images.ARIMA,
    "lstm": images.TENSORFLOW,
    "transformer": images.TENSORFLOW,
    "catboost": images.CATBOOST,
    "ensemble": images.SERVING,
}
"""A trial runs in the image of the model that it fits; the ensemble's fit them all."""


def settings_of_mode(settings: AllSettings, mode: Mode, on_cluster: bool) -> AllSettings:
    """The settings with the tuner that a mode has: ``tune`` has one always, ``retrain`` never.

    Raises:
        ConfigError: Katib is asked for without a cluster, or a search space holds what is not allowed.
    """
    tuner = settings.pipeline.tuning.tuner
    if mode == "retrain":
        tuner = "none"
    elif mode == "tune" and tuner == "none":
        tuner = "optuna"
    if tuner == "katib" and not on_cluster:
        raise ConfigError(
            "pipeline.tuning.tuner katib: its trials are pods of a cluster; allowed here: optuna, with --set"
            " pipeline.tuning.tuner=optuna, or kubecast submit"
        )
    data = settings.pipeline.model_dump()
    asked = PipelineSettings.model_validate(data | {"tuning": {**data["tuning"], "tuner": tuner}})
    for kind in asked.tuned:
        check_space(kind, getattr(settings, kind), settings.search.of(kind))
    # Where every parameter is set by hand, nothing is left to search.
    searched = [kind for kind in asked.tuned if settings.search.of(kind)]
    tuning = asked.tuning.model_copy(update={"models": searched} if searched else {"tuner": "none"})
    return settings.model_copy(update={"pipeline": asked.model_copy(update={"tuning": tuning})})


def searched_outputs(kinds: Iterable[str]) -> dict[str, Any]:
    """What a pipeline returns of its searches: of each the page and the table of its trials."""
    found: dict[str, Any] = {}
    for kind in kinds:
        found |= {f"tuning_{kind}": dsl.HTML, f"trials_{kind}": dsl.Dataset}
    return found


def _trainer(kind: str) -> str:
    """The task of ``cluster.yaml`` whose resources the trials of a kind have."""
    return "tune_ensemble" if kind == "ensemble" else f"train_{kind}"


class Searches:
    """Adds searches to the pipeline that is being compiled.

    Attributes:
        asked: What each of their tasks asks of the cluster, by the task's name.
        outputs: Of the pipeline, as in ``searched_outputs``.
    """

    def __init__(self, settings: AllSettings, on_cluster: bool, **given: Any) -> None:
        """Take what every search is given: ``panel``, ``champion_settings``, ``search`` and ``seed``."""
        self._settings, self._given = settings, given
        self._tuning = settings.pipeline.tuning
        # On one machine a study is one task with so many processes.
        self._tasks = self._tuning.workers if on_cluster else 1
        self._processes = 1 if on_cluster else self._tuning.workers
        self._on_failure = settings.pipeline.on_trainer_failure
        self.asked: dict[str, TaskSettings] = {}
        self.outputs: dict[str, Any] = {}

    def of(self, kind: str, text: Any, members: Mapping[str, Any] | None = None) -> Any:
        """The settings that a model is trained with, as JSON: found by a search, if it is tuned.

        Args:
            kind: Of the model, or ``ensemble``.
            text: JSON of its settings file.
            members: For the ensemble: JSON of its models' settings, by kind.
        """
        if kind not in self._settings.pipeline.tuned:
            return text
        given = {
            "kind": kind,
            "settings": text,
            "tuning": self._tuning.model_dump_json(),
            **{f"{name}_settings": found for name, found in (members or {}).items()},
            **self._given,
        }
        found = (self._katib if self._tuning.tuner == "katib" else self._optuna)(kind, given)
        self._name(found, kind, f"tune-{kind}")
        self.outputs |= {f"tuning_{kind}": found.outputs["report"], f"trials_{kind}": found.outputs["trials"]}
        return found.outputs["Output"]

    def _optuna(self, kind: str, given: dict[str, Any]) -> Any:
        workers = []
        if self._tasks > 1:
            workers = [tune_worker(worker=number, **given) for number in range(1, self._tasks + 1)]
            for number, task in enumerate(workers, 1):
                self._name(task, kind, f"tune-{kind}-{number}")
        return tune_optuna(processes=self._processes, on_failure=self._on_failure, **given).after(*workers)

    def _katib(self, kind: str, given: dict[str, Any]) -> Any:
        pod = trial_pod(IMAGES[kind], self._settings.cluster.of(_trainer(kind)), self._settings)
        searched = tune_katib(trial_pod=pod.model_dump_json(), **given)
        searched.set_display_name(f"tune-{kind}-katib")
        own = self._settings.cluster.of("tune_katib")
        timeout = own.timeout + self._settings.training.optimization.timeout
        self.asked[searched.name] = own.model_copy(update={"timeout": timeout})
        return choose_settings(found=searched.outputs["trials"], on_failure=self._on_failure, **given)

    def _name(self, task: Any, kind: str, name: str) -> None:
        """Name a task, and give it the image and the resources of the model that it fits."""
        task.set_display_name(name)
        task.set_container_image(IMAGES[kind])
        asked = self._settings.cluster.of(_trainer(kind))
        # Of the search, and of its last trial, which may begin at its end; second runs that take longer go on
        # in the next attempt.
        timeout = asked.timeout + 2 * self._settings.training.optimization.timeout
        self.asked[task.name] = asked.model_copy(update={"timeout": timeout})
