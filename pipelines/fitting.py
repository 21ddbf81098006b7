"""The two graphs inside the training pipeline: `train`, with its searches, and `final-fit`.

KFP's local runner hands artifacts on to a graph only where it has a parameter too: `final-fit` has the run's
digest for that.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from kfp import dsl

from kubecast.components import images
from kubecast.components.training.final_fit import final_fit
from kubecast.components.training.fit_shard import fit_shard
from kubecast.components.training.join_shards import join_shards
from kubecast.components.training.trainer import trainer
from kubecast.config.cluster import TaskSettings
from kubecast.models import KINDS
from kubecast.pipelines.pods import configure_all
from kubecast.pipelines.tuning import Searches
from kubecast.settings.loading import AllSettings

TRAINERS: dict[str, Callable[..., Any]] = {kind: trainer(kind) for kind in KINDS}


def _of_kind(component: Any, name: str) -> dict[str, Callable[..., Any]]:
    """A component under the name that it has for each kind, and on that kind's image."""
    return {kind: images.renamed(component, name.format(kind), images.OF_KIND[kind]) for kind in KINDS}


FINAL_FITS = _of_kind(final_fit, "final-{}")
SHARD_FITS = {task: _of_kind(fit_shard, f"{task}-{{}}-shard") for task in ("train", "final")}
JOINED_FITS = {task: _of_kind(join_shards, f"{task}-{{}}") for task in ("train", "final")}


class _Fits:
    """The fits of a graph, some of them in shards, and the resources of their tasks."""

    def __init__(self, task: str, settings: AllSettings, on_cluster: bool) -> None:
        self._task, self._settings, self._on_cluster = task, settings, on_cluster
        self.resources: dict[str, TaskSettings] = {}

    def add(self, kind: str, whole: Callable[..., Any], **inputs: Any) -> Any:
        """Add the fit of a model; its output is `model`.

        Args:
            kind: Key of ``kubecast.models.KINDS``.
            whole: The component of the fit of all series at once.
            inputs: Of the fit.
        """
        count = self._settings.pipeline.fitted_shards(kind)
        fit = self._in_shards(kind, count, inputs) if count > 1 else whole(**inputs)
        self._configure(kind, fit)
        return fit

    def _in_shards(self, kind: str, count: int, inputs: dict[str, Any]) -> Any:
        cluster = self._settings.cluster
        names = [f"{number}/{count}" for number in range(1, count + 1)]
        # Of KFP's local runner two would run at one time.
        at_once = cluster.parallelism if self._on_cluster else 1
        inputs = {**inputs, "kind": kind, "min_shards": self._settings.pipeline.min_shards}
        with dsl.ParallelFor(names, name=f"{kind}-shards", parallelism=at_once) as shard:
            part = SHARD_FITS[self._task][kind](shard=shard, attempts=cluster.retries.attempts, **inputs)
        self._configure(kind, part)
        return JOINED_FITS[self._task][kind](shards=dsl.Collected(part.outputs["model"]), **inputs)

    def _configure(self, kind: str, task: Any) -> None:
        self.resources[task.name] = self._settings.cluster.task(f"train_{kind}")


def train_graph(settings: AllSettings, on_cluster: bool) -> Any:
    """Make the graph that searches, where the settings say so, and trains every model.

    Args:
        settings: Settings files, with the tuner that the mode has.
        on_cluster: Whether the tasks request what ``cluster.yaml`` says.

    Returns:
        A component with the inputs ``panel`` and ``search``, and as outputs each model by its kind
        and, where the ensemble is tuned, ``ensemble_settings``.
    """
    kinds: list[str] = [*settings.pipeline.models]
    tuned = "ensemble" in settings.pipeline.tuned
    outputs: list[tuple[str, Any]] = [(kind, dsl.Model) for kind in kinds]
    Trained = NamedTuple("Trained", outputs + [("ensemble_settings", str)] * tuned)  # type: ignore[misc]

    def train(panel: dsl.Input[dsl.Dataset], search: str) -> Trained:
        searches = Searches(settings, on_cluster, panel=panel, search=search)
        searched = {kind: searches.add(kind) for kind in kinds}
        searched["ensemble"] = searches.add("ensemble", searched)
        fits = _Fits("train", settings, on_cluster)
        tasks = {
            kind: fits.add(kind, TRAINERS[kind], panel=panel, **optional_input(searched[kind]))
            for kind in kinds
        }
        models = {kind: task.outputs["model"] for kind, task in tasks.items()}
        if on_cluster:
            configure_all(settings, {**searches.resources, **fits.resources})
        return Trained(**models, **optional_input(searched["ensemble"], "ensemble_settings"))

    return dsl.pipeline(name="train")(train)


def final_fit_graph(settings: AllSettings, on_cluster: bool) -> Any:
    """Make the graph that fits every model again on all rows.

    Args:
        settings: Settings files.
        on_cluster: Whether the tasks request what ``cluster.yaml`` says.

    Returns:
        A component with the inputs ``panel``, ``inputs_digest`` and each evaluated model by its kind, and as
        outputs each production model by its kind.
    """
    kinds: list[str] = [*settings.pipeline.models]
    Fitted = NamedTuple("Fitted", [(kind, dsl.Model) for kind in kinds])  # type: ignore[misc]

    # The inputs of a model that is not trained must not be there: KFP's driver refuses a graph without them.
    @images.each_kind(kinds=kinds, required=True)
    def final(panel: dsl.Input[dsl.Dataset], inputs_digest: str, **evaluated: dsl.Input[dsl.Model]) -> Fitted:
        fits = _Fits("final", settings, on_cluster)
        tasks = {
            kind: fits.add(kind, partial(FINAL_FITS[kind], kind=kind), panel=panel, fitted=model)
            for kind, model in evaluated.items()
        }
        if on_cluster:
            configure_all(settings, fits.resources)
        return Fitted(**{kind: task.outputs["model"] for kind, task in tasks.items()})

    return dsl.pipeline(name="final-fit")(final)


def optional_input(searched: Any, name: str = "settings") -> dict[str, Any]:
    """Pass the settings of a search; nothing where there was none, and the run's settings are read."""
    return {} if searched is None else {name: searched}
