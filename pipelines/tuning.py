"""Searches in the graph `train`: each before its trainer, that of the ensemble after the trainers."""

from collections.abc import Mapping
from typing import Any

from kubecast.components import images
from kubecast.components.training.choose_settings import choose_settings
from kubecast.components.training.tune_katib import tune_katib
from kubecast.components.training.tune_optuna import tune_optuna
from kubecast.components.training.tune_worker import tune_worker
from kubecast.config.cluster import TaskSettings
from kubecast.config.schedules import Mode
from kubecast.config.search import check_space
from kubecast.errors import ConfigError
from kubecast.pipelines.pods import trial_pod
from kubecast.settings.loading import AllSettings
from kubecast.settings.pipeline import PipelineSettings
from kubecast.steps.run_settings import FROM_RUN


def settings_of_mode(settings: AllSettings, mode: Mode, on_cluster: bool) -> AllSettings:
    """The settings with the tuner that a mode has: ``tune`` has one always, ``retrain`` never.

    Raises:
        ConfigError: The tuner is Katib, and there is no cluster, or a search space holds what is not allowed.
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
    pipeline = PipelineSettings.model_validate(data | {"tuning": {**data["tuning"], "tuner": tuner}})
    for kind in pipeline.tuned:
        check_space(kind, settings.of_kind(kind), settings.search.space_of(kind))
    # Where every parameter is set by hand, nothing is left to search.
    searched = [kind for kind in pipeline.tuned if settings.search.space_of(kind)]
    tuning = pipeline.tuning.model_copy(update={"models": searched} if searched else {"tuner": "none"})
    return settings.model_copy(update={"pipeline": pipeline.model_copy(update={"tuning": tuning})})


def _trainer(kind: str) -> str:
    """The task of ``cluster.yaml`` whose resources the trials of a kind have."""
    return "tune_ensemble" if kind == "ensemble" else f"train_{kind}"


class Searches:
    """Adds searches to the graph that is being compiled.

    Attributes:
        resources: Resources of each of their tasks, by the name of the task.
    """

    def __init__(self, settings: AllSettings, on_cluster: bool, **inputs: Any) -> None:
        """Take the inputs of all searches: ``panel`` and ``search``."""
        self._settings, self._inputs = settings, inputs
        self._tuning = settings.pipeline.tuning
        # On one machine a study is one task with so many processes.
        self._tasks = self._tuning.workers if on_cluster else 1
        self._processes = 1 if on_cluster else self._tuning.workers
        self.resources: dict[str, TaskSettings] = {}

    def add(self, kind: str, members: Mapping[str, Any] | None = None) -> Any:
        """Add a search; return its settings as JSON, None where the kind is not tuned.

        Args:
            kind: Key of ``kubecast.models.KINDS``, or ``ensemble``.
            members: For the ensemble: settings from the searches of its models, by kind.
        """
        if kind not in self._settings.pipeline.tuned:
            return None
        settings = {name: FROM_RUN if text is None else text for name, text in (members or {}).items()}
        inputs = {"kind": kind, **self._inputs, **settings}
        search = self._katib if self._tuning.tuner == "katib" else self._optuna
        return search(kind, inputs).outputs["Output"]

    def _optuna(self, kind: str, inputs: dict[str, Any]) -> Any:
        workers = []
        if self._tasks > 1:
            workers = [
                self._add_task(tune_worker, f"tune-{kind}-{number}", worker=number, **inputs)
                for number in range(1, self._tasks + 1)
            ]
        task = self._add_task(tune_optuna, f"tune-{kind}", processes=self._processes, **inputs)
        return task.after(*workers)

    def _katib(self, kind: str, inputs: dict[str, Any]) -> Any:
        own, trainer = self._settings.cluster.task("tune_katib"), self._settings.cluster.task(_trainer(kind))
        pod = trial_pod(images.OF_KIND[kind], trainer, self._settings)
        waiting = images.renamed(tune_katib, f"tune-{kind}-katib", images.BASE)
        searched = waiting(trial_pod=pod.model_dump_json(), **inputs)
        timeout = own.timeout + self._settings.training.optimization.timeout
        self.resources[searched.name] = own.model_copy(update={"timeout": timeout})
        return self._add_task(choose_settings, f"tune-{kind}", found=searched.outputs["trials"], **inputs)

    def _add_task(self, component: Any, name: str, **inputs: Any) -> Any:
        """Add a task with the image and the resources of the model that it fits."""
        kind = inputs["kind"]
        task = images.renamed(component, name, images.OF_KIND[kind])(**inputs)
        resources = self._settings.cluster.task(_trainer(kind))
        # Of the search, and of its last trial, which may begin at its end; second runs that take longer go on
        # in the next attempt.
        timeout = resources.timeout + 2 * self._settings.training.optimization.timeout
        self.resources[task.name] = resources.model_copy(update={"timeout": timeout})
        return task
