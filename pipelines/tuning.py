"""How searches are wired: in the graph `train`, each before its trainer, the ensemble's after them."""

from collections.abc import Mapping
from typing import Any

from components import images
from components.training.choose_settings import choose_settings
from components.training.tune_katib import tune_katib
from components.training.tune_optuna import tune_optuna
from components.training.tune_worker import tune_worker
from kubecast.config.cluster import TaskSettings
from kubecast.config.schedules import Mode
from kubecast.config.search import check_space
from kubecast.errors import ConfigError
from kubecast.settings.loading import AllSettings
from kubecast.settings.pipeline import PipelineSettings
from kubecast.steps.run_settings import THE_RUNS
from pipelines.pods import trial_pod


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


def _trainer(kind: str) -> str:
    """The task of ``cluster.yaml`` whose resources the trials of a kind have."""
    return "tune_ensemble" if kind == "ensemble" else f"train_{kind}"


class Searches:
    """Adds searches to the graph that is being compiled.

    Attributes:
        asked: What each of their tasks asks of the cluster, by the task's name.
    """

    def __init__(self, settings: AllSettings, on_cluster: bool, **given: Any) -> None:
        """Take what every search is given: ``panel`` and ``search``."""
        self._settings, self._given = settings, given
        self._tuning = settings.pipeline.tuning
        # On one machine a study is one task with so many processes.
        self._tasks = self._tuning.workers if on_cluster else 1
        self._processes = 1 if on_cluster else self._tuning.workers
        self.asked: dict[str, TaskSettings] = {}

    def of(self, kind: str, members: Mapping[str, Any] | None = None) -> Any:
        """The settings that a search finds, as JSON; None where the kind is not tuned.

        Args:
            kind: Of the model, or ``ensemble``.
            members: For the ensemble: what the searches of its models found, by kind.
        """
        if kind not in self._settings.pipeline.tuned:
            return None
        settings = {
            f"{name}_settings": THE_RUNS if found is None else found
            for name, found in (members or {}).items()
        }
        given = {"kind": kind, **self._given, **settings}
        search = self._katib if self._tuning.tuner == "katib" else self._optuna
        return search(kind, given).outputs["Output"]

    def _optuna(self, kind: str, given: dict[str, Any]) -> Any:
        workers = []
        if self._tasks > 1:
            workers = [
                self._add(tune_worker, f"tune-{kind}-{number}", worker=number, **given)
                for number in range(1, self._tasks + 1)
            ]
        return self._add(tune_optuna, f"tune-{kind}", processes=self._processes, **given).after(*workers)

    def _katib(self, kind: str, given: dict[str, Any]) -> Any:
        own, trainer = self._settings.cluster.of("tune_katib"), self._settings.cluster.of(_trainer(kind))
        pod = trial_pod(images.OF_KIND[kind], trainer, self._settings)
        waiting = images.renamed(tune_katib, f"tune-{kind}-katib", images.BASE)
        searched = waiting(trial_pod=pod.model_dump_json(), **given)
        timeout = own.timeout + self._settings.training.optimization.timeout
        self.asked[searched.name] = own.model_copy(update={"timeout": timeout})
        return self._add(choose_settings, f"tune-{kind}", found=searched.outputs["trials"], **given)

    def _add(self, component: Any, name: str, **given: Any) -> Any:
        """A task of that name with the image and the resources of the model that it fits."""
        kind = given["kind"]
        task = images.renamed(component, name, images.OF_KIND[kind])(**given)
        asked = self._settings.cluster.of(_trainer(kind))
        # Of the search, and of its last trial, which may begin at its end; second runs that take longer go on
        # in the next attempt.
        timeout = asked.timeout + 2 * self._settings.training.optimization.timeout
        self.asked[task.name] = asked.model_copy(update={"timeout": timeout})
        return task
